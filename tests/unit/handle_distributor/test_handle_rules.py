"""When a TSA's word counts: clocks off, answers late, TSAs apart. All numbers in microseconds."""

import pytest

from handle_distributor.handle_rules import Observation, check_agreement, check_clock, choose_claims
from schemas.codecs.tst_info import TstInfo
from schemas.errors import WorldError
from schemas.identifiers import HandleId
from schemas.messages.handle import EPOCH_BELL_IMPRINT, Handle
from schemas.reasons import Reason
from tests.builders.token_forge import tst_info

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
LIMIT = 2 * SECOND


def observe(
    offset: int = 0, *, accuracy: int = 0, sent: int = NOW, took: int = 100_000, tsa: str = "tsa"
) -> Observation:
    """A TSA whose clock is ``offset`` ahead stamps half way between request and answer."""
    stamp = TstInfo(
        gen_time_us=sent + took // 2 + offset, accuracy_us=accuracy, imprint=b"", serial=1, policy="1.2", nonce=None
    )
    return Observation(tsa=tsa, stamp=stamp, sent_us=sent, received_us=sent + took)


def handle_of(time_us: int) -> Handle:
    claims = choose_claims(
        issuer="main",
        marker=tst_info(EPOCH_BELL_IMPRINT, time_us),
        nonce=b"n" * 32,
        previous=None,
        lifetime_s=60,
    )
    return Handle(id=HandleId(b"i" * 32), raw=b"", claims=claims, time_us=time_us, accuracy_us=0)


def reason_of(call: object, *arguments: object, **options: object) -> Reason:
    assert callable(call)
    with pytest.raises(WorldError) as caught:
        call(*arguments, **options)
    return caught.value.reason


@pytest.mark.parametrize("offset", [0, LIMIT, -LIMIT, LIMIT + 50_000, -LIMIT - 50_000])
def test_a_clock_within_the_limit_counts_and_the_network_is_not_held_against_it(offset: int) -> None:
    check_clock(observe(offset), max_clock_offset_us=LIMIT, not_before=None)


@pytest.mark.parametrize("offset", [LIMIT + 50_001, -LIMIT - 50_001, 86_400 * SECOND, -86_400 * SECOND])
def test_a_clock_beyond_the_limit_does_not_count(offset: int) -> None:
    assert reason_of(check_clock, observe(offset), max_clock_offset_us=LIMIT, not_before=None) is Reason.TSA_CLOCK_OFF


def test_poor_accuracy_excuses_nothing() -> None:
    off = observe(LIMIT + SECOND, accuracy=LIMIT)
    assert reason_of(check_clock, off, max_clock_offset_us=LIMIT, not_before=None) is Reason.TSA_CLOCK_OFF
    vague = observe(0, accuracy=LIMIT + 1)
    assert reason_of(check_clock, vague, max_clock_offset_us=LIMIT, not_before=None) is Reason.TSA_CLOCK_OFF


def test_time_does_not_run_back_from_the_last_handle() -> None:
    check_clock(observe(), max_clock_offset_us=LIMIT, not_before=handle_of(NOW + 50_000))
    later = handle_of(NOW + 50_001)
    assert reason_of(check_clock, observe(), max_clock_offset_us=LIMIT, not_before=later) is Reason.TSA_CLOCK_OFF


def test_the_message_says_which_tsa_and_by_how_much() -> None:
    with pytest.raises(WorldError, match=r"tsa is ahead of this machine's clock by 9\.950 s"):
        check_clock(observe(10 * SECOND), max_clock_offset_us=LIMIT, not_before=None)


def test_one_tsa_agrees_with_itself() -> None:
    check_agreement(observe(), [], required=1)


def test_tsas_agree_within_their_accuracy_and_the_network() -> None:
    reference = observe(0, accuracy=10_000, took=0)
    near = observe(20_000, accuracy=10_000, took=0, tsa="near")
    far = observe(20_001, accuracy=10_000, took=0, tsa="far")
    check_agreement(reference, [near], required=2)
    assert reason_of(check_agreement, reference, [far], required=2) is Reason.TSA_DISAGREE
    check_agreement(reference, [far, near], required=2)
    assert reason_of(check_agreement, reference, [far, near], required=3) is Reason.TSA_DISAGREE


def test_asking_one_after_the_other_moves_honest_tsas_not_apart() -> None:
    check_agreement(observe(took=0), [observe(sent=NOW + 30 * SECOND, took=0)], required=2)


def test_an_answer_that_took_long_says_little() -> None:
    check_agreement(observe(took=0), [observe(400_000, took=SECOND)], required=2)


def test_nobody_answered_is_no_agreement() -> None:
    with pytest.raises(WorldError, match="none answered"):
        check_agreement(observe(), [], required=2)


def test_claims_follow_the_marker() -> None:
    marker = tst_info(EPOCH_BELL_IMPRINT, NOW + 999_999)
    claims = choose_claims(issuer="main", marker=marker, nonce=b"n" * 32, previous=HandleId(b"p" * 32), lifetime_s=60)
    assert (claims.not_before_s, claims.expires_s) == (NOW // SECOND, NOW // SECOND + 60)
    assert (claims.epoch_marker, claims.previous, claims.nonce) == (marker, b"p" * 32, b"n" * 32)


def test_a_marker_about_something_else_is_refused() -> None:
    marker = tst_info(b"x" * 32, NOW)
    options = {"issuer": "main", "marker": marker, "nonce": b"n" * 32, "previous": None, "lifetime_s": 60}
    assert reason_of(choose_claims, **options) is Reason.TSA_MALFORMED
