"""Appraisal: judges an attester by an accepted push. Each check yields findings, or nothing.

The table of reasons states the effect of each reason on the verdict; a policy may give some of them another weight. A
reason without an effect is only reported.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Final

from schemas.hashes import HashAlgorithm
from schemas.ima.records import ImaBankMode
from schemas.instants import SECOND_US, iso_text
from schemas.reasons import Reason
from schemas.reasons.row import UNDECIDED, Effect
from schemas.reasons.table import REASONS
from schemas.replay.log_replay import IMA, TCG2
from schemas.time_model import quote_made
from schemas.tpm.pcr import STARTUP_LOCALITIES, PcrSelection, initial_value
from schemas.verdicts import Freshness, Tier, TrustClaim, Weight, overall_status
from verifier_worker.core.accounted import unreported_resumes
from verifier_worker.core.checks.appraisal_input import AppraisalInput, Check
from verifier_worker.core.checks.ima_list import (
    boot_aggregate_is_of_the_quoted_pcrs,
    list_holds_what_it_must,
    list_was_not_outlived,
)
from verifier_worker.core.checks.secure_boot import (
    command_line_is_as_required,
    loaders_are_as_required,
    secure_boot_is_as_required,
)
from verifier_worker.core.finding import Finding, register_text
from verifier_worker.core.policy.policy_file import AppraisalPolicy
from verifier_worker.core.state import AttesterState, Verdict

_FIRMWARE_PCRS: Final = range(8)
_CLOCK_TOLERANCE_US: Final = 2_000_000  # accepted difference between our own clock and the TSA's


def policy_applies(given: AppraisalInput) -> Iterator[Finding]:
    """There is one policy for the attester, and the reference values that it names exist (invariant I8)."""
    if given.conflict:
        yield Finding(reason=Reason.POLICY_CONFLICT, detail=given.conflict)
    elif given.policy is None:
        yield Finding(reason=Reason.POLICY_MISSING, detail=given.missing)
    for name in given.references.missing:
        yield Finding(reason=Reason.REFERENCE_VALUES_MISSING, detail=name)
    if not _is_anything_judged(given):
        yield Finding(reason=Reason.REFERENCE_VALUES_MISSING)


def _is_anything_judged(given: AppraisalInput) -> bool:
    """Values of files judge nothing where the policy asks for no log that measures files."""
    references, policy = given.references, given.policy
    if references.registers or policy is None:
        return bool(references.registers or references.files or references.keys)
    if policy.secure_boot or policy.no_test_keys or policy.loaders or policy.rules:
        return bool(references.files or references.keys)
    judged = bool(references.files) and any(name != TCG2 for name in policy.logs)
    return judged or (bool(references.keys) and IMA in policy.logs)


def trust_is_current(given: AppraisalInput) -> Iterator[Finding]:
    """The endorser has stated lately what is in force, so no revocation was held back (invariant I40)."""
    if given.policy is None:
        return
    received_us, current = given.state.received_us, given.current
    if current.since_s is None:
        yield Finding(reason=Reason.TRUST_STALE, detail="no statement of what is current was received")
        return
    ends_us = min(current.since_s * SECOND_US + given.policy.trust_max_age_us, current.until_s * SECOND_US)
    if received_us > ends_us:
        since = iso_text(current.since_s * SECOND_US, "seconds")
        yield Finding(reason=Reason.TRUST_STALE, detail=f"the last statement of what is current is of {since}")


def handle_is_known_and_current(given: AppraisalInput) -> Iterator[Finding]:
    """The handle was verified here (invariant I16), and was not expired on receipt."""
    if given.handle is None:
        yield Finding(reason=Reason.HANDLE_UNKNOWN)
    elif given.policy is not None and given.state.received_us > given.handle.expires_us + given.policy.grace_us:
        yield Finding(reason=Reason.HANDLE_EXPIRED)


def clock_is_synchronised(given: AppraisalInput) -> Iterator[Finding]:
    """Sync proof and quote are of one clock epoch, in order, and not later than their receipt."""
    state, sync = given.state, given.state.sync
    if (sync.reset_count, sync.restart_count) != (state.reset_count, state.restart_count):
        yield Finding(reason=Reason.CLOCK_EPOCH_MISMATCH)
    elif state.clock_ms < sync.clock_ms:
        yield Finding(reason=Reason.CLOCK_RAN_BACK)
    elif given.handle is not None and given.policy is not None:
        made = quote_made(given.handle.made, sync.clock_ms, state.clock_ms, given.policy.drift_ppm)
        if made.after_us > state.received_us + _CLOCK_TOLERANCE_US:
            yield Finding(reason=Reason.CLOCK_AHEAD_OF_VERIFIER)


def evidence_is_fresh(given: AppraisalInput) -> Iterator[Finding]:
    """The quote cannot be older than the policy allows.

    The owner of a device can set the TPM's clock forward, make quotes in advance and hold them back. But a quote is
    never older than its handle, so the handle's age is bounded, too.
    """
    if given.policy is None or given.handle is None or given.state.made_after_us is None:
        return
    received_us = given.state.received_us
    too_old = received_us - given.state.made_after_us > given.policy.max_age_us
    if too_old or received_us - given.handle.earliest_us > given.policy.max_handle_age_us:
        yield Finding(reason=Reason.EVIDENCE_TOO_OLD)


def clock_keeps_its_rate(given: AppraisalInput) -> Iterator[Finding]:
    """The clock was not set or set back, and does not run faster than the policy's bound on drift.

    A clock that is too slow is only reported: it makes evidence look older than it is, never younger.
    """
    clock = given.state.clock
    if clock.suspect is not None:
        yield Finding(reason=clock.suspect, detail=_rate_text(clock.suspect_ppm or clock.rate_ppm))


def _rate_text(rate_ppm: tuple[int, int] | None) -> str:
    return f"{rate_ppm[0]:+d} to {rate_ppm[1]:+d} ppm" if rate_ppm is not None else ""


def logs_are_complete(given: AppraisalInput) -> Iterator[Finding]:
    """All log entries that the quote covers were received."""
    if not given.state.settled:
        yield Finding(reason=Reason.LOG_INCOMPLETE)


def required_pcrs_are_quoted(given: AppraisalInput) -> Iterator[Finding]:
    """The signed selection covers every PCR that the policy requires (invariant I5)."""
    if given.policy is None:
        return
    for bank, index in missing_registers(given.policy, given.state.selection):
        yield Finding(reason=Reason.PCR_NOT_QUOTED, detail=register_text(bank.name, index))


def missing_registers(policy: AppraisalPolicy, selection: PcrSelection) -> tuple[tuple[HashAlgorithm, int], ...]:
    """PCRs that the policy requires and the selection lacks."""
    return _lacking(policy.pcrs, selection)


@functools.lru_cache(maxsize=256)  # a fleet has few selections, and this is called for every push
def _lacking(required: PcrSelection, selection: PcrSelection) -> tuple[tuple[HashAlgorithm, int], ...]:
    return tuple(register for register in required if register not in selection)


def logs_explain_their_pcrs(given: AppraisalInput) -> Iterator[Finding]:
    """Each PCR that the policy gives to a log was extended by that log, and by no other, in each bank (invariant I6).

    Otherwise an attester could send PCR 10 as a bare value, or explain it with invented entries of another log, and
    hide the list of files that it really ran. So in each bank the quote must bind an entry of the log. A PCR that still
    has its first value shows that nothing was measured into it. Firmware always extends PCRs 0 to 7, with a separator
    at the latest: there the first value shows that the boot log is not of this bank.
    """
    if given.policy is None:
        return
    for name, indices in given.policy.logs.items():
        if not given.state.replay.next_index.get(name):
            pcrs = ", ".join(map(str, sorted(indices)))
            yield Finding(reason=Reason.LOG_MISSING, detail=f"{name}: no entry; PCR {pcrs}")
            continue
        for bank in {bank: None for bank, _ in given.policy.pcrs}:
            quoted = [index for index in sorted(indices) if (bank, index) in given.policy.pcrs]
            owners = {index: given.state.measured.owners.get((bank.tpm_id, index), ()) for index in quoted}
            if not any(name in logs for logs in owners.values()):
                yield Finding(reason=Reason.LOG_MISSING, detail=f"{name}: no entry that bank {bank.name} binds")
                continue
            for index in quoted:
                if not _is_explained(given.state, given.policy, bank, index, owners[index]):
                    yield Finding(reason=Reason.LOG_MISSING, detail=f"{name}: {register_text(bank.name, index)}")


def _is_explained(
    state: AttesterState, policy: AppraisalPolicy, bank: HashAlgorithm, index: int, owners: tuple[str, ...]
) -> bool:
    if owners:
        return all(index in policy.logs.get(owner, ()) for owner in owners)
    if index in _FIRMWARE_PCRS and index in policy.logs.get(TCG2, ()):
        return False
    value = state.unlogged.get(bank, index)
    return value is None or value == initial_value(bank, index, state.replay.startup_locality)


def resettable_logs_are_meant(given: AppraisalInput) -> Iterator[Finding]:
    """The policy states which logs speak for the moment of their quote alone, since their PCRs can be reset.

    A policy without that statement is from an earlier release: its author may have taken the log for a history.
    """
    for text in given.policy.unmarked if given.policy is not None else ():
        yield Finding(reason=Reason.LOG_RESETTABLE, detail=text)


def banks_are_extended(given: AppraisalInput) -> Iterator[Finding]:
    """The firmware measures into each bank that reference values speak of.

    It always measures its own version into PCR 0. A bank in which that did not happen is open: an attacker who owns the
    operating system can extend the values of any other platform into it. The locality that the boot log states counts
    for nothing here: no PCR binds that event where nothing was measured after it.
    """
    for bank in given.references.registers:
        first = {initial_value(bank, 0, locality) for locality in STARTUP_LOCALITIES}
        if (bank, 0) in given.state.selection and given.state.value(bank, 0) in first:
            yield Finding(reason=Reason.BANK_NOT_EXTENDED, detail=bank.name)


def pcrs_have_reference_values(given: AppraisalInput) -> Iterator[Finding]:
    """Every PCR with reference values has one of them."""
    for bank, registers in given.references.registers.items():
        for index, acceptable in registers.items():
            if (bank, index) not in given.state.selection:
                yield Finding(reason=Reason.PCR_NOT_QUOTED, detail=register_text(bank.name, index))
                continue
            value = given.state.value(bank, index)
            if value not in acceptable:
                yield Finding(reason=Reason.PCR_UNEXPECTED, detail=register_text(bank.name, index), digest=value)


def files_have_reference_values(given: AppraisalInput) -> Iterator[Finding]:
    """Every measured file has a reference value, or a signature by one of the reference keys."""
    for digest, path in given.state.measured.unexpected:
        yield Finding(reason=Reason.FILE_UNEXPECTED, detail=path, digest=digest)


def files_were_measured_soundly(given: AppraisalInput) -> Iterator[Finding]:
    """No file was written while it was measured."""
    if given.state.measured.violations:
        yield Finding(reason=Reason.FILE_MEASUREMENT_VIOLATED)


def banks_are_as_strong_as_their_names(given: AppraisalInput) -> Iterator[Finding]:
    """Only reported: in a bank that the kernel extends with padded SHA-1, only SHA-1 binds the IMA list."""
    for bank, mode in given.state.replay.ima_bank_modes.items():
        if mode is ImaBankMode.PADDED_SHA1:
            yield Finding(reason=Reason.IMA_BANK_PADDED_SHA1, detail=bank.name)


def clock_was_stored(given: AppraisalInput) -> Iterator[Finding]:
    """Only reported: after a power cut the clock may repeat values of an earlier boot; the reset count does not."""
    if not given.state.clock_safe:
        yield Finding(reason=Reason.CLOCK_UNSAFE)


def resumes_are_reported(given: AppraisalInput) -> Iterator[Finding]:
    """The attester reported each suspend that its TPM counted in this boot."""
    yield from unreported_resumes(given.state.accounted)


# Run at every push.
MOMENT_CHECKS: Final[tuple[Check, ...]] = (
    policy_applies,
    trust_is_current,
    handle_is_known_and_current,
    clock_is_synchronised,
    clock_keeps_its_rate,
    evidence_is_fresh,
    required_pcrs_are_quoted,
    resettable_logs_are_meant,
    logs_are_complete,
    resumes_are_reported,
    list_was_not_outlived,
    clock_was_stored,
)
# Run when PCRs, logs, policy or reference values changed: nothing else changes their findings.
MEASUREMENT_CHECKS: Final[tuple[Check, ...]] = (
    logs_explain_their_pcrs,
    banks_are_extended,
    pcrs_have_reference_values,
    files_have_reference_values,
    files_were_measured_soundly,
    boot_aggregate_is_of_the_quoted_pcrs,
    list_holds_what_it_must,
    secure_boot_is_as_required,
    loaders_are_as_required,
    command_line_is_as_required,
    banks_are_as_strong_as_their_names,
)


def appraise_moment(given: AppraisalInput) -> list[Finding]:
    """Findings about policy, time and completeness of this push."""
    return [finding for check in MOMENT_CHECKS for finding in check(given)]


def appraise_measurements(given: AppraisalInput) -> tuple[Finding, ...]:
    """Findings about measurements; none while the logs are incomplete, since no quote binds them yet (invariant I1)."""
    if not given.state.settled:
        return ()
    return tuple(finding for check in MEASUREMENT_CHECKS for finding in check(given))


def affirming_vector(given: AppraisalInput) -> dict[TrustClaim, int]:
    """The trust vector without any finding: it affirms no more than the reference values cover (AR4SI, 2.3.4).

    An endorsed key is a recognised instance; one proven to be in a manufacturer's TPM is genuine hardware. Reference
    values for PCRs give approved configuration and approved boot executables. Reference values for files give only
    approved executables and files, if the list holds a file: a list of boot entries alone shows none.
    """
    vector = {TrustClaim.INSTANCE_IDENTITY: 2}
    if given.genuine:
        vector[TrustClaim.HARDWARE] = 2
    if given.references.registers:
        vector.update({TrustClaim.CONFIGURATION: 2, TrustClaim.EXECUTABLES: 3})
    listed = given.policy is not None and IMA in given.policy.logs and given.state.measured.any_file
    if listed and (given.references.files or given.references.keys):
        vector.update({TrustClaim.EXECUTABLES: 2, TrustClaim.FILE_SYSTEM: 2})
    return vector


def verdict_of(
    findings: list[Finding],
    affirming: Mapping[TrustClaim, int],
    policy: AppraisalPolicy | None,
    vouched: Mapping[str, str | int | bool],
) -> Verdict:
    """Combines all findings to a verdict.

    A contraindicated finding decides even if others leave the verdict undecided. Affirming needs every check.

    Args:
        findings: of the checks and of ``step``.
        affirming: the vector without any finding.
        policy: gives some reasons another weight.
        vouched: claims that quoted PCRs vouch for.
    """
    weights = policy.weights if policy is not None else {}
    found = [_effect_of(finding, weights) for finding in findings]
    effects = [effect for effect in found if effect is not None]
    undecided = any(effect.undecided for effect in effects)
    vector = {} if undecided else dict(affirming)
    for effect in effects:
        for claim, value in effect.values.items():
            vector[claim] = max(vector.get(claim, 0), value)
    status = overall_status(vector)
    if undecided and status is not Tier.CONTRAINDICATED:
        status = Tier.NONE
    freshness = next((effect.freshness for effect in effects if effect.freshness is not None), Freshness.FRESH)
    order = sorted(range(len(findings)), key=lambda number: _rank(found[number]))
    reasons = tuple(dict.fromkeys(findings[number].reason for number in order))
    return Verdict(status=status, freshness=freshness, reasons=reasons, vector=vector, verified_claims=vouched)


def _effect_of(finding: Finding, weights: Mapping[Reason, Weight]) -> Effect | None:
    """The effect of a finding: by its row in the table, or by the weight that the policy or its rule gives it."""
    row = REASONS[finding.reason]
    weight = finding.weight or weights.get(finding.reason)
    match weight:
        case None:
            return row.effect
        case Weight.REPORTED:
            return None
        case Weight.NONE:
            return UNDECIDED
        case Weight.WARNING | Weight.CONTRAINDICATED:
            claims = row.claims or (TrustClaim.CONFIGURATION,)
            return Effect(values={claim: _value(claim, weight) for claim in claims})


def _value(claim: TrustClaim, weight: Weight) -> int:
    """AR4SI, 2.3.4: 96 contraindicated; 33 unrecognised executables; 32 unsafe configuration, unrecognised files."""
    if weight is Weight.CONTRAINDICATED:
        return 96
    return 33 if claim is TrustClaim.EXECUTABLES else 32


def _rank(effect: Effect | None) -> int:
    """Order of reasons: contraindicated, undecided, warning, only reported."""
    if effect is None:
        return 3
    if overall_status(effect.values) is Tier.CONTRAINDICATED:
        return 0
    return 1 if effect.undecided else 2
