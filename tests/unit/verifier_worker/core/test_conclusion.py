"""``conclude``: times to the microsecond, what is judged again and what is kept, who vouches for what."""

from dataclasses import replace

import pytest

from schemas.boot_log.facts import VERSION_PCR, BootFacts
from schemas.hashes import SHA256
from schemas.messages.endorsement import Genuine
from schemas.messages.handle import MAX_ACCURACY_US, Handle
from schemas.reasons import Reason
from schemas.time_model import ClockAnchor
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.worlds.device import T0_US, make_handle, make_policy
from tests.worlds.step_bench import RECEIVED_US, Bench
from verifier_worker.core.conclusion import conclude, resolve
from verifier_worker.core.finding import Finding
from verifier_worker.core.policy.policy_file import RuleTable
from verifier_worker.core.state import AttesterState
from verifier_worker.core.trust import Trust, label_of

SECOND_US = 1_000_000


class Concluded:
    """A device after a baseline, whose state and trust a test may change before it concludes again.

    The handle is of T0, its sync proof has clock 1000 ms, the quote 2000 ms, receipt is 5 s after T0; no drift.
    """

    def __init__(self, **policy: object) -> None:
        bench = Bench(policy_changes={"drift_ppm": 0, **policy})
        bench.take(bench.device.push())
        assert bench.state is not None
        self.ueid = bench.device.ueid
        self.trust: Trust = bench.trust
        self.handle: Handle = bench.handle
        self.state: AttesterState = replace(bench.state, clock=replace(bench.state.clock, first=None, last=None))

    def conclude(self, *findings: Finding) -> tuple[AttesterState, list[Finding]]:
        return conclude(self.ueid, self.state, list(findings), self.trust)

    def timed(self, handle: Handle | None = None, **changes: object) -> AttesterState:
        """The state with other fields, under the handle if there is one."""
        if handle is not None:
            self.trust = replace(self.trust, handles={handle.id: handle})
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]  # fields by name
        return self.conclude()[0]

    def stamped(self, at_us: int) -> None:
        """A TSA stamped the sync proof not after this."""
        self.state = replace(self.state, sync=replace(self.state.sync, stamped_before_us=at_us))


@pytest.fixture
def concluded() -> Concluded:
    return Concluded()


def reasons_of(findings: list[Finding]) -> set[Reason]:
    return {finding.reason for finding in findings}


# When the quote was made.


def test_the_clock_narrows_when_a_quote_was_made_by_the_drift_that_the_policy_allows(concluded: Concluded) -> None:
    assert concluded.timed().made_after_us == T0_US + 999_000
    assert Concluded(drift_ppm=500_000).timed().made_after_us == T0_US + 666_000


def test_without_a_policy_the_drift_is_the_most_that_a_tpm_may_have(concluded: Concluded) -> None:
    concluded.trust = replace(concluded.trust, policy=None)
    assert concluded.timed().made_after_us == T0_US + 999_000 * 100 // 115


def test_a_clock_that_puts_the_quote_after_its_receipt_narrows_nothing(concluded: Concluded) -> None:
    assert concluded.timed(clock_ms=1000 + 5001).made_after_us == RECEIVED_US
    assert concluded.timed(clock_ms=1000 + 5002).made_after_us == T0_US


def test_a_clock_behind_its_proof_narrows_nothing(concluded: Concluded) -> None:
    later = concluded.timed(clock_ms=999)
    assert (later.made_after_us, later.made_before_us) == (T0_US, RECEIVED_US)
    concluded.stamped(T0_US + SECOND_US)
    assert concluded.timed().made_before_us == RECEIVED_US


def test_a_clock_of_another_epoch_narrows_nothing_and_measures_no_rate(concluded: Concluded) -> None:
    later = concluded.timed(restart_count=5)
    assert (later.made_after_us, later.made_before_us) == (T0_US, RECEIVED_US)
    assert later.clock.last is None


