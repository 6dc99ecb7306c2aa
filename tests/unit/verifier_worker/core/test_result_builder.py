"""``build_result``: every field of a result, what of the findings it names, and how long it lives."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from schemas.identifiers import HandleId
from schemas.limits import MAX_UNEXPECTED_LISTED
from schemas.messages.evidence import Transition
from schemas.messages.result import AttestationResult, Rejections
from schemas.reasons import Reason
from schemas.transitions import TransitionKind
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.worlds.device import make_handle, make_policy
from tests.worlds.step_bench import RECEIVED_US, Bench
from verifier_worker.core.finding import Finding
from verifier_worker.core.result_builder import MAX_SETS, build_result
from verifier_worker.core.state import AttesterState, Verdict

SECOND_US = 1_000_000
SUSPEND = Transition(kind=TransitionKind.SUSPEND, clock_ms=1, reset_count=2, restart_count=3)


@pytest.fixture
def state() -> AttesterState:
    """A state in which every field differs from every other one."""
    bench = Bench()
    bench.take(bench.device.push())
    before = bench.state
    assert before is not None
    return replace(
        before,
        sequence=41,
        evidence=b"\x11" * 32,
        received_us=RECEIVED_US + 7,
        received_after=HandleId(b"\x12" * 32),
        made_after_us=42,
        made_before_us=43,
        verdict=Verdict(
            status=Tier.WARNING,
            freshness=Freshness.PENDING,
            reasons=(Reason.REBOOTED, Reason.FILE_UNEXPECTED),
            vector={TrustClaim.EXECUTABLES: 33},
            verified_claims={"secure-boot": "enabled", "firmware-version": "1"},
        ),
        sync=replace(before.sync, handle=HandleId(b"\x13" * 32)),
        replay=replace(before.replay, next_index={"tcg2": 9, "ima": 5}),
        claims={"name": "x", "blob": b"\0", "answer": 42, "flag": True},
        rejections=Rejections(count=2, last=Reason.MALFORMED, last_us=44),
        clock=replace(before.clock, rate_ppm=(-3, 4)),
        transitions=(SUSPEND,),
        measured=replace(before.measured, unexpected=((b"", "a"),), unexpected_total=1),
    )


def result_of(state: AttesterState, *findings: Finding, now_us: int = RECEIVED_US + SECOND_US) -> AttestationResult:
    bench = Bench()
    policy = make_policy(id="lab", version=3)
    return build_result(bench.device.ueid, state, findings, now_us, "v1", policy=policy, handle=bench.handle)


def test_a_result_states_all_of_a_state(state: AttesterState) -> None:
    found = Finding(reason=Reason.FILE_UNEXPECTED, detail="/tmp/x", digest=b"\xab\xcd")
    assert result_of(state, found, now_us=RECEIVED_US + 1_999_999) == AttestationResult(
        ueid=Bench().device.ueid,
        environment=state.environment,
        status=Tier.WARNING,
        freshness=Freshness.PENDING,
        reasons=(Reason.REBOOTED, Reason.FILE_UNEXPECTED),
        vector={TrustClaim.EXECUTABLES: 33},
        issued_s=RECEIVED_US // SECOND_US + 1,
        expires_s=RECEIVED_US // SECOND_US + 300,
        verifier="v1",
        handle=HandleId(b"\x13" * 32),
        evidence=b"\x11" * 32,
        sequence=41,
        made_after_us=42,
        made_before_us=43,
        received_us=RECEIVED_US + 7,
        received_after=HandleId(b"\x12" * 32),
        policies=("lab/3",),
        logs={"ima": 5, "tcg2": 9},
        unexpected=("/tmp/x",),
        unexpected_digests=("abcd",),
        unexpected_total=1,
        claims={"name": "x", "answer": 42, "flag": True},
        verified_claims={"firmware-version": "1", "secure-boot": "enabled"},
        rejections=Rejections(count=2, last=Reason.MALFORMED, last_us=44),
        clock_rate_ppm=(-3, 4),
        transitions=(SUSPEND,),
    )


def test_maps_are_in_one_order_wherever_the_state_comes_from(state: AttesterState) -> None:
    result = result_of(state)
    for each in (result.logs, result.claims, result.verified_claims):
        assert list(each) == sorted(each)


def test_only_findings_about_something_are_named(state: AttesterState) -> None:
    result = result_of(
        state,
        Finding(reason=Reason.REBOOTED, detail="ima"),  # not of the listed reasons
        Finding(reason=Reason.REFERENCE_VALUES_MISSING),  # about nothing
        Finding(reason=Reason.PCR_UNEXPECTED, detail="PCR sha256:4", digest=b"\1"),
        Finding(reason=Reason.POLICY_RULE, detail="my rule"),
    )
    assert result.unexpected == ("PCR sha256:4", "my rule")
    assert result.unexpected_digests == ("01", "")
    assert result.unexpected_total == 2


def test_the_first_findings_are_named_and_all_are_counted(state: AttesterState) -> None:
    found = [Finding(reason=Reason.FILE_UNEXPECTED, detail=f"/{n}", digest=bytes([n])) for n in range(20)]
    result = result_of(state, *found)
    assert result.unexpected == tuple(f"/{n}" for n in range(MAX_UNEXPECTED_LISTED))
    assert result.unexpected_digests == tuple(f"{n:02x}" for n in range(MAX_UNEXPECTED_LISTED))
    assert result.unexpected_total == 20


def test_files_that_the_state_did_not_record_are_counted_where_any_are_named(state: AttesterState) -> None:
    state = replace(state, measured=replace(state.measured, unexpected=((b"", "a"),), unexpected_total=5))
    found = Finding(reason=Reason.FILE_UNEXPECTED, detail="a")
    assert result_of(state, found).unexpected_total == 5
    assert result_of(state).unexpected_total == 0
    fewer = replace(state, measured=replace(state.measured, unexpected_total=0))
    assert result_of(fewer, found).unexpected_total == 1


def test_without_a_policy_none_is_named(state: AttesterState) -> None:
    bench = Bench()
    result = build_result(bench.device.ueid, state, (), RECEIVED_US, "v", policy=None, handle=bench.handle)
    assert result.policies == ()


# -- how long it lives -------------------------------------------------------------------------------------------------


def expiry(state: AttesterState, now_us: int, *, handle: bool = True, **policy: float) -> int:
    known = make_handle(lifetime_s=60) if handle else None
    made = make_policy(**policy)
    return build_result(Bench().device.ueid, state, (), now_us, "v", policy=made, handle=known).expires_s


def test_a_result_lives_from_the_receipt_on_however_late_its_handle_came(state: AttesterState) -> None:
    state = replace(state, received_us=RECEIVED_US)
    for late_s in (0, 9):
        now_us = RECEIVED_US + late_s * SECOND_US
        assert expiry(state, now_us, handle=False, result_lifetime_s=20.0) == RECEIVED_US // SECOND_US + 20


def test_a_result_never_outlives_its_handle_and_the_grace(state: AttesterState) -> None:
    ends_s = make_handle(lifetime_s=60).claims.expires_s
    assert expiry(state, RECEIVED_US, result_lifetime_s=3600.0, grace_s=7.0) == ends_s + 7
    assert expiry(state, RECEIVED_US, result_lifetime_s=20.0, grace_s=7.0) == RECEIVED_US // SECOND_US + 20


def test_a_stale_result_stands_for_a_day_from_now(state: AttesterState) -> None:
    stale = replace(state, verdict=replace(state.verdict, freshness=Freshness.STALE))
    now_us = RECEIVED_US + 1000 * SECOND_US
    assert expiry(stale, now_us, result_lifetime_s=20.0) == now_us // SECOND_US + 86_400


def test_the_result_of_a_revoked_key_lives_for_thirty_one_days_from_now(state: AttesterState) -> None:
    verdict = replace(state.verdict, freshness=Freshness.STALE, reasons=(Reason.ATTESTING_KEY_REVOKED,))
    now_us = RECEIVED_US + 1000 * SECOND_US
    expires_s = expiry(replace(state, verdict=verdict), now_us, result_lifetime_s=20.0)
    assert expires_s == now_us // SECOND_US + 31 * 86_400


def test_where_no_policy_says_how_long_a_result_lives_for_five_minutes(state: AttesterState) -> None:
    now_us = RECEIVED_US + 1000 * SECOND_US
    result = build_result(Bench().device.ueid, state, (), now_us, "v", policy=None, handle=make_handle())
    assert result.expires_s == now_us // SECOND_US + 300


def test_a_result_names_the_sets_in_force_and_no_more_than_fit(state: AttesterState) -> None:
    def named(count: int) -> Sequence[str]:
        sets = tuple(f"set-{number}/1" for number in range(count))
        bench = Bench()
        made = build_result(
            bench.device.ueid, state, (), RECEIVED_US, "v", policy=None, handle=None, reference_values=sets
        )
        return made.reference_values

    assert named(2) == ("set-0/1", "set-1/1")
    assert len(named(MAX_SETS)) == MAX_SETS == 64
    assert named(MAX_SETS + 1) == ()
