"""The results that a board accepts: their signer, their attester, their age, their lifetime."""

from typing import Any

import pytest

from relying_party.result_board import MAX_CLOCK_SKEW_S, ResultBoard, result_keys, standing_of, verify_result
from schemas import media_types
from schemas.codecs import cmw, cose, jws
from schemas.errors import PeerError
from schemas.media_types import Indicator
from schemas.messages import result_token
from schemas.messages.result import AttestationResult, to_claims
from schemas.messages.result_token import ResultFormat, ResultSigner
from schemas.reasons import Reason
from schemas.topics import Topics
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.fakes.relying_party import (
    ALICE,
    BOB,
    NOW_S,
    STRANGERS_KEY,
    TOPICS,
    VERIFIER_KEY,
    RecordingRelyingParty,
    message_of,
    result_about,
)

KEYS = result_keys({cose.key_id(VERIFIER_KEY.public_key()): VERIFIER_KEY.public_key()})
ALICES = TOPICS.results(ALICE)


def refusal(board: ResultBoard, topic: str, payload: bytes, now_s: int = NOW_S) -> Reason:
    with pytest.raises(PeerError) as refused:
        board.apply(topic, payload, now_s)
    return refused.value.reason


def test_a_signed_result_stands_as_it_says() -> None:
    board = ResultBoard(KEYS)
    result = result_about(handle=bytes(32), logs={"ima": 7})
    assert board.apply(ALICES, message_of(result), NOW_S).result == result
    standing = board.standing(ALICE, NOW_S)
    assert standing is not None
    assert (standing.status, standing.freshness, standing.reasons) == (Tier.AFFIRMING, Freshness.FRESH, ())
    assert board.standing(BOB, NOW_S) is None


def test_results_of_both_forms_stand_on_one_board() -> None:
    board = ResultBoard(KEYS)
    board.apply(ALICES, message_of(result_about()), NOW_S)
    later = result_about(issued_s=NOW_S + 1, status=Tier.NONE, vector={})
    token = ResultSigner(VERIFIER_KEY, "tests", "1", ResultFormat.CWT).sign(later)
    assert board.apply(ALICES, result_token.wrap(token), NOW_S + 1).result == later
    assert refusal(board, ALICES, message_of(result_about())) == Reason.OBJECT_ROLLED_BACK


def test_a_result_signed_by_a_stranger_is_refused() -> None:
    board = ResultBoard(KEYS)
    assert refusal(board, ALICES, message_of(result_about(), STRANGERS_KEY)) == Reason.RESULT_SIGNATURE_INVALID
    assert board.standings(NOW_S) == ()


def test_a_stranger_who_claims_the_verifiers_key_id_is_refused() -> None:
    kid = cose.key_id(VERIFIER_KEY.public_key()).hex()
    token = jws.sign(to_claims(result_about(), "x", "x"), STRANGERS_KEY, kid)
    payload = cmw.wrap(media_types.RESULT, token, Indicator.ATTESTATION_RESULTS)
    assert refusal(ResultBoard(KEYS), ALICES, payload) == Reason.RESULT_SIGNATURE_INVALID


def test_a_result_about_somebody_else_is_refused() -> None:
    assert refusal(ResultBoard(KEYS), ALICES, message_of(result_about(BOB))) == Reason.RESULT_OF_ANOTHER_ATTESTER


def test_the_root_of_the_topics_does_not_matter() -> None:
    topic = Topics("somewhere/else").results(ALICE)
    assert verify_result(topic, message_of(result_about()), KEYS).result.ueid == ALICE


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x83", message_of(result_about())[:-1], bytes(300_000)])
def test_bytes_that_are_no_result_are_refused(payload: bytes) -> None:
    assert refusal(ResultBoard(KEYS), ALICES, payload) in {Reason.MALFORMED, Reason.TOO_LARGE}


def test_another_kind_of_message_on_the_results_topic_is_refused() -> None:
    payload = cmw.wrap(media_types.EVIDENCE, b"x", Indicator.EVIDENCE)
    assert refusal(ResultBoard(KEYS), ALICES, payload) == Reason.UNKNOWN_MEDIA_TYPE


