"""Transitions: what TPM and kernel together tell, and the agent's memory of it."""

import pytest

from attester_agent.core.agent_state import (
    AgentState,
    decode_state,
    encode_state,
    on_boot,
    on_machine_state,
    on_outlived_list,
)
from attester_agent.core.transitions import KernelView, MachineState, has_woken, transitions_between
from schemas.identifiers import Ueid
from schemas.limits import MAX_TRANSITIONS
from schemas.time_model import counter_steps
from schemas.transitions import TransitionKind

KERNEL = KernelView(boot_id="a", suspends=3, asleep_ms=100)
SUSPEND, HIBERNATE, KEXEC = TransitionKind


def seen(kernel: KernelView = KERNEL, *, reset: int = 1, restart: int = 0, clock: int = 5) -> MachineState:
    return MachineState(kernel=kernel, clock_ms=clock, reset_count=reset, restart_count=restart)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (seen(clock=9), []),
        (seen(restart=3), [(SUSPEND, 1), (SUSPEND, 2), (SUSPEND, 3)]),
        (seen(KernelView(boot_id="a", suspends=5), restart=2), [(SUSPEND, 1), (SUSPEND, 2)]),
        (seen(KernelView(boot_id="a", suspends=5)), [(SUSPEND, 0), (SUSPEND, 0)]),
        (seen(KernelView(boot_id="a", asleep_ms=5000)), [(SUSPEND, 0)]),
        (seen(KernelView(boot_id="a", asleep_ms=600)), []),
        (seen(KernelView(boot_id="a", asleep_ms=90_000), restart=1), [(SUSPEND, 1)]),
        (seen(KernelView(boot_id="b", suspends=0)), [(KEXEC, 0)]),
        (seen(KernelView(boot_id="b", suspends=9), restart=1), [(SUSPEND, 1), (KEXEC, 1)]),
        (seen(reset=2), [(HIBERNATE, 0)]),
        (seen(KernelView(boot_id="b"), reset=2), []),
        (seen(KernelView(), reset=2), []),
        (seen(KernelView()), []),
    ],
)
def test_what_happened_between_two_looks(now: MachineState, expected: list[tuple[TransitionKind, int]]) -> None:
    found = transitions_between(seen(), now)
    assert [(each.kind, each.restart_count) for each in found] == expected
    assert {(each.clock_ms, each.reset_count) for each in found} <= {(now.clock_ms, now.reset_count)}
    assert transitions_between(None, now) == ()


def test_a_restart_count_that_leaps_is_bounded() -> None:
    found = transitions_between(seen(), seen(restart=2**31 - 1))
    assert (len(found), found[-1].restart_count) == (MAX_TRANSITIONS, 2**31 - 1)


def test_a_restart_count_that_wraps_is_counted_on() -> None:
    """The verifier counts alike; a suspend that only one of the two counts would be unreported."""
    found = transitions_between(seen(restart=2**32 - 2), seen(restart=1))
    assert [each.restart_count for each in found] == [2**32 - 1, 0, 1]
    assert counter_steps(2**32 - 2, 1) == len(found)
    assert transitions_between(seen(restart=0), seen(restart=2**32 - 1)) == (), "it went back"
    assert transitions_between(seen(restart=0), seen(restart=2**31)) == (), "half of the way round is a way back"


def test_waking_is_noticed() -> None:
    assert not has_woken(KERNEL, KERNEL)
    assert has_woken(KERNEL, KernelView(boot_id="a", suspends=4))
    assert has_woken(KERNEL, KernelView(boot_id="b", suspends=3))


def test_the_state_remembers_transitions_of_this_boot_and_which_are_untold() -> None:
    state = AgentState(ueid=Ueid(b"\x01" + bytes(32)), environment=b"e")
    for now in (seen(), seen(restart=2), seen(restart=2), seen(restart=3)):
        state = on_machine_state(on_boot(state, now.reset_count), now)
        assert decode_state(encode_state(state)) == state
    assert ([each.restart_count for each in state.transitions], state.unsent_transitions) == ([1, 2, 3], 3)
    slept = on_machine_state(state, seen(reset=2))
    assert ([each.kind for each in slept.transitions], slept.unsent_transitions) == ([SUSPEND] * 3 + [HIBERNATE], 4)
    rebooted = on_machine_state(state, seen(KernelView(boot_id="b"), reset=2))
    assert (rebooted.transitions, rebooted.unsent_transitions) == ((), 0)


def test_clearing_the_tpm_is_no_hibernation() -> None:
    """TPM2_Clear sets the counters back and leaves the PCRs."""
    assert transitions_between(seen(reset=7), seen(reset=0)) == ()


def test_the_last_hibernation_is_kept_however_many_suspends_follow() -> None:
    state = AgentState(ueid=Ueid(b"\x01" + bytes(32)), environment=b"e")
    for now in (seen(), seen(reset=2), seen(reset=2, restart=MAX_TRANSITIONS - 1)):
        state = on_machine_state(on_boot(state, now.reset_count), now)
    assert [each.kind for each in state.transitions[:2]] == [HIBERNATE, SUSPEND]
    for restart in range(MAX_TRANSITIONS, 3 * MAX_TRANSITIONS):
        state = on_machine_state(state, seen(reset=2, restart=restart))
        kinds = [each.kind for each in state.transitions]
        assert kinds == [HIBERNATE] + [SUSPEND] * (MAX_TRANSITIONS - 1)
    assert decode_state(encode_state(state)) == state


def test_an_outlived_list_is_a_hibernation_once_for_each_reset() -> None:
    state = AgentState(ueid=Ueid(b"\x01" + bytes(32)), environment=b"e", boot=4)
    found = on_outlived_list(state, seen(reset=4, restart=1))
    assert ([each.kind for each in found.transitions], found.unsent_transitions) == ([HIBERNATE], 1)
    assert on_outlived_list(found, seen(reset=4, restart=2)) == found
    again = on_outlived_list(on_boot(found, 5), seen(reset=5))
    assert [each.reset_count for each in again.transitions] == [4, 5]
