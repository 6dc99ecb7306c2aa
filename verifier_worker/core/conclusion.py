"""From a state to its verdict: bounds the time of the quote, appraises, sets the deadline."""

from dataclasses import replace

from schemas.identifiers import Ueid
from schemas.instants import SECOND_US
from schemas.messages.handle import MAX_ACCURACY_US, Handle
from schemas.reasons import Reason
from schemas.time_model import MAX_DRIFT_PPM, ClockAnchor, Interval, quote_made
from schemas.verdicts import Freshness
from verifier_worker.core.checks.appraisal import affirming_vector, appraise_measurements, appraise_moment, verdict_of
from verifier_worker.core.checks.appraisal_input import AppraisalInput
from verifier_worker.core.checks.rules import apply_rules
from verifier_worker.core.clock_record import synchronised
from verifier_worker.core.finding import Finding
from verifier_worker.core.lasting import Lasting, after_settled_quote, reported, without_covered
from verifier_worker.core.measured import verify_claims
from verifier_worker.core.reference_change import carry_over
from verifier_worker.core.state import Appraised, AttesterState
from verifier_worker.core.trust import Trust, label_of


def conclude(
    ueid: Ueid, state: AttesterState, findings: list[Finding], trust: Trust
) -> tuple[AttesterState, list[Finding]]:
    """Computes everything that follows from a state and its handle. Returns the new state and all findings."""
    handle, policy = trust.handles.get(state.sync.handle), trust.policy
    if handle is not None and _stamped_before_handle(state, handle):
        findings = [*findings, Finding(reason=Reason.SYNC_STAMP_INVALID, detail="stamped before the handle")]
        state = replace(state, sync=replace(state.sync, stamped_before_us=None))
    state = _timed(
        state,
        handle,
        drift_ppm=policy.drift_ppm if policy is not None else MAX_DRIFT_PPM,
        deadline_us=state.received_us + policy.deadline_us if policy is not None else None,
    )
    key = trust.endorsed.get(ueid)
    given = AppraisalInput(
        state=state,
        handle=handle,
        policy=policy,
        references=trust.references,
        conflict=trust.conflict,
        missing=trust.missing,
        current=trust.current,
        group=trust.group,
        genuine=key is not None and key.endorsement.genuine is not None,
    )
    appraised = state.appraised
    if appraised is None or appraised.policy is not policy or appraised.references != trust.references.label:
        claims = verify_claims(state.measured, state.replay.banks, state.selection) if state.settled else {}
        appraised = Appraised(
            policy=policy,
            references=trust.references.label,
            findings=appraise_measurements(given),
            verified_claims=claims,
        )
    lasting = _lasting(state, appraised, trust)
    measured = [*appraised.findings, *reported(lasting, appraised.findings)]
    findings = [*findings, *appraise_moment(given), *measured]
    if policy is not None and state.settled:  # before a baseline the facts are missing (invariant I9)
        findings += apply_rules(policy.rules, given, ueid, tuple(findings), appraised.verified_claims)
    # After a gap the logs have only been replayed up to an earlier quote: their findings stay, but this quote's PCRs
    # vouch for no claim.
    vouched = appraised.verified_claims if state.chained == state.evidence else {}
    verdict = verdict_of(findings, affirming_vector(given), policy, vouched)
    return replace(state, verdict=verdict, appraised=appraised, lasting=lasting), findings


def _lasting(state: AttesterState, appraised: Appraised, trust: Trust) -> Lasting:
    """The findings of this boot that no signed thing has taken away."""
    measured, lasting = state.measured, state.lasting
    if state.settled:
        unlisted = (Reason.FILE_UNEXPECTED,) if measured.unexpected_total > len(measured.unexpected) else ()
        lasting = after_settled_quote(lasting, appraised.findings, unlisted, measured.label)
    return without_covered(lasting, trust.policy, trust.references, measured.accepted)


