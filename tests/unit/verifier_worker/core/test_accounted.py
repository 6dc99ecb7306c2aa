"""Suspends that the TPM counts and nobody reports: they stay unreported, in whatever order pushes come."""

from dataclasses import replace

import pytest

from schemas.limits import MAX_TRANSITIONS
from schemas.messages.evidence import Transition
from schemas.reasons import Reason
from schemas.transitions import TransitionKind
from schemas.verdicts import Tier, Weight
from tests.worlds.device import make_policy, make_trust
from tests.worlds.step_bench import Bench
from verifier_worker.core.accounted import MAX_REPORTED, Accounted, added, opened
from verifier_worker.core.state_codec import decode_state, encode_state
from verifier_worker.core.step import Step

UNREPORTED = Reason.TRANSITION_UNREPORTED
WRAP = 2**32


class Hiding(Bench):
    """A device that is affirmed, and suspends; its policy contraindicates a suspend without a report."""

    def __init__(self, restart_count: int = 10) -> None:
        super().__init__(policy_changes={"weights": {UNREPORTED: Weight.CONTRAINDICATED}})
        self.device.restart_count = restart_count
        self.device.sync(self.handle)
        self.take(self.device.push())
        assert self.verdict() == (Tier.AFFIRMING, set())

    def suspend(self, times: int = 1, *, reported: bool = False) -> None:
        for _ in range(times):
            self.device.resume()
        if not reported:
            self.device.transitions = []
        self.device.restart_count %= WRAP
        self.device.sync(self.handle)

    def lose(self) -> None:
        """A push that never arrives."""
        self.device.push()

    def push(self, *, full: bool = False) -> Step:
        if full:
            self.device.previous = None
        return self.take(self.device.push())

    def report(self, *counts: int) -> None:
        for count in counts:
            self.device.transitions.append(suspended(count, clock_ms=self.device.clock_ms))

    @property
    def is_found(self) -> bool:
        return UNREPORTED in self.verdict()[1]


def suspended(count: int, clock_ms: int = 0) -> Transition:
    return Transition(kind=TransitionKind.SUSPEND, clock_ms=clock_ms, reset_count=1, restart_count=count)


@pytest.fixture
def hiding() -> Hiding:
    return Hiding()


def test_an_unreported_suspend_stays(hiding: Hiding) -> None:
    hiding.suspend()
    for full in (False, False, True, False):
        hiding.push(full=full)
        assert hiding.verdict() == (Tier.CONTRAINDICATED, hiding.verdict()[1])
        assert hiding.is_found


def test_a_gap_before_the_suspend_hides_nothing(hiding: Hiding) -> None:
    """The attack: one delta names another body than the last, and takes the restart count along."""
    hiding.lose()
    hiding.suspend()
    hiding.push()
    assert not hiding.is_found  # the lost push may have reported it
    hiding.push(full=True)
    assert hiding.is_found


def test_a_gap_in_the_same_push_hides_nothing(hiding: Hiding) -> None:
    hiding.suspend()
    hiding.device.previous = b"\x01" * 32
    hiding.push()
    hiding.push(full=True)
    assert hiding.is_found
    hiding.push()
    assert hiding.is_found


def test_a_gap_after_the_suspend_takes_nothing_away(hiding: Hiding) -> None:
    hiding.suspend()
    hiding.push()
    hiding.lose()
    hiding.push()
    assert hiding.is_found


def test_many_gaps_hide_nothing(hiding: Hiding) -> None:
    for _ in range(5):
        hiding.lose()
        hiding.suspend()
        hiding.push()
    hiding.push(full=True)
    assert hiding.state is not None
    assert hiding.state.accounted.unreported == 5


def test_a_delta_that_is_refused_hides_nothing(hiding: Hiding) -> None:
    hiding.suspend()
    pushed = hiding.device.push()
    assert hiding.take(replace(pushed, signature=pushed.signature[:-1] + b"\0")).refused is not None
    hiding.push(full=True)
    assert hiding.is_found


def test_a_restart_of_the_verifier_hides_nothing(hiding: Hiding) -> None:
    hiding.lose()
    hiding.suspend()
    hiding.push()
    assert hiding.state is not None
    hiding.state = decode_state(encode_state(hiding.state))
    hiding.push(full=True)
    assert hiding.is_found


def test_a_push_that_comes_twice_changes_nothing(hiding: Hiding) -> None:
    hiding.suspend()
    pushed = hiding.device.push()
    hiding.take(pushed)
    assert hiding.take(pushed).duplicate
    assert hiding.is_found


def test_an_unsettled_push_hides_nothing(hiding: Hiding) -> None:
    hiding.suspend()
    for number in range(4):
        hiding.device.run(b"/usr/bin/%d" % number, b"cat")
    hiding.device.previous = None
    hiding.take(hiding.device.push(limits={"ima": 1}))
    hiding.push()
    assert hiding.is_found


def test_another_selection_or_policy_hides_nothing(hiding: Hiding) -> None:
    hiding.suspend()
    hiding.push()
    hiding.policy = make_policy(drift_ppm=100_000, weights={UNREPORTED: Weight.CONTRAINDICATED})
    hiding.trust = make_trust(hiding.device, handles=(hiding.handle,), policy=hiding.policy)
    hiding.push(full=True)
    assert hiding.is_found


