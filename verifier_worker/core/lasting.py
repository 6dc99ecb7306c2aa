"""Findings that last: within one boot of one key, a finding of a settled quote is taken away by signed things alone.

It goes when reference values or the policy in force cover it, or when the first settled quote of a later boot replaces
it. A push without a settled quote, another PCR selection, a gap, a log that begins again and a PCR that was reset take
nothing away.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from schemas.reasons import Reason
from schemas.reasons.table import REASONS
from verifier_worker.core.finding import Finding, register_text
from verifier_worker.core.measured_events import may_name_an_event
from verifier_worker.core.policy.ima_demands import is_excluded
from verifier_worker.core.policy.policy_file import AppraisalPolicy
from verifier_worker.core.trust import References

MAX_LASTING: Final = 32
_MORE: Final = "more than can be listed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """The findings that last.

    Attributes:
        findings: at most ``MAX_LASTING``.
        more: reasons of those that did not fit. They go with a reboot, or when all logs were measured again, without
            such findings, under other reference values or another policy.
        more_label: the policy and reference values under which they were found.
        of_earlier_boot: the device has rebooted since; the first settled quote of the new boot replaces them.
        outlived_tpm: the device reported that its TPM was reset while its kernel ran on, as by a hibernation. The IMA
            list of that kernel can no longer be proven. It stays so until the device reports a reboot.
    """

    findings: tuple[Finding, ...] = ()
    more: frozenset[Reason] = frozenset()
    more_label: str = ""
    of_earlier_boot: bool = False
    outlived_tpm: bool = False


NOTHING: Final = Lasting()


def lasts(finding: Finding) -> bool:
    """Whether the finding is a state of the device that makes a claim of the trust vector worse."""
    row = REASONS[finding.reason]
    return row.lasts and bool(row.claims)


def after_settled_quote(
    lasting: Lasting, found: Iterable[Finding], unlisted: Collection[Reason], label: str
) -> Lasting:
    """Adds the findings of a quote that the logs reproduce.

    Args:
        lasting: before it.
        found: of the checks of measurements.
        unlisted: reasons of findings that the checks counted without listing them.
        label: policy and reference values under which the logs were measured.
    """
    kept = Lasting(outlived_tpm=lasting.outlived_tpm) if lasting.of_earlier_boot else lasting
    known = {_key(finding) for finding in kept.findings}
    new = [finding for finding in found if lasts(finding) and _key(finding) not in known]
    room = MAX_LASTING - len(kept.findings)
    more = {finding.reason for finding in new[room:]} | set(unlisted)
    if not new and not more and (not kept.more or kept.more_label == label):
        return kept
    if kept.more_label == label:
        more |= kept.more
    findings = (*kept.findings, *new[:room])
    return replace(kept, findings=findings, more=frozenset(more), more_label=label if more else "")


def over_reset(lasting: Lasting, *, hibernated: bool) -> Lasting:
    """After a TPM reset.

    Args:
        lasting: before it.
        hibernated: the device reports that its kernel ran on. Then nothing ended: what was found stays found.
    """
    return replace(lasting, of_earlier_boot=not hibernated, outlived_tpm=hibernated)


def with_found(lasting: Lasting, found: Iterable[Finding]) -> Lasting:
    """With these findings, which no later quote of the boot shows again."""
    known = {_key(finding) for finding in lasting.findings}
    new = [finding for finding in found if _key(finding) not in known]
    room = max(0, MAX_LASTING - len(lasting.findings))
    more = lasting.more | {finding.reason for finding in new[room:]}
    return replace(lasting, findings=(*lasting.findings, *new[:room]), more=more)


def without_covered(
    lasting: Lasting, policy: AppraisalPolicy | None, references: References, accepted: Collection[bytes]
) -> Lasting:
    """Without the findings that the policy and the reference values in force cover.

    Args:
        lasting: findings that last.
        policy: in force; without one nothing is covered.
        references: in force.
        accepted: digests of files that were accepted when the logs were measured again.
    """
    if not lasting.findings or policy is None or references.missing:
        return lasting
    left = tuple(each for each in lasting.findings if not _is_covered(each, policy, references, accepted))
    if len(left) == len(lasting.findings):
        return lasting
    return replace(lasting, findings=left)


def reported(lasting: Lasting, found: Iterable[Finding]) -> list[Finding]:
    """The lasting findings that are not among those found now."""
    now = {_key(finding) for finding in found}
    listed = [finding for finding in lasting.findings if _key(finding) not in now]
    return [*listed, *(Finding(reason=reason, detail=_MORE) for reason in sorted(lasting.more))]


def _key(finding: Finding) -> tuple[Reason, str, bytes]:
    return finding.reason, finding.detail, finding.digest


def _is_covered(finding: Finding, policy: AppraisalPolicy, references: References, accepted: Collection[bytes]) -> bool:
    match finding.reason:
        case Reason.FILE_UNEXPECTED:
            known = finding.digest in references.files or finding.digest in accepted
            is_path = not may_name_an_event(finding.detail)
            return known or (is_path and is_excluded(policy.ima.excluded, finding.detail))
        case Reason.PCR_UNEXPECTED:
            return _register_is_covered(finding, references)
        case Reason.SECURE_BOOT_OFF:
            return not policy.secure_boot
        case Reason.TEST_KEYS_ENROLLED:
            return not policy.no_test_keys
        case Reason.KERNEL_ARGUMENT_MISSING:
            return finding.detail not in policy.arguments
        case Reason.BOOT_LOADER_UNEXPECTED:
            return not policy.loaders or finding.digest in policy.loaders
        case _:
            return False


def _register_is_covered(finding: Finding, references: References) -> bool:
    """The value is acceptable now, or no reference value speaks of the PCR any more."""
    for bank, registers in references.registers.items():
        for index, acceptable in registers.items():
            if register_text(bank.name, index) == finding.detail:
                return finding.digest in acceptable
    return True
