"""Attacks on what a verifier says about time: replays after a going back, handles held back, stamps, many Clears."""

from dataclasses import replace

import pytest

from schemas.errors import PeerError
from schemas.limits import MAX_CLOCK_MS
from schemas.messages.evidence import (
    Evidence,
    Transition,
    TransitionKind,
    encode_transitions,
    parse_transitions,
)
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier
from tests.unit.verifier_worker.test_clock_states import GOOD, INTERVAL_S, SECOND_US, World
from verifier_worker.core.conclusion import resolve
from verifier_worker.core.result_builder import build_result

FROM_START = {"tcg2": 0, "ima": 0}


@pytest.fixture
def world() -> World:
    made = World()
    assert made.verdict == GOOD
    return made


def refused(world: World, evidence: Evidence) -> Reason | None:
    taken = world.take(evidence)
    return taken.refused.reason if taken.refused is not None else None


def full_push(world: World) -> Evidence:
    return world.device.push(full=True, resend=FROM_START, elapsed_ms=1)


@pytest.mark.parametrize("resumed", [False, True])
def test_after_a_clock_ran_back_accepted_evidence_is_not_accepted_again(world: World, *, resumed: bool) -> None:
    """A stranger plays what was accepted before the TPM went back: by the counters alone it looks newer."""
    clock_ms = world.device.clock_ms
    world.pass_time(INTERVAL_S)
    world.next_handle()
    if resumed:
        world.device.resume()
        world.device.sync(world.handles[-1])
    old = full_push(world)
    assert refused(world, old) is None
    world.device.clock_ms, world.device.restart_count = clock_ms, 0
    world.now_us += 5 * SECOND_US
    world.next_handle()
    world.take(full_push(world))
    assert Reason.CLOCK_RAN_BACK in world.verdict[2]
    before = world.state
    assert refused(world, old) is Reason.EVIDENCE_REPLAYED
    assert before is not None
    assert world.state is not None
    assert world.state.clock_ms == before.clock_ms


def test_evidence_that_was_pending_is_not_played_again_as_of_a_clock_that_ran_back(world: World) -> None:
    """Two pushes wait for a handle; the verifier restarts, the handle comes, a stranger repeats the first push."""
    world.pass_time(INTERVAL_S)
    world.next_handle(known=False)
    first = full_push(world)
    assert refused(world, first) is None
    world.pass_time(1)
    world.push()
    assert world.verdict[1] is Freshness.PENDING
    world.known += 1
    assert refused(world, first) is Reason.EVIDENCE_REPLAYED
    assert world.state is not None
    assert not world.state.went_back


def test_a_pending_push_under_one_handle_and_one_under_another_are_not_played_again(world: World) -> None:
    world.pass_time(INTERVAL_S)
    world.next_handle(known=False)
    first = full_push(world)
    assert refused(world, first) is None
    world.device.sync(world.handles[0])  # the device falls back to what the verifier knows
    world.push()
    world.known += 1
    assert refused(world, first) is Reason.EVIDENCE_REPLAYED


def test_a_tpm_cleared_while_a_push_was_pending_is_taken_again_under_later_handles(world: World) -> None:
    world.pass_time(INTERVAL_S)
    world.next_handle(known=False)
    world.push()
    world.pass_time(INTERVAL_S)
    world.device.clear()
    world.pass_time(2 * INTERVAL_S)
    world.next_handle()
    world.device.previous = None
    world.push(resend=FROM_START)
    assert Reason.TPM_CLEARED in world.verdict[2]


def test_a_handle_held_back_does_not_lengthen_the_life_of_a_result(world: World) -> None:
    """Who holds a handle back for nearly the deadline must not have evidence affirmed for longer than its lifetime."""
    world.pass_time(INTERVAL_S)
    world.next_handle(known=False)
    world.push()
    world.known += 1
    assert world.state is not None
    now_us = world.state.received_us + 9 * SECOND_US
    resolved = resolve(world.device.ueid, world.state, world.trust, now_us)
    assert resolved is not None
    state, findings = resolved
    assert state.verdict.status is Tier.AFFIRMING
    handle = world.handles[-1]
    policy = replace(world.policy, result_lifetime_us=20 * SECOND_US)
    result = build_result(world.device.ueid, state, findings, now_us, "v", policy=policy, handle=handle)
    assert result.expires_s * SECOND_US <= state.received_us + policy.result_lifetime_us


