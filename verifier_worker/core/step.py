"""The only place where an attester's state changes: ``step``, ``overdue``, ``refuse``. Pure.

    state + evidence + receipt time + trust  ->  state', verdict, solicit?

The cost of a push grows with its increment, never with the length of the logs. PCR values and log increments are
unsigned: they decide nothing until their replay reproduces the quoted PCR digest (invariant I1). Entries of a long log
that arrives in several pushes are *unsettled* until the quote of the last push matches. If it does not, all of them are
dropped.

Within a boot, a delta must name the body before it. If it does not, a push was lost: the verdict is undecided, and a
full push is solicited, with claims, PCR values and the log entries that are missing here. A greater reset count is a
reboot: the state starts over with a baseline.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.evidence import VANISHED, ClaimValue, Evidence, EvidenceBody, check_claims_size
from schemas.messages.result import Rejections
from schemas.reasons import Reason
from schemas.reasons.table import REASONS
from schemas.replay.bank_replay import BankReplay
from schemas.replay.increments import NO_VALUES, cut_tails, has_more, join_increments, quoted_values
from schemas.replay.log_replay import Quoted, Replayed, ReplayState
from schemas.replay.resume import resumed
from schemas.tpm.pcr_properties import SAVED_PCRS
from schemas.verdicts import Freshness, Tier
from verifier_worker.core.accounted import Accounted, unreported_resumes
from verifier_worker.core.boot_aggregate import judge_aggregates
from verifier_worker.core.checks.admission import AdmittedEvidence, admit
from verifier_worker.core.checks.appraisal import missing_registers
from verifier_worker.core.checks.transitions import account, report_transitions, reports_hibernation
from verifier_worker.core.clock_changes import OUTCOMES, ClockChange
from verifier_worker.core.clock_record import ClockRecord, next_epoch, went_back
from verifier_worker.core.conclusion import conclude
from verifier_worker.core.finding import Finding
from verifier_worker.core.lasting import Lasting, over_reset, with_found
from verifier_worker.core.measured import measure
from verifier_worker.core.policy.policy_file import AppraisalPolicy
from verifier_worker.core.reference_change import carry_over
from verifier_worker.core.state import AttesterState, Measured
from verifier_worker.core.trust import References, Trust, label_of

LOG_WAIT_US: Final = 600_000_000  # a log that arrives in several pushes has this long; then all of it is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class SolicitRequest:
    """A request to the attester for a full push, with each named log from the given entry on."""

    reason: Reason
    logs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The effect of one push.

    Attributes:
        state: the attester's state now; None while no push of it was accepted.
        findings: of appraisal; empty if the push was refused or a duplicate.
        refused: why the push was refused; ``state`` then differs in ``rejections`` alone. None if it was not.
        duplicate: the push is the last accepted one again; the stored result stays valid.
        solicit: the request to send to the attester, if any.
    """

    state: AttesterState | None
    findings: tuple[Finding, ...] = ()
    refused: PeerError | None = None
    duplicate: bool = False
    solicit: SolicitRequest | None = None


def step(state: AttesterState | None, topic_ueid: Ueid, evidence: Evidence, received_us: int, trust: Trust) -> Step:
    """Takes one push. Never raises, whatever an attester sends.

    Args:
        state: of the attester; None if no push of it was accepted yet.
        topic_ueid: the attester on whose topic the push came.
        evidence: well-formed and untrusted.
        received_us: receipt, UTC microseconds of the verifier's clock.
        trust: endorsements, handles, policy and reference values in force.
    """
    if state is not None and state.envelope == evidence.envelope:
        return Step(state=state, duplicate=True)
    known = state if state is not None and state.environment == evidence.body.environment else None  # of this key
    if known is not None and known.evidence == evidence.body_digest:
        if known.is_settled_by_last_push:
            return Step(state=state, duplicate=True)
        known = _before_last_push(known)
    try:
        admitted = admit(topic_ueid, evidence, known, received_us, trust)
        base, findings, remeasure = _continue_from(known, admitted, trust)
        if reports_hibernation(admitted):
            base = replace(base, lasting=over_reset(base.lasting, hibernated=True))
        advanced, more, solicit = _advance(base, admitted, trust)
        solicit = solicit or remeasure
        findings += report_transitions(known, admitted)
        advanced = replace(
            _keep_earlier(known, advanced),
            accounted=account(known, admitted),
            rejections=state.rejections if state is not None else None,  # of the key before, too
        )
    except PeerError as error:
        return Step(
            state=refuse(state, error.reason, received_us), refused=error, solicit=_ask_again(state, evidence, error)
        )
    findings += more
    if admitted.sync_stamp_problem:
        findings.append(Finding(reason=Reason.SYNC_STAMP_INVALID, detail=admitted.sync_stamp_problem))
    suspect = advanced.clock.suspect
    concluded, findings = conclude(topic_ueid, advanced, findings, trust)
    if solicit is None and concluded.clock.suspect is not None and concluded.clock.suspect is not suspect:
        solicit = _request(concluded.clock.suspect, concluded, admitted)
    return Step(state=concluded, findings=tuple(findings), solicit=solicit)


