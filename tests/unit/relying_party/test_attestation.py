"""The checks of one result, and each reason to refuse it."""

from dataclasses import replace

import pytest

from relying_party.attestation import Attestation, Expectations, verify_attestation
from schemas.errors import PeerError
from schemas.identifiers import HandleId, Ueid
from schemas.messages.handle import Handle
from schemas.messages.result_token import ResultFormat, ResultSigner, result_keys
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.fakes.relying_party import ALICE, BOB, NOW_S, STRANGERS_KEY, VERIFIER_KEY, result_about
from tests.worlds.device import make_handle

US = 1_000_000
LEEWAY_S = 30
HANDLE = make_handle(1, time_us=(NOW_S - 20) * US)
OTHER = make_handle(2, time_us=(NOW_S - 20) * US)
GOOD = result_about(handle=HANDLE.id, made_after_us=(NOW_S - 10) * US, policies=("fleet/3",))


def verify(
    *,
    expected: Expectations | None = None,
    ueid: Ueid | None = None,
    handles: tuple[Handle, ...] | None = None,
    now_s: float = NOW_S,
    form: ResultFormat = ResultFormat.JWT,
    **changes: object,
) -> Attestation:
    token = ResultSigner(VERIFIER_KEY, "tests", "1", form).sign(replace(GOOD, **changes))  # type: ignore[arg-type]
    keys = result_keys({b"": VERIFIER_KEY.public_key(), b"1": STRANGERS_KEY.public_key()})
    return verify_attestation(token, keys, int(now_s * US), expected or Expectations(), ueid=ueid, handles=handles)


def refusal(**how: object) -> Reason:
    with pytest.raises(PeerError) as refused:
        verify(**how)  # type: ignore[arg-type]  # a test names options that exist
    return refused.value.reason


@pytest.mark.parametrize("form", ResultFormat)
def test_a_good_result_gives_its_ages(form: ResultFormat) -> None:
    attestation = verify(form=form, ueid=ALICE, handles=(OTHER, HANDLE))
    assert attestation.affirming
    assert (attestation.age_s, attestation.handle_age_s) == (10, 20)
    assert attestation.result == GOOD


def test_what_is_not_affirming_is_a_result_and_no_error() -> None:
    bad = verify(status=Tier.CONTRAINDICATED, vector={TrustClaim.EXECUTABLES: 96}, reasons=("file-unexpected",))
    assert not bad.affirming
    assert bad.result.reasons == ("file-unexpected",)


def test_affirming_without_freshness_is_not_affirming() -> None:
    assert not verify(freshness=Freshness.STALE).affirming


def test_a_stranger_is_refused() -> None:
    token = ResultSigner(STRANGERS_KEY, "x", "x").sign(GOOD)
    keys = result_keys({b"": VERIFIER_KEY.public_key()})
    with pytest.raises(PeerError) as refused:
        verify_attestation(token, keys, NOW_S * US, Expectations())
    assert refused.value.reason == Reason.RESULT_SIGNATURE_INVALID


def test_either_key_of_a_rollover_will_do() -> None:
    keys = result_keys({b"": VERIFIER_KEY.public_key(), b"1": STRANGERS_KEY.public_key()})
    for key in (VERIFIER_KEY, STRANGERS_KEY):
        assert verify_attestation(ResultSigner(key, "x", "x").sign(GOOD), keys, NOW_S * US, Expectations()).affirming


def test_another_attester_is_refused() -> None:
    assert refusal(ueid=BOB) == Reason.RESULT_OF_ANOTHER_ATTESTER


def test_validity_ends_with_the_leeway() -> None:
    last = GOOD.expires_s + LEEWAY_S
    assert verify(now_s=last - 0.001).affirming
    assert refusal(now_s=last) == Reason.RESULT_EXPIRED
    assert refusal(now_s=GOOD.expires_s, expected=Expectations(leeway_s=0)) == Reason.RESULT_EXPIRED
    assert verify(now_s=GOOD.expires_s - 0.001, expected=Expectations(leeway_s=0)).affirming


def test_validity_begins_with_the_leeway() -> None:
    assert verify(now_s=GOOD.issued_s - LEEWAY_S).affirming
    assert refusal(now_s=GOOD.issued_s - LEEWAY_S - 0.001) == Reason.RESULT_NOT_YET_VALID


def test_a_result_must_be_bound_to_a_handle() -> None:
    assert refusal(handle=None) == Reason.RESULT_HANDLE_MISMATCH


def test_a_result_must_be_bound_to_a_handle_that_the_caller_knows() -> None:
    assert refusal(handles=(OTHER,)) == Reason.RESULT_HANDLE_MISMATCH
    assert refusal(handles=()) == Reason.RESULT_HANDLE_MISMATCH
    assert refusal(handle=HandleId(bytes(32)), handles=(HANDLE,)) == Reason.RESULT_HANDLE_MISMATCH


def test_only_policies_that_count_count() -> None:
    allowed = Expectations(policies=("fleet/3", "fleet/4"))
    assert verify(expected=allowed).affirming
    for policies in (("fleet/2",), ("fleet/3", "mine/1"), ()):
        assert refusal(expected=allowed, policies=policies) == Reason.RESULT_POLICY_UNKNOWN
    assert refusal(expected=Expectations(policies=())) == Reason.RESULT_POLICY_UNKNOWN


@pytest.mark.parametrize("freshness", [state for state in Freshness if state != Freshness.FRESH])
def test_freshness_can_be_demanded(freshness: Freshness) -> None:
    assert refusal(expected=Expectations(fresh_only=True), freshness=freshness) == Reason.RESULT_NOT_FRESH
    assert verify(expected=Expectations(fresh_only=True)).affirming


def test_the_quote_must_be_young_enough_even_at_worst() -> None:
    expected = Expectations(max_age_s=10, leeway_s=0)
    assert verify(expected=expected).age_s == 10
    assert refusal(expected=expected, made_after_us=(NOW_S - 10) * US - 1) == Reason.RESULT_TOO_OLD
    assert refusal(expected=expected, made_after_us=None) == Reason.RESULT_TOO_OLD


def test_the_handle_must_be_young_enough() -> None:
    expected = Expectations(max_handle_age_s=20, leeway_s=0)
    assert verify(expected=expected, handles=(HANDLE,)).handle_age_s == 20
    older = replace(HANDLE, time_us=HANDLE.time_us - 1)
    assert refusal(expected=expected, handles=(older,)) == Reason.RESULT_TOO_OLD
    assert refusal(expected=expected) == Reason.RESULT_TOO_OLD