def test_a_later_report_accounts_for_it(hiding: Hiding) -> None:
    hiding.suspend(2)
    hiding.push()
    assert hiding.is_found
    hiding.report(11)
    hiding.push()
    assert hiding.is_found
    hiding.report(12)
    hiding.push()
    assert hiding.verdict()[0] is Tier.AFFIRMING


@pytest.mark.parametrize("start", [0, 10, WRAP - 1, WRAP - 2, 2**31 - 1])
def test_counters_wrap_around(start: int) -> None:
    hiding = Hiding(start)
    hiding.suspend(3)
    hiding.push()
    assert hiding.is_found
    hiding.report(*((start + step) % WRAP for step in (3, 1, 2)))
    hiding.push()
    assert hiding.verdict()[0] is Tier.AFFIRMING


def test_an_honest_device_is_affirmed_over_lost_pushes_and_restarts(hiding: Hiding) -> None:
    told: list[Transition] = []
    for number in range(6):
        hiding.suspend(reported=True)
        told += hiding.device.transitions
        if number % 2:
            hiding.lose()
            hiding.push()
            assert hiding.verdict()[0] is Tier.NONE
            hiding.device.transitions = list(told)
            hiding.push(full=True)
        else:
            hiding.push()
        assert hiding.verdict()[0] is Tier.AFFIRMING
        assert not hiding.is_found


def test_a_reboot_replaces_it_with_its_first_settled_quote(hiding: Hiding) -> None:
    hiding.suspend()
    hiding.push()
    hiding.device.reboot()
    hiding.device.sync(hiding.handle)
    hiding.device.run(b"/usr/bin/cat", b"cat")
    hiding.take(hiding.device.push(limits={"ima": 1}))
    assert hiding.is_found
    hiding.push()
    assert hiding.verdict()[0] is Tier.AFFIRMING


def test_a_cleared_tpm_takes_nothing_away(hiding: Hiding) -> None:
    hiding.suspend()
    hiding.push()
    hiding.device.clear()
    later = replace(hiding.handle, id=type(hiding.handle.id)(b"\x77" * 32), time_us=hiding.handle.time_us + 9_000_000)
    hiding.trust = make_trust(hiding.device, handles=(hiding.handle, later), policy=hiding.policy)
    hiding.now_us += 9_000_000
    hiding.device.sync(later)
    taken = hiding.push(full=True)
    assert taken.refused is None
    assert hiding.is_found


def test_a_kernel_that_a_refused_push_reported_is_reported_by_the_next(hiding: Hiding) -> None:
    hiding.device.tell(TransitionKind.KEXEC)
    told = list(hiding.device.transitions)
    lost = hiding.device.push()
    assert hiding.take(replace(lost, signature=lost.signature[:-1] + b"\0")).refused is not None
    hiding.push()  # a gap
    hiding.device.transitions = told
    hiding.push(full=True)
    assert Reason.KERNEL_REPLACED in hiding.verdict()[1]
    hiding.device.transitions = told
    hiding.push(full=True)
    assert Reason.KERNEL_REPLACED not in hiding.verdict()[1]


def test_a_full_push_tells_nothing_again_that_a_push_after_a_gap_told(hiding: Hiding) -> None:
    hiding.lose()
    hiding.device.tell(TransitionKind.KEXEC)
    told = list(hiding.device.transitions)
    hiding.push()
    assert Reason.KERNEL_REPLACED in hiding.verdict()[1]
    hiding.device.transitions = told
    hiding.push(full=True)
    assert Reason.KERNEL_REPLACED not in hiding.verdict()[1]


# ── the account itself ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_full_list_has_no_room_for_older_ones() -> None:
    before = opened(0, 0)
    listed = [suspended(count) for count in range(3, 3 + MAX_TRANSITIONS)]
    assert added(before, listed, 2 + MAX_TRANSITIONS, 1, after_gap=False).unreported == 0
    assert added(before, listed[:-1], 1 + MAX_TRANSITIONS, 1, after_gap=False).unreported == 2


def test_the_account_is_bounded() -> None:
    account = opened(0, 0)
    for first in range(2, 2 + 4 * MAX_REPORTED, 100):
        listed = [suspended(count) for count in range(first, first + 100)]
        account = added(account, listed, first + 99, 1, after_gap=bool(first % 200))
    assert account.until == 0
    assert account.reported == set(range(2, 2 + MAX_REPORTED))
    assert len(account.repeatable) <= MAX_TRANSITIONS


def test_only_suspends_account_for_a_resume() -> None:
    kexec = replace(suspended(1), kind=TransitionKind.KEXEC)
    assert added(opened(0, 0), [kexec], 1, 1, after_gap=False).unreported == 1


def test_a_report_ahead_of_the_counter_accounts_for_nothing() -> None:
    account = added(opened(0, 0), [suspended(1), suspended(2)], 0, 1, after_gap=False)
    assert account == Accounted(judged_ms=1)
    assert added(account, [], 2, 2, after_gap=False).unreported == 2
