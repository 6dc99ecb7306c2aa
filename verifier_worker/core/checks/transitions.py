"""Suspends, hibernations and new kernels: the attester's report compared with its TPM's counters (REIM 7.2.1).

The TPM signs a restart count that goes up with every resume after it had lost power. Suspends to idle and kexec leave
no trace in the TPM: only the attester reports them. A hibernation is a TPM reset, and is signed as one.
"""

from collections.abc import Iterator
from typing import Final

from schemas.messages.evidence import Transition
from schemas.reasons import Reason
from schemas.time_model import counter_steps
from schemas.transitions import TransitionKind
from verifier_worker.core.checks.admission import AdmittedEvidence
from verifier_worker.core.finding import Finding
from verifier_worker.core.state import AttesterState

_REASONS: Final = {
    TransitionKind.SUSPEND: Reason.RESUMED,
    TransitionKind.HIBERNATE: Reason.HIBERNATED,
    TransitionKind.KEXEC: Reason.KERNEL_REPLACED,
}


def report_transitions(state: AttesterState | None, admitted: AdmittedEvidence) -> Iterator[Finding]:
    """Reports what happened to the machine since ``state``, and whether the attester left out a resume.

    Args:
        state: before the push; None for the first push of a key.
        admitted: the push.
    """
    body, clock = admitted.evidence.body, admitted.quote.clock_info
    if state is None:
        yield from (Finding(reason=_REASONS[kind]) for kind in dict.fromkeys(each.kind for each in body.transitions))
        return
    same_reset = state.reset_count == clock.reset_count
    new = [each for each in body.transitions if body.previous is not None or not _known(state, each)]
    reasons = [_REASONS[each.kind] for each in new]
    if same_reset and state.restart_count != clock.restart_count:
        reasons.append(Reason.RESUMED)
    yield from (Finding(reason=reason) for reason in dict.fromkeys(reasons))
    if same_reset and body.previous in (None, state.chained):
        resumes = counter_steps(state.restart_count, clock.restart_count)
        reported = {each.restart_count for each in new if each.reset_count == clock.reset_count}
        explained = sum(1 for count in reported if 0 < counter_steps(state.restart_count, count) <= resumes)
        if resumes > explained:
            yield Finding(reason=Reason.TRANSITION_UNREPORTED, detail=f"{resumes - explained} of {resumes} resumes")


def _known(state: AttesterState, transition: Transition) -> bool:
    """Whether the transition came before the last accepted quote: a full push repeats older ones."""
    return transition.reset_count == state.reset_count and transition.clock_ms <= state.clock_ms
