"""Verified claims: boot facts in state and result, only while a quote vouches for them."""

import pytest

from schemas.hashes import SHA256
from schemas.messages.evidence import encode_evidence, parse_evidence
from schemas.tpm.pcr import parse_selection_text
from tests.builders.log_bytes import uefi_variable
from tests.worlds.device import T0_US, FakeDevice, make_handle, make_policy, make_trust
from verifier_worker.core.policy.policy_file import LogsTable
from verifier_worker.core.result_builder import build_result
from verifier_worker.core.state import AttesterState
from verifier_worker.core.state_codec import decode_state, encode_state
from verifier_worker.core.step import overdue, step
from verifier_worker.core.trust import Trust

HANDLE = make_handle()
CLAIMS = {
    "secure-boot": "enabled",
    "boot-images": f"sha256:{SHA256.digest(bytes(40)).hex()}",
    "boot-images-total": 1,
}


def booted(selection: str | None = None) -> tuple[FakeDevice, Trust]:
    """A device that booted with Secure Boot, and trust in it."""
    device = FakeDevice()
    if selection is not None:
        device.selection = parse_selection_text(selection)
    device.measure_boot(7, uefi_variable("SecureBoot", b"\1"))
    device.measure_boot(7, bytes(4))
    device.measure_boot(4, bytes(40))  # the digest of an image
    device.sync(HANDLE)
    policy = make_policy(**({} if selection is None else {"pcrs": "sha256:0", "logs": LogsTable()}))
    return device, make_trust(device, handles=(HANDLE,), policy=policy)


def take(
    state: AttesterState | None, device: FakeDevice, trust: Trust, limits: dict[str, int] | None = None
) -> AttesterState:
    evidence = parse_evidence(encode_evidence(device.push(limits=limits)))
    taken = step(state, device.ueid, evidence, T0_US + 5_000_000, trust).state
    assert taken is not None
    assert decode_state(encode_state(taken)) == taken
    return taken


def test_the_result_says_what_the_pcrs_vouch_for() -> None:
    device, trust = booted()
    state = take(None, device, trust)
    result = build_result(device.ueid, state, (), T0_US, "v", policy=trust.policy, handle=HANDLE)
    assert result.verified_claims == CLAIMS
    assert result.claims == {"kernel": "6.1"}


def test_claims_stand_through_heartbeats_restarts_and_silence() -> None:
    device, trust = booted()
    state = take(take(None, device, trust), device, trust)
    assert state.verdict.verified_claims == CLAIMS
    stored = decode_state(encode_state(state))
    assert stored is not None
    assert take(stored, device, trust).verdict.verified_claims == CLAIMS
    assert overdue(stored, 2**60).verdict.verified_claims == CLAIMS


def test_nothing_is_claimed_before_a_quote_is_reproduced() -> None:
    device, trust = booted()
    state = None
    for _ in range(5):
        state = take(state, device, trust, {"tcg2": 2})
        assert not state.settled
        assert state.verdict.verified_claims == {}
    for _ in range(5):
        state = take(state, device, trust, {"tcg2": 2})
    assert state is not None
    assert state.settled
    assert state.verdict.verified_claims == CLAIMS


def test_a_reboot_starts_without_claims() -> None:
    device, trust = booted()
    state = take(None, device, trust)
    device.reboot()
    device.sync(HANDLE)
    assert take(state, device, trust).verdict.verified_claims == {}


@pytest.mark.parametrize(
    ("selection", "missing"),
    [
        ("sha256:0-6,8-10", {"secure-boot"}),
        ("sha256:0-3,5-10", {"boot-images", "boot-images-total"}),
        ("sha256:0-3,5,6,8-10", set(CLAIMS)),
    ],
)
def test_a_pcr_that_is_not_quoted_vouches_for_nothing(selection: str, missing: set[str]) -> None:
    device, trust = booted(selection)
    state = take(None, device, trust)
    assert state.settled
    assert state.verdict.verified_claims == {name: value for name, value in CLAIMS.items() if name not in missing}


def test_what_is_extended_after_the_boot_changes_no_claim() -> None:
    device, trust = booted()
    state = take(None, device, trust)
    device.measure_boot(7, uefi_variable("SecureBoot", b"\0"))
    device.measure_boot(0, b"a text")
    assert take(state, device, trust).verdict.verified_claims == CLAIMS


def test_a_quote_after_a_gap_vouches_for_nothing() -> None:
    """The state is from the quote before the gap; PCRs may have been extended since."""
    device, trust = booted()
    state = take(None, device, trust)
    assert state.verdict.verified_claims == CLAIMS
    device.push()  # lost
    assert take(state, device, trust).verdict.verified_claims == {}
