"""What an attester reports of suspends, against the restart count that its TPM signs."""

from dataclasses import replace

import pytest

from schemas.messages.evidence import Transition
from schemas.reasons import Reason
from schemas.transitions import TransitionKind
from tests.worlds.step_bench import RECEIVED_US, Bench
from verifier_worker.core.accounted import unreported_resumes
from verifier_worker.core.checks.admission import AdmittedEvidence, admit
from verifier_worker.core.checks.transitions import account, report_transitions
from verifier_worker.core.finding import Finding
from verifier_worker.core.state import AttesterState

SUSPEND, HIBERNATE, KEXEC = TransitionKind.SUSPEND, TransitionKind.HIBERNATE, TransitionKind.KEXEC
WRAP = 2**32


class Reporting:
    """A device after a baseline at reset 1, restart 10; then pushes that report transitions."""

    def __init__(self, restart_count: int = 10) -> None:
        self.bench = Bench()
        self.device = self.bench.device
        self.device.restart_count = restart_count
        self.bench.take(self.device.push())
        assert self.bench.state is not None
        self.state: AttesterState = self.bench.state

    def admitted(self, *transitions: Transition, full: bool = False) -> AdmittedEvidence:
        self.device.reported, self.device.transitions = [], list(transitions)
        push = self.device.push(full=full)
        return admit(self.device.ueid, push, self.state, RECEIVED_US, self.bench.trust)

    def report(self, *transitions: Transition, full: bool = False) -> list[Finding]:
        admitted = self.admitted(*transitions, full=full)
        account_after = account(self.state, admitted)
        return [*report_transitions(self.state, admitted), *unreported_resumes(account_after)]


def after(kind: TransitionKind, restart_count: int, *, reset_count: int = 1, clock_ms: int = 10_000) -> Transition:
    return Transition(kind=kind, clock_ms=clock_ms, reset_count=reset_count, restart_count=restart_count)


def told(*reasons: Reason) -> list[Finding]:
    return [Finding(reason=reason) for reason in reasons]


def unreported(missing: int, resumes: int) -> Finding:
    return Finding(reason=Reason.TRANSITION_UNREPORTED, detail=f"{missing} of {resumes} resumes")


@pytest.fixture
def reporting() -> Reporting:
    return Reporting()


def test_each_kind_is_told_by_its_own_reason_and_once(reporting: Reporting) -> None:
    everything = [after(kind, 10) for kind in (KEXEC, SUSPEND, HIBERNATE, KEXEC)]
    assert reporting.report(*everything) == told(Reason.KERNEL_REPLACED, Reason.RESUMED, Reason.HIBERNATED)
    first = list(report_transitions(None, reporting.admitted(*everything)))
    assert first == told(Reason.KERNEL_REPLACED, Reason.RESUMED, Reason.HIBERNATED)


def test_nothing_is_told_where_nothing_happened(reporting: Reporting) -> None:
    assert reporting.report() == []
    assert list(report_transitions(None, reporting.admitted())) == []


def test_a_resume_that_the_tpm_signs_is_told_and_must_be_reported(reporting: Reporting) -> None:
    reporting.device.restart_count = 12
    assert reporting.report() == [*told(Reason.RESUMED), unreported(2, 2)]


@pytest.mark.parametrize(
    ("reported", "missing", "since"),
    [
        ((11, 12, 13), 0, 0),
        ((11, 13), 1, 2),
        ((13,), 2, 3),
        ((11, 11, 11), 2, 2),  # one of them, three times
        ((10, 11, 12), 1, 1),  # 10 was before
        ((12, 13, 14), 1, 3),  # 14 has not been yet
    ],
)
def test_every_resume_must_be_reported_by_its_count(
    reporting: Reporting, reported: tuple[int, ...], missing: int, since: int
) -> None:
    reporting.device.restart_count = 13
    found = reporting.report(*(after(SUSPEND, count) for count in reported))
    assert found == [*told(Reason.RESUMED), *([unreported(missing, since)] if missing else [])]


def test_counts_wrap_around() -> None:
    reporting = Reporting(restart_count=WRAP - 1)
    reporting.device.restart_count = 1
    assert reporting.report(after(SUSPEND, 0), after(SUSPEND, 1)) == told(Reason.RESUMED)


def test_a_report_of_another_boot_covers_no_resume(reporting: Reporting) -> None:
    reporting.device.restart_count = 11
    assert reporting.report(after(SUSPEND, 11, reset_count=2)) == [*told(Reason.RESUMED), unreported(1, 1)]


def test_after_a_reset_restarts_are_not_compared(reporting: Reporting) -> None:
    reporting.device.reset_count, reporting.device.restart_count = 2, 11
    assert reporting.report() == []


def test_after_a_gap_the_missing_push_may_have_reported(reporting: Reporting) -> None:
    reporting.device.push()  # lost
    reporting.device.restart_count = 11
    assert reporting.report() == told(Reason.RESUMED)
    assert reporting.report(full=True) == [*told(Reason.RESUMED), unreported(1, 1)]


def test_a_full_push_repeats_what_is_known_without_telling_it_again(reporting: Reporting) -> None:
    clock_ms = reporting.state.clock_ms
    old, new = after(KEXEC, 10, clock_ms=clock_ms), after(SUSPEND, 10, clock_ms=clock_ms + 1)
    assert reporting.report(old, full=True) == []
    assert reporting.report(new, full=True) == told(Reason.RESUMED)
    assert reporting.report(old) == told(Reason.KERNEL_REPLACED)  # a delta brings new ones only
    other_boot = after(KEXEC, 10, clock_ms=clock_ms, reset_count=0)
    assert reporting.report(other_boot, full=True) == told(Reason.KERNEL_REPLACED)


def test_a_state_without_a_chain_asks_for_no_report(reporting: Reporting) -> None:
    reporting.state = replace(reporting.state, chained=None)
    reporting.device.restart_count = 11
    assert reporting.report() == told(Reason.RESUMED)