def _before_last_push(state: AttesterState) -> AttesterState | None:
    """The body of the last push came again with other unsigned bytes, and no quote settled it: judge it from there."""
    earlier = state.earlier
    return replace(earlier, rejections=state.rejections) if earlier is not None else None


def _keep_earlier(known: AttesterState | None, advanced: AttesterState) -> AttesterState:
    if known is None or advanced.is_settled_by_last_push:
        return replace(advanced, earlier=None) if advanced.earlier is not None else advanced
    return replace(advanced, earlier=replace(known, earlier=None))


def refuse(state: AttesterState | None, reason: Reason, received_us: int) -> AttesterState | None:
    """Counts a refused message and changes nothing else (invariant I3). Attesters without a state get none."""
    if state is None:
        return None
    return replace(state, rejections=one_more(state.rejections, reason, received_us))


def one_more(rejections: Rejections | None, reason: Reason, received_us: int) -> Rejections:
    """The count with one more refused message."""
    count = rejections.count + 1 if rejections is not None else 1
    return Rejections(count=count, last=reason, last_us=received_us)


def overdue(state: AttesterState, now_us: int) -> AttesterState:
    """The stale state of an attester that missed its deadline: contraindicated stays, everything else becomes none."""
    if state.deadline_us is None or now_us < state.deadline_us:
        return state
    verdict = state.verdict
    kept = verdict.status is Tier.CONTRAINDICATED
    # A verdict that stays keeps all its reasons: a rule or a weight of the policy may have decided it.
    reasons = [
        Reason.EVIDENCE_OVERDUE,
        *(reason for reason in verdict.reasons if kept or REASONS[reason].effect is not None),
    ]
    stale = replace(
        verdict,
        status=verdict.status if kept else Tier.NONE,
        freshness=Freshness.STALE,
        reasons=tuple(dict.fromkeys(reasons)),
        vector=verdict.vector if kept else {},
    )
    return replace(state, verdict=stale, deadline_us=None)


def _continue_from(
    state: AttesterState | None, admitted: AdmittedEvidence, trust: Trust
) -> tuple[AttesterState, list[Finding], SolicitRequest | None]:
    """The state to continue from: the old one, or an empty one for a new boot or key. Also its findings and solicit."""
    label = label_of(trust)
    if state is None:
        return _fresh(admitted, label, None), [], None
    findings = []
    if state.firmware_version != admitted.quote.firmware_version:
        versions = f"{state.firmware_version:#x} to {admitted.quote.firmware_version:#x}"
        findings.append(Finding(reason=Reason.FIRMWARE_CHANGED, detail=versions))
    outcome = OUTCOMES[admitted.change]
    if outcome.starts_over:
        clock = went_back() if admitted.change is ClockChange.RAN_BACK else next_epoch(state.clock)
        fresh = replace(_fresh(admitted, label, state), clock=clock, went_back=state.went_back or outcome.goes_back)
        lasting = with_found(fresh.lasting, unreported_resumes(state.accounted))  # their counts begin again, too
        if admitted.change is ClockChange.REBOOTED:
            lasting = over_reset(lasting, hibernated=False)
        fresh = replace(fresh, lasting=lasting)
        if outcome.reason is not None:
            findings.append(Finding(reason=outcome.reason))
        return fresh, findings, None
    if admitted.change is ClockChange.RESUMED:
        state = _resumed(state)
    if state.measured.label != label:  # appraised under another policy or other reference values
        body = admitted.evidence.body
        baseline = body.previous is None and not any(body.logs.values())
        succession = carry_over(state, body.ueid, trust, admitted.received_us) if not baseline else None
        if succession is None:  # measure everything again
            return replace(_fresh(admitted, label, state), claims=state.claims), findings, None
        ask = SolicitRequest(reason=Reason.BASELINE_REQUIRED, logs=dict.fromkeys(body.logs, 0))
        return succession.state, findings, ask if succession.ask else None
    return state, findings, None