def test_a_handle_that_comes_after_the_deadline_affirms_nothing(world: World) -> None:
    """The process stood still, or the database: the deadline has passed before the handle is taken."""
    world.pass_time(INTERVAL_S)
    world.next_handle(known=False)
    world.push()
    world.known += 1
    assert world.state is not None
    assert world.state.deadline_us is not None
    assert resolve(world.device.ueid, world.state, world.trust, world.state.deadline_us) is None


def test_a_slow_verifier_clock_never_has_evidence_made_after_it_was_received(world: World) -> None:
    """Its clock is 8 s behind: evidence arrives, by it, before the handle of it was stamped, and that comes later."""
    world.pass_time(INTERVAL_S)
    world.next_handle(known=False)
    world.now_us -= 8 * SECOND_US
    world.push()
    world.known += 1
    assert world.state is not None
    resolved = resolve(world.device.ueid, world.state, world.trust, world.now_us + 9 * SECOND_US)
    assert resolved is not None
    after_us, before_us = resolved[0].made_after_us, resolved[0].made_before_us
    assert after_us is not None
    assert before_us is None or after_us <= before_us


def test_a_stamp_older_than_a_handle_that_comes_later_is_told_and_bounds_nothing(world: World) -> None:
    """A trusted TSA is 5 s slow; the handle that shows it was not here yet when the push came."""
    world.pass_time(INTERVAL_S)
    handle = world.next_handle(known=False)
    world.device.sync_stamp = (handle.time_us - 5 * SECOND_US - 1).to_bytes(8)
    world.pass_time(1)
    world.push()
    world.known += 1
    assert world.state is not None
    resolved = resolve(world.device.ueid, world.state, world.trust, world.now_us)
    assert resolved is not None
    state = resolved[0]
    assert Reason.SYNC_STAMP_INVALID in state.verdict.reasons
    assert state.made_before_us == state.received_us
    assert state.made_after_us is not None
    assert state.made_after_us <= state.made_before_us


def test_the_clock_of_a_transition_is_a_number_that_results_can_hold() -> None:
    transition = Transition(kind=TransitionKind.SUSPEND, clock_ms=MAX_CLOCK_MS + 1, reset_count=0, restart_count=0)
    with pytest.raises(PeerError):
        parse_transitions(encode_transitions((transition,)))


def test_a_stamped_proof_of_before_a_clear_does_not_backdate_a_quote_of_after_it(world: World) -> None:
    """Owner of the device: Clear, sync and stamp, wait, Clear, quote in the new epoch of the same name."""
    world.pass_time(INTERVAL_S)
    world.device.clear()
    world.pass_time(5)
    handle = world.next_handle()
    world.device.sync_by_quote(handle)
    world.device.sync_stamp = (world.now_us + 1).to_bytes(8)
    world.pass_time(50)  # within the handle's age limit
    world.device.clear()
    world.pass_time(6)
    quoted_us = world.now_us
    world.take(full_push(world))
    assert Reason.TPM_CLEARED in world.verdict[2]
    assert world.state is not None
    assert world.state.made_before_us is not None
    assert world.state.made_before_us >= quoted_us


@pytest.mark.parametrize("rate", [1.3, 0.7])
def test_handles_in_quick_succession_clear_no_clock_of_suspicion(world: World, rate: float) -> None:
    """Between two handles so close that any rate is possible nothing is learned."""
    world.round(rate=rate)
    assert world.state is not None
    suspect = world.state.clock.suspect
    assert suspect in {Reason.CLOCK_TOO_FAST, Reason.CLOCK_TOO_SLOW}
    for _ in range(12):
        world.round(rate=rate, seconds=0.05)
        assert world.state.clock.suspect is suspect
    world.round()
    world.round()
    assert world.state.clock.suspect is None