def test_a_clock_under_suspicion_narrows_nothing(concluded: Concluded) -> None:
    suspected = replace(concluded.state.clock, suspect=Reason.CLOCK_SET)
    assert concluded.timed(clock=suspected).made_after_us == T0_US


def test_a_stamp_over_the_proof_bounds_a_quote_of_the_same_reading(concluded: Concluded) -> None:
    concluded.stamped(T0_US + SECOND_US)
    assert concluded.timed(clock_ms=1000).made_before_us == T0_US + SECOND_US + 1000  # a reading is a millisecond wide


def test_a_stamp_after_the_receipt_bounds_nothing(concluded: Concluded) -> None:
    concluded.stamped(RECEIVED_US + SECOND_US)
    assert concluded.timed().made_before_us == RECEIVED_US


def test_a_receipt_before_the_handle_shows_that_our_own_clock_is_behind(concluded: Concluded) -> None:
    assert concluded.timed(received_us=T0_US).made_before_us == T0_US
    assert concluded.timed(received_us=T0_US - 1).made_before_us is None


def test_a_push_under_an_unknown_handle_has_no_time(concluded: Concluded) -> None:
    assert concluded.timed().made_after_us is not None
    concluded.state = concluded.timed()
    concluded.trust = replace(concluded.trust, handles={})
    later = concluded.timed()
    assert (later.made_after_us, later.made_before_us) == (None, None)


# What a handle proves about later ones.


def test_an_unknown_handle_may_be_as_new_as_the_receipt_and_the_worst_tsa_allow(concluded: Concluded) -> None:
    concluded.trust = replace(concluded.trust, handles={})
    newest_us = RECEIVED_US + MAX_ACCURACY_US
    assert concluded.timed(handle_time_us=None).handle_time_us == newest_us
    assert concluded.timed(handle_time_us=newest_us - 1).handle_time_us == newest_us
    assert concluded.timed(handle_time_us=newest_us + 1).handle_time_us == newest_us + 1


def test_the_newest_handle_is_never_forgotten_for_an_older_one(concluded: Concluded) -> None:
    assert concluded.timed(handle_time_us=None).handle_time_us == T0_US
    assert concluded.timed(handle_time_us=T0_US - 1).handle_time_us == T0_US
    assert concluded.timed(handle_time_us=T0_US + 1).handle_time_us == T0_US + 1


# The rate of the clock.


def anchor(state: AttesterState) -> ClockAnchor:
    assert state.clock.last is not None
    return state.clock.last


def test_a_synchronisation_lies_between_handle_and_receipt(concluded: Concluded) -> None:
    here = anchor(concluded.timed())
    assert here == ClockAnchor(clock_ms=1000, after_us=T0_US, before_us=RECEIVED_US, time_ms=1000)


def test_a_slow_verifier_clock_makes_no_device_clock_fast(concluded: Concluded) -> None:
    """By our clock the push came before the TSA can have stamped its handle; the device is not to blame."""
    handle = make_handle(accuracy_us=3 * SECOND_US)
    latest_us = handle.made.before_us
    assert latest_us is not None
    assert latest_us > T0_US + 3 * SECOND_US
    assert anchor(concluded.timed(handle, received_us=T0_US - SECOND_US)).before_us == latest_us
    assert anchor(concluded.timed(handle, received_us=latest_us + 1)).before_us == latest_us + 1


@pytest.mark.parametrize(("stamped_s", "bound_s"), [(1, 1), (4, 4), (9, 5)])
def test_a_stamp_bounds_a_synchronisation_where_it_is_before_the_receipt(
    concluded: Concluded, stamped_s: int, bound_s: int
) -> None:
    concluded.stamped(T0_US + stamped_s * SECOND_US)
    assert anchor(concluded.timed()).before_us == T0_US + bound_s * SECOND_US


def test_after_the_counters_went_back_a_stamp_bounds_nothing(concluded: Concluded) -> None:
    concluded.stamped(T0_US + SECOND_US)
    assert anchor(concluded.timed(went_back=True)).before_us == RECEIVED_US