def _resumed(state: AttesterState) -> AttesterState:
    """The state without the PCRs that the TPM lost over a suspend. Its clock stood still meanwhile."""
    state = replace(state, clock=next_epoch(state.clock))
    owners = state.measured.owners
    volatile = {names for (_, index), names in owners.items() if index not in SAVED_PCRS}
    lost = {name for names in volatile for name in names if name[:4] == "cel/"}
    if not lost:
        return state
    return replace(
        state,
        replay=resumed(state.replay, lost),
        tails={name: tail for name, tail in state.tails.items() if name not in lost},
        measured=replace(
            state.measured, owners={register: names for register, names in owners.items() if register[1] in SAVED_PCRS}
        ),
        appraised=None,
    )


def _fresh(admitted: AdmittedEvidence, label: str, before: AttesterState | None) -> AttesterState:
    """An empty state for the boot of this push; keeps from ``before`` what outlives a boot."""
    selection = admitted.quoted.pcr_selection
    return AttesterState(
        **_facts_of(admitted),
        environment=admitted.evidence.body.environment,
        reset_count=admitted.quote.clock_info.reset_count,
        chained=None,
        replay=ReplayState(banks=tuple(bank.algorithm for bank in selection.banks)),
        settled=False,
        selection=selection,
        unlogged=NO_VALUES,
        measured=Measured(label=label),
        lasting=before.lasting if before is not None else Lasting(),
        clock=before.clock if before is not None else ClockRecord(),
        handle_time_us=before.handle_time_us if before is not None else None,
        went_back=before is not None and before.went_back,
        rejections=before.rejections if before is not None else None,
        accounted=before.accounted if before is not None else Accounted(),
    )


def _advance(
    base: AttesterState, admitted: AdmittedEvidence, trust: Trust
) -> tuple[AttesterState, list[Finding], SolicitRequest | None]:
    """Applies the push to ``base``: first checks that nothing is missing before it, then replays the logs.

    Raises:
        PeerError: the unsigned parts do not parse, or do not reproduce the quote although nothing is missing.
    """
    body, policy = admitted.evidence.body, trust.policy
    baseline = body.previous is None and not any(body.logs.values())
    if baseline or base.selection != admitted.quoted.pcr_selection:
        # A quote with another selection does not cover the entries replayed so far; a baseline repeats all of them.
        base = _fresh(admitted, base.measured.label, base)
    if policy is None or trust.references.missing or missing_registers(policy, admitted.quoted.pcr_selection):
        # Drop these log entries: nothing judges or binds them, so they must not be replayed into a later verdict.
        # Solicit one baseline so that the audit log has the full logs. Asking again would delay the first real verdict,
        # since solicits are rate-limited.
        ask = None
        if body.previous is not None and base.evidence == admitted.evidence.body_digest:  # its first push
            ask = _request(Reason.BASELINE_REQUIRED, base, admitted)
        return _moved(base, admitted, chained=None), [], ask
    if body.previous is not None and body.previous != base.chained:
        reason = Reason.SEQUENCE_GAP if base.chained is not None else Reason.BASELINE_REQUIRED
        return _moved(base, admitted), [Finding(reason=reason)], _request(reason, base, admitted)
    if body.previous is not None and any(
        start < base.replay.next_index.get(name, 0) for name, start in body.logs.items()
    ):
        # The state has entries that the attester never sent: somebody on the way inserted them.
        emptied = _fresh(admitted, base.measured.label, base)
        reason = Reason.BASELINE_REQUIRED
        return emptied, [Finding(reason=reason)], _request(reason, emptied, admitted)
    increments, gap = join_increments(base.replay, base.tails, admitted.evidence)
    if gap is not None:
        reason = Reason.LOG_GAP if base.replay.next_index else Reason.BASELINE_REQUIRED
        return _moved(base, admitted), [Finding(reason=reason, detail=gap)], _request(reason, base, admitted)
    return _replay(base, admitted, increments, policy, trust.references)