def test_an_older_result_of_the_same_verifier_does_not_come_back() -> None:
    board = ResultBoard(KEYS)
    good = message_of(result_about(issued_s=NOW_S))
    bad = message_of(result_about(issued_s=NOW_S + 1, status=Tier.NONE, vector={}))
    board.apply(ALICES, good, NOW_S)
    board.apply(ALICES, bad, NOW_S + 1)
    assert refusal(board, ALICES, good, NOW_S + 2) == Reason.OBJECT_ROLLED_BACK
    standing = board.standing(ALICE, NOW_S + 2)
    assert standing is not None
    assert standing.status is Tier.NONE


def test_within_one_second_the_receipt_of_the_evidence_decides() -> None:
    board = ResultBoard(KEYS)
    earlier, later = (message_of(result_about(received_us=NOW_S * 1_000_000 + each)) for each in (1, 2))
    board.apply(ALICES, earlier, NOW_S)
    board.apply(ALICES, later, NOW_S)
    assert refusal(board, ALICES, earlier) == Reason.OBJECT_ROLLED_BACK


def test_the_same_result_again_is_no_rollback() -> None:
    board = ResultBoard(KEYS)
    message = message_of(result_about())
    assert board.apply(ALICES, message, NOW_S) == board.apply(ALICES, message, NOW_S + 1)


def test_two_verifiers_do_not_roll_each_other_back() -> None:
    party = RecordingRelyingParty()
    party.receive(ALICES, message_of(result_about(issued_s=NOW_S, verifier="one")))
    party.receive(ALICES, message_of(result_about(issued_s=NOW_S - 5, verifier="two")))
    assert not party.refused
    standing = party.standing(ALICE)
    assert standing is not None
    assert standing.result.verifier == "one"


BAD: dict[str, Any] = {
    "status": Tier.CONTRAINDICATED,
    "vector": {TrustClaim.EXECUTABLES: 96},
    "reasons": ("file-unexpected",),
}
UNDECIDED: dict[str, Any] = {"status": Tier.NONE, "vector": {}, "reasons": ("handle-unknown",)}


def board_of(*results: AttestationResult) -> ResultBoard:
    board = ResultBoard(KEYS)
    for each in results:
        board.apply(ALICES, message_of(each), NOW_S)
    return board


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_several_verifiers_the_worst_unexpired_result_stands(order: tuple[int, int]) -> None:
    """The network holds the good push back from one verifier until the other has judged the bad one."""
    late_but_good = result_about(verifier="two", issued_s=NOW_S, expires_s=NOW_S + 120, sequence=6)
    for worse in (BAD, UNDECIDED):
        both = (result_about(verifier="one", issued_s=NOW_S - 20, expires_s=NOW_S + 60, **worse), late_but_good)
        board = board_of(*(both[number] for number in order))
        for now_s in (NOW_S, NOW_S + 59, 0):
            standing = board.standing(ALICE, now_s)
            assert standing is not None
            assert (standing.result.verifier, standing.status) == ("one", worse["status"])
        standing = board.standing(ALICE, NOW_S + 60)  # the worse one has expired
        assert standing is not None
        assert (standing.result.verifier, standing.status) == ("two", Tier.AFFIRMING)


@pytest.mark.parametrize("status", [Tier.WARNING, Tier.CONTRAINDICATED])
def test_a_bad_result_that_expired_gives_way_to_newer_evidence_alone(status: Tier) -> None:
    """The network holds the good push back from one verifier, and all that the other publishes after the bad one."""
    made_us = NOW_S * 1_000_000
    bad = BAD | {"status": status, "vector": {TrustClaim.EXECUTABLES: 33 if status is Tier.WARNING else 96}}
    found = result_about(verifier="one", issued_s=NOW_S - 20, expires_s=NOW_S + 10, made_after_us=made_us, **bad)
    held_back: dict[str, Any] = {"verifier": "two", "expires_s": NOW_S + 120, "received_us": made_us + 9_000_000}
    for after_us, stands in ((made_us - 1, "one"), (made_us, "two"), (made_us + 1, "two")):
        board = board_of(found, result_about(**held_back, made_after_us=after_us))
        assert board.standing(ALICE, NOW_S + 9) == standing_of(found, NOW_S + 9)
        standing = board.standing(ALICE, NOW_S + 10)
        assert standing is not None
        assert standing.result.verifier == stands
        assert (standing.status, standing.reasons[:1]) == (
            (Tier.NONE, (Reason.RESULT_EXPIRED,)) if stands == "one" else (Tier.AFFIRMING, ())
        )