def test_a_stamp_before_the_handle_is_told_and_forgotten(concluded: Concluded) -> None:
    handle = make_handle(accuracy_us=SECOND_US)
    concluded.trust = replace(concluded.trust, handles={handle.id: handle})
    concluded.stamped(T0_US - SECOND_US)
    state, findings = concluded.conclude()
    assert Reason.SYNC_STAMP_INVALID not in reasons_of(findings)
    assert state.sync.stamped_before_us == T0_US - SECOND_US
    concluded.stamped(T0_US - SECOND_US - 1)
    before = Finding(reason=Reason.FIRMWARE_CHANGED)
    state, findings = concluded.conclude(before)
    assert findings[0] == before
    assert [bool(each.detail) for each in findings if each.reason is Reason.SYNC_STAMP_INVALID] == [True]
    assert state.sync.stamped_before_us is None


# What is judged again.


def test_nothing_is_judged_again_while_nothing_has_changed(concluded: Concluded) -> None:
    first, _ = concluded.conclude()
    concluded.state = first
    again, _ = concluded.conclude()
    assert first.appraised is not None
    assert again.appraised is first.appraised


def test_everything_is_judged_again_by_reference_values_of_another_label(concluded: Concluded) -> None:
    concluded.state, _ = concluded.conclude()
    other = {SHA256: {0: frozenset({bytes(32)})}}
    references = replace(concluded.trust.references, registers=other)
    concluded.trust = replace(concluded.trust, references=references)
    assert Reason.PCR_UNEXPECTED not in reasons_of(concluded.conclude()[1])  # the same label: the same values
    concluded.trust = replace(concluded.trust, references=replace(references, label="good/2"))
    assert Reason.PCR_UNEXPECTED in reasons_of(concluded.conclude()[1])


def test_everything_is_judged_again_by_another_policy(concluded: Concluded) -> None:
    concluded.state, _ = concluded.conclude()
    assert concluded.trust.policy is not None
    concluded.trust = replace(
        concluded.trust, policy=replace(concluded.trust.policy, logs={"cel/app": frozenset({14})})
    )
    assert Reason.LOG_MISSING in reasons_of(concluded.conclude()[1])


# What quoted PCRs vouch for.


def test_claims_are_vouched_for_by_a_quote_that_the_logs_reproduced(concluded: Concluded) -> None:
    measured = replace(
        concluded.state.measured, boot=BootFacts(version="1.2"), owners={(SHA256.tpm_id, VERSION_PCR): ("tcg2",)}
    )
    concluded.state = replace(concluded.state, measured=measured, appraised=None)
    assert concluded.conclude()[0].verdict.verified_claims == {"firmware-version": "1.2"}
    concluded.state = replace(concluded.state, settled=False)
    assert concluded.conclude()[0].verdict.verified_claims == {}
    concluded.state = replace(concluded.state, settled=True, chained=None)
    assert concluded.conclude()[0].verdict.verified_claims == {}


def test_only_an_endorsement_that_says_so_makes_the_hardware_genuine(concluded: Concluded) -> None:
    assert TrustClaim.HARDWARE not in concluded.conclude()[0].verdict.vector
    key = concluded.trust.endorsed[concluded.ueid]
    endorsement = replace(key.endorsement, genuine=Genuine.EK_CERTIFICATE)
    concluded.trust = replace(concluded.trust, endorsed={concluded.ueid: replace(key, endorsement=endorsement)})
    assert concluded.conclude()[0].verdict.vector[TrustClaim.HARDWARE] == 2
    concluded.trust = replace(concluded.trust, endorsed={})
    assert TrustClaim.HARDWARE not in concluded.conclude()[0].verdict.vector


def test_a_rule_sees_the_group() -> None:
    concluded = Concluded(rules=(RuleTable(name="lab", when="group == 'lab'"),))
    assert Reason.POLICY_RULE not in reasons_of(concluded.conclude()[1])
    concluded.trust = replace(concluded.trust, group="lab")
    assert Reason.POLICY_RULE in reasons_of(concluded.conclude()[1])