def _replay(
    base: AttesterState,
    admitted: AdmittedEvidence,
    increments: Mapping[str, bytes],
    policy: AppraisalPolicy,
    references: References,
) -> tuple[AttesterState, list[Finding], SolicitRequest | None]:
    evidence, body, quoted = admitted.evidence, admitted.evidence.body, admitted.quoted
    full = body.previous is None
    sent = quoted_values(evidence, quoted.pcr_selection)
    unlogged = sent if full else base.unlogged.updated(sent) if len(sent) else base.unlogged
    replay = BankReplay(base.replay, increments)
    selection, algorithm = quoted.pcr_selection, admitted.signature.hash
    reproduced = replay.until(Quoted(selection=selection, digest=quoted.pcr_digest, algorithm=algorithm), unlogged)
    settled = reproduced is not None  # whatever the unsigned total says
    if reproduced is None and not has_more(evidence, replay.next_index):
        return _mismatch(base, admitted)
    outcome = reproduced or replay.whole
    unsettled_us = None if settled else base.unsettled_us or admitted.received_us
    if unsettled_us is not None and admitted.received_us - unsettled_us > LOG_WAIT_US:
        emptied = _fresh(admitted, base.measured.label, base)
        return emptied, [], _request(Reason.LOG_INCOMPLETE, emptied, admitted)
    measured = _measured(base, outcome, policy, references)
    if measured.aggregates and settled:
        measured = judge_aggregates(measured, outcome.state, unlogged, policy.pcrs)
    unchanged = base.settled and settled and not outcome.consumed and unlogged is base.unlogged and not body.claims
    advanced = _moved(
        base,
        admitted,
        chained=evidence.body_digest,
        replay=outcome.state,
        settled=settled,
        unsettled_us=unsettled_us,
        unlogged=unlogged,
        tails=cut_tails(increments, outcome) if increments and settled else {},
        claims=_merged_claims(base, body),
        measured=measured,
        appraised=base.appraised if unchanged else None,
    )
    return advanced, [], None


def _measured(base: AttesterState, outcome: Replayed, policy: AppraisalPolicy, references: References) -> Measured:
    """With the entries that were replayed."""
    if not outcome.consumed:
        return base.measured
    consumed, after, doubted = outcome.consumed, outcome.state, {finding.digest for finding in base.lasting.findings}
    return measure(base.measured, consumed, after, references, policy.pcrs, policy.logs, policy.ima, doubted)


def _merged_claims(base: AttesterState, body: EvidenceBody) -> Mapping[str, ClaimValue]:
    """The attester's claims after this push.

    Raises:
        PeerError: ``too-large``: with this delta they exceed the limit of a full push.
    """
    if body.previous is not None and not body.claims:
        return base.claims
    before = base.claims if body.previous is not None else {}
    merged = {name: value for name, value in {**before, **body.claims}.items() if value != VANISHED}
    check_claims_size(merged)
    return merged


def _mismatch(
    base: AttesterState, admitted: AdmittedEvidence
) -> tuple[AttesterState, list[Finding], SolicitRequest | None]:
    """Handles logs that do not reproduce the quote although nothing is missing.

    Raises:
        PeerError: ``log-replay-mismatch`` if the entries before this push were settled. Then the unsigned bytes of this
            push are at fault. Anyone who carried them may have changed them, so the state stays. If the IMA list
            outlived the TPM, the attester's own entries may never reproduce a quote, and asking again is vain.
    """
    reason = Reason.LOG_REPLAY_MISMATCH
    emptied = _fresh(admitted, base.measured.label, base)
    if base.lasting.outlived_tpm:
        return emptied, [Finding(reason=reason)], None
    if base.settled or not base.replay.next_index:
        raise PeerError(reason, "PCR values and logs do not reproduce the quoted PCR digest")
    return emptied, [Finding(reason=reason)], _request(reason, emptied, admitted)


def _moved(base: AttesterState, admitted: AdmittedEvidence, **changes: Any) -> AttesterState:  # noqa: ANN401 fields
    """``base`` with the signed facts of the push, and with ``changes``."""
    return replace(base, **_facts_of(admitted), **changes)


def _facts_of(admitted: AdmittedEvidence) -> dict[str, Any]:
    """Fields of the state that every accepted push sets: clock, counters, place in the chain, receipt."""
    evidence, clock = admitted.evidence, admitted.quote.clock_info
    return {
        "restart_count": clock.restart_count,
        "clock_ms": clock.clock,
        "sequence": evidence.body.sequence,
        "evidence": evidence.body_digest,
        "envelope": evidence.envelope,
        "sync": admitted.sync,
        "received_us": admitted.received_us,
        "received_after": admitted.received_after,
        "clock_safe": clock.safe,
        "firmware_version": admitted.quote.firmware_version,
        "transitions": evidence.body.transitions,
    }


def _request(reason: Reason, base: AttesterState, admitted: AdmittedEvidence) -> SolicitRequest:
    """A request for a full push, with every log from the entry that ``base`` needs."""
    logs = dict.fromkeys(admitted.evidence.body.logs, 0)
    return SolicitRequest(reason=reason, logs={**logs, **base.replay.next_index})


def _ask_again(state: AttesterState | None, evidence: Evidence, error: PeerError) -> SolicitRequest | None:
    """A request to resend the unsigned parts, if they were bad in authentic evidence; None for any other refusal."""
    if state is None or error.reason not in {Reason.LOG_REPLAY_MISMATCH, Reason.LOG_MALFORMED}:
        return None
    return SolicitRequest(reason=error.reason, logs=dict.fromkeys(evidence.body.logs, 0))