def _stamped_before_handle(state: AttesterState, handle: Handle) -> bool:
    """Whether the stamp over the sync proof is wrong: it is earlier than the handle that the proof signs."""
    stamped_us = state.sync.stamped_before_us
    return stamped_us is not None and stamped_us < handle.made.after_us


def _timed(state: AttesterState, handle: Handle | None, *, drift_ppm: int, deadline_us: int | None) -> AttesterState:
    """Adds the bounds of when the quote was made, the clock's rate, and the deadline (invariant I15).

    The quote signs the handle through its body. So it was made after the handle and before its receipt, whatever its
    clock reads. The clock narrows these bounds only if the sync proof is of the same epoch and the clock is trusted.

    An unknown handle may be as new as the push's receipt plus the worst TSA error. Only a handle later than that proves
    that a later quote is new.
    """
    known_us = state.handle_time_us
    if handle is None:
        latest_us = max(known_us or 0, state.received_us + MAX_ACCURACY_US)
        return replace(
            state, made_after_us=None, made_before_us=None, handle_time_us=latest_us, deadline_us=deadline_us
        )
    sync, made, clock = state.sync, handle.made, state.clock
    after_us, before_us = made.after_us, max(state.received_us, made.after_us)
    stamped_us = None if state.went_back else sync.stamped_before_us  # the same counters may name another epoch
    if (sync.reset_count, sync.restart_count) == (state.reset_count, state.restart_count):
        latest_us = max(before_us, made.before_us or 0)  # if our clock is behind, theirs must not look fast
        here = ClockAnchor(
            clock_ms=sync.clock_ms,
            after_us=made.after_us,
            before_us=latest_us if stamped_us is None else min(latest_us, stamped_us),
            time_ms=sync.time_ms,
        )
        clock = synchronised(clock, here, drift_ppm)
        if clock.suspect is None and state.clock_ms >= sync.clock_ms:
            window = Interval(after_us=made.after_us, before_us=stamped_us)
            quoted = quote_made(window, sync.clock_ms, state.clock_ms, drift_ppm)
            before_us = before_us if quoted.before_us is None else min(before_us, quoted.before_us)
            after_us = quoted.after_us if quoted.after_us <= before_us else after_us  # else the clock is wrong
    return replace(
        state,
        made_after_us=after_us,
        made_before_us=before_us if made.after_us <= state.received_us else None,  # else our own clock is behind
        clock=clock,
        handle_time_us=handle.time_us if known_us is None else max(known_us, handle.time_us),
        deadline_us=deadline_us,
    )


def resolve(
    ueid: Ueid, state: AttesterState, trust: Trust, now_us: int
) -> tuple[AttesterState, tuple[Finding, ...]] | None:
    """Appraises the last push again, now that its handle is known.

    Args:
        ueid: the attester.
        state: its verdict is pending.
        trust: in force now.
        now_us: UTC microseconds; after the deadline :func:`step.overdue` decides instead.

    Returns:
        The state and the findings. None if the push did not wait for its handle, the handle is still unknown, the key
        is no longer endorsed, or the trust in force now judges the logs differently (the next push will be appraised).
    """
    if state.verdict.freshness is not Freshness.PENDING or state.sync.handle not in trust.handles:
        return None
    key = trust.endorsed.get(ueid)
    if key is None or key.name != state.environment or not key.endorsement.is_valid(now_us // SECOND_US):
        return None
    if state.deadline_us is not None and now_us >= state.deadline_us:
        return None
    if state.measured.label != label_of(trust):
        succession = carry_over(state, ueid, trust, now_us)
        if succession is None:
            return None
        state = succession.state
    asked_again = {Reason.HANDLE_UNKNOWN, Reason.POLICY_RULE, Reason.POLICY_RULE_FAILED}
    before = [Finding(reason=reason) for reason in state.verdict.reasons if reason not in asked_again]
    concluded, findings = conclude(ueid, state, before, trust)
    return concluded, tuple(findings)