def test_without_a_policy_no_rule_is_asked_and_nothing_is_due(concluded: Concluded) -> None:
    concluded.trust = replace(concluded.trust, policy=None)
    state, findings = concluded.conclude()
    assert Reason.POLICY_MISSING in reasons_of(findings)
    assert state.verdict.status is Tier.NONE
    assert state.deadline_us is None


def test_the_policy_that_the_group_should_have_is_named(concluded: Concluded) -> None:
    concluded.trust = replace(concluded.trust, policy=None, missing="fleet, which was not received")
    _, findings = concluded.conclude()
    assert Finding(reason=Reason.POLICY_MISSING, detail="fleet, which was not received") in findings


# A handle that comes late.


class Pending(Concluded):
    """A push whose handle was not known; it is known from now on."""

    def __init__(self, **policy: object) -> None:
        super().__init__(**policy)
        known = self.trust
        self.trust = replace(known, handles={})
        self.state, _ = self.conclude()
        assert self.state.verdict.freshness is Freshness.PENDING
        self.trust = known

    def resolve(self, now_us: int = RECEIVED_US) -> AttesterState | None:
        resolved = resolve(self.ueid, self.state, self.trust, now_us)
        return resolved[0] if resolved is not None else None

    def valid_until(self, not_after_s: int) -> None:
        key = self.trust.endorsed[self.ueid]
        endorsement = replace(key.endorsement, not_after_s=not_after_s)
        self.trust = replace(self.trust, endorsed={self.ueid: replace(key, endorsement=endorsement)})


def test_a_late_handle_resolves_up_to_the_last_microsecond_of_the_endorsement() -> None:
    pending = Pending()
    last_us = RECEIVED_US + 999_999
    pending.valid_until(last_us // SECOND_US)
    assert pending.resolve(last_us) is not None
    assert pending.resolve(last_us + 1) is None


def test_a_late_handle_resolves_until_the_deadline_if_there_is_one() -> None:
    pending = Pending()
    deadline_us = pending.state.deadline_us
    assert deadline_us is not None
    assert pending.resolve(deadline_us - 1) is not None
    assert pending.resolve(deadline_us) is None
    pending.state = replace(pending.state, deadline_us=None)
    assert pending.resolve(deadline_us) is not None


def test_a_verdict_that_waits_for_nothing_does_not_resolve(concluded: Concluded) -> None:
    state, _ = concluded.conclude()
    assert resolve(concluded.ueid, state, concluded.trust, RECEIVED_US) is None


def test_a_late_handle_resolves_while_the_baseline_after_a_removal_is_not_due() -> None:
    pending = Pending()
    assert pending.trust.policy is not None
    old = label_of(pending.trust).partition(" ")[2]
    references = replace(pending.trust.references, label="good/2", ended={old: RECEIVED_US})
    pending.trust = replace(pending.trust, references=references)
    resolved = pending.resolve()
    assert resolved is not None
    assert resolved.verdict.status is Tier.AFFIRMING


@pytest.mark.parametrize("reason", [Reason.HANDLE_UNKNOWN, Reason.POLICY_RULE, Reason.POLICY_RULE_FAILED])
def test_what_depended_on_the_handle_is_asked_again(reason: Reason) -> None:
    pending = Pending()
    verdict = replace(pending.state.verdict, reasons=(reason, Reason.REBOOTED))
    pending.state = replace(pending.state, verdict=verdict)
    resolved = pending.resolve()
    assert resolved is not None
    assert resolved.verdict.reasons == (Reason.REBOOTED,)


def test_the_deadline_is_counted_from_the_receipt() -> None:
    concluded = Concluded()
    concluded.trust = replace(concluded.trust, policy=make_policy(deadline_s=7.0))
    assert concluded.conclude()[0].deadline_us == RECEIVED_US + 7 * SECOND_US