def test_an_undecided_result_that_expired_holds_nobody_up() -> None:
    """A verifier that was turned off had not decided; the other one goes on."""
    made_us = NOW_S * 1_000_000
    off = result_about(verifier="one", issued_s=NOW_S - 20, expires_s=NOW_S + 10, made_after_us=made_us, **UNDECIDED)
    on = result_about(verifier="two", expires_s=NOW_S + 120, made_after_us=made_us - 1)
    standing = board_of(off, on).standing(ALICE, NOW_S + 10)
    assert standing is not None
    assert (standing.result.verifier, standing.status) == ("two", Tier.AFFIRMING)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_equal_results_the_one_about_the_newest_evidence_stands(order: tuple[int, int]) -> None:
    received_us = NOW_S * 1_000_000
    both = (
        result_about(verifier="one", issued_s=NOW_S - 9, received_us=received_us),
        result_about(verifier="two", issued_s=NOW_S, received_us=received_us - 5_000_000),
    )
    verified = board_of(*(both[number] for number in order)).in_force(ALICE, NOW_S)
    assert verified is not None
    assert verified.result.verifier == "one"


def test_when_all_have_expired_the_newest_is_shown_as_expired() -> None:
    board = board_of(
        result_about(verifier="one", issued_s=NOW_S - 20, expires_s=NOW_S + 10, **BAD),
        result_about(verifier="two", expires_s=NOW_S + 20),
    )
    standing = board.standing(ALICE, NOW_S + 20)
    assert standing is not None
    assert (standing.result.verifier, standing.freshness) == ("two", Freshness.STALE)


def test_an_expired_result_reads_as_undecided_and_stale() -> None:
    board = ResultBoard(KEYS)
    board.apply(ALICES, message_of(result_about(expires_s=NOW_S + 60, reasons=("rebooted",))), NOW_S)
    before, after = board.standings(NOW_S + 59)[0], board.standings(NOW_S + 60)[0]
    assert (before.status, before.freshness) == (Tier.AFFIRMING, Freshness.FRESH)
    assert (after.status, after.freshness) == (Tier.NONE, Freshness.STALE)
    assert after.reasons == (Reason.RESULT_EXPIRED, "rebooted")


@pytest.mark.parametrize(
    ("status", "reasons", "leaves"),
    [
        (Tier.NONE, ("attester-decommissioned",), True),
        (Tier.CONTRAINDICATED, ("attester-decommissioned", "file-unexpected"), False),
        (Tier.NONE, ("evidence-overdue",), False),
        (Tier.CONTRAINDICATED, ("attesting-key-revoked",), False),
    ],
)
def test_a_device_out_of_service_leaves_the_fleet_when_that_result_ends(
    status: Tier, reasons: tuple[str, ...], leaves: bool
) -> None:
    """What was bad, revoked or silent does not leave."""
    board = ResultBoard(KEYS)
    vector = {TrustClaim.INSTANCE_IDENTITY: 96} if status is Tier.CONTRAINDICATED else {}
    about = result_about(status=status, vector=vector, reasons=reasons, expires_s=NOW_S + 60)
    board.apply(ALICES, message_of(about), NOW_S)
    assert board.standing(ALICE, NOW_S + 59) is not None
    assert (board.standing(ALICE, NOW_S + 60) is None) is leaves
    assert (board.standings(NOW_S + 60) == ()) is leaves


def test_a_result_from_our_future_is_refused() -> None:
    board = ResultBoard(KEYS)
    ahead = message_of(result_about(issued_s=NOW_S + MAX_CLOCK_SKEW_S + 1, expires_s=NOW_S + 9999))
    assert refusal(board, ALICES, ahead) == Reason.RESULT_NOT_YET_VALID
    board.apply(ALICES, ahead, NOW_S + 1)


def test_messages_of_other_topics_are_not_for_a_relying_party() -> None:
    party = RecordingRelyingParty()
    party.receive(TOPICS.evidence(ALICE), b"whatever")
    party.receive(ALICES, b"whatever")
    assert party.seen == []
    assert dict(party.refused) == {Reason.MALFORMED: 1}
