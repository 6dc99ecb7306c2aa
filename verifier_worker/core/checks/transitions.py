"""Suspends, hibernations and new kernels: the attester's report compared with its TPM's counters (REIM 7.2.1).

The TPM signs a restart count that goes up with every resume after it had lost power. Suspends to idle and kexec leave
no trace in the TPM: only the attester reports them. A hibernation is a TPM reset, and is signed as one.
"""

from collections.abc import Iterator
from typing import Final

from schemas.messages.evidence import Transition
from schemas.reasons import Reason
from schemas.transitions import TransitionKind
from verifier_worker.core.accounted import Accounted, added, opened
from verifier_worker.core.checks.admission import AdmittedEvidence
from verifier_worker.core.clock_changes import OUTCOMES
from verifier_worker.core.finding import Finding
from verifier_worker.core.state import AttesterState

_REASONS: Final = {
    TransitionKind.SUSPEND: Reason.RESUMED,
    TransitionKind.HIBERNATE: Reason.HIBERNATED,
    TransitionKind.KEXEC: Reason.KERNEL_REPLACED,
}


def report_transitions(state: AttesterState | None, admitted: AdmittedEvidence) -> Iterator[Finding]:
    """Reports what happened to the machine since ``state``, each transition once.

    Args:
        state: before the push; None for the first push of a key.
        admitted: the push.
    """
    body, clock = admitted.evidence.body, admitted.quote.clock_info
    new = [each for each in body.transitions if body.previous is not None or not _is_known(state, each)]
    reasons = [_REASONS[each.kind] for each in new]
    if state is not None and state.reset_count == clock.reset_count and state.restart_count != clock.restart_count:
        reasons.append(Reason.RESUMED)
    yield from (Finding(reason=reason) for reason in dict.fromkeys(reasons))


def reports_hibernation(admitted: AdmittedEvidence) -> bool:
    """Whether the attester reports that its kernel ran on when the TPM was reset last.

    The body signs it, and a full push repeats it. The TPM cannot tell a hibernation from a reboot, so an attester may
    conceal one. Then its IMA list is too short: ``checks.ima_list``.
    """
    resets = (each.reset_count for each in admitted.evidence.body.transitions if each.kind is TransitionKind.HIBERNATE)
    return admitted.quote.clock_info.reset_count in resets


def account(state: AttesterState | None, admitted: AdmittedEvidence) -> Accounted:
    """Enters the push into the account of reported suspends; a new clock epoch begins a new one.

    Args:
        state: before the push; None for the first push of a key.
        admitted: the push.
    """
    body, clock = admitted.evidence.body, admitted.quote.clock_info
    if state is None or OUTCOMES[admitted.change].starts_over:
        return opened(clock.restart_count, clock.clock)
    return added(
        state.accounted,
        (each for each in body.transitions if each.reset_count == clock.reset_count),
        clock.restart_count,
        clock.clock,
        after_gap=body.previous not in (None, state.chained),
    )


def _is_known(state: AttesterState | None, transition: Transition) -> bool:
    """Whether an earlier push reported the transition: a full push repeats older ones."""
    return state is not None and transition.reset_count == state.reset_count and state.accounted.knows(transition)
