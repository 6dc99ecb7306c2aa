"""Attacks on what a verifier says about time: replays after a going back, handles held back, stamps, many Clears."""

from dataclasses import replace

import pytest

from schemas.errors import PeerError
from schemas.limits import MAX_CLOCK_MS
from schemas.messages.evidence import (
    Evidence,
    Transition,
    encode_transitions,
    parse_transitions,
)
from schemas.reasons import Reason
from schemas.transitions import TransitionKind
from schemas.verdicts import Freshness, Tier
from tests.worlds.watched_device import GOOD, INTERVAL_S, SECOND_US, WatchedDevice
from verifier_worker.core.conclusion import resolve
from verifier_worker.core.result_builder import build_result

FROM_START = {"tcg2": 0, "ima": 0}


@pytest.fixture
def watched() -> WatchedDevice:
    made = WatchedDevice()
    assert made.verdict == GOOD
    return made


def refused(watched: WatchedDevice, evidence: Evidence) -> Reason | None:
    taken = watched.take(evidence)
    return taken.refused.reason if taken.refused is not None else None


def full_push(watched: WatchedDevice) -> Evidence:
    return watched.device.push(full=True, resend=FROM_START, elapsed_ms=1)


@pytest.mark.parametrize("resumed", [False, True])
def test_after_a_clock_ran_back_accepted_evidence_is_not_accepted_again(
    watched: WatchedDevice, *, resumed: bool
) -> None:
    """A stranger plays what was accepted before the TPM went back: by the counters alone it looks newer."""
    clock_ms = watched.device.clock_ms
    watched.pass_time(INTERVAL_S)
    watched.next_handle()
    if resumed:
        watched.device.resume()
        watched.device.sync(watched.handles[-1])
    old = full_push(watched)
    assert refused(watched, old) is None
    watched.device.clock_ms, watched.device.restart_count = clock_ms, 0
    watched.now_us += 5 * SECOND_US
    watched.next_handle()
    watched.take(full_push(watched))
    assert Reason.CLOCK_RAN_BACK in watched.verdict[2]
    before = watched.state
    assert refused(watched, old) is Reason.EVIDENCE_REPLAYED
    assert before is not None
    assert watched.state is not None
    assert watched.state.clock_ms == before.clock_ms


def test_evidence_that_was_pending_is_not_played_again_as_of_a_clock_that_ran_back(watched: WatchedDevice) -> None:
    """Two pushes wait for a handle; the verifier restarts, the handle comes, a stranger repeats the first push."""
    watched.pass_time(INTERVAL_S)
    watched.next_handle(known=False)
    first = full_push(watched)
    assert refused(watched, first) is None
    watched.pass_time(1)
    watched.push()
    assert watched.verdict[1] is Freshness.PENDING
    watched.known += 1
    assert refused(watched, first) is Reason.EVIDENCE_REPLAYED
    assert watched.state is not None
    assert not watched.state.went_back


def test_a_pending_push_under_one_handle_and_one_under_another_are_not_played_again(watched: WatchedDevice) -> None:
    watched.pass_time(INTERVAL_S)
    watched.next_handle(known=False)
    first = full_push(watched)
    assert refused(watched, first) is None
    watched.device.sync(watched.handles[0])  # the device falls back to what the verifier knows
    watched.push()
    watched.known += 1
    assert refused(watched, first) is Reason.EVIDENCE_REPLAYED


def test_a_tpm_cleared_while_a_push_was_pending_is_taken_again_under_later_handles(watched: WatchedDevice) -> None:
    watched.pass_time(INTERVAL_S)
    watched.next_handle(known=False)
    watched.push()
    watched.pass_time(INTERVAL_S)
    watched.device.clear()
    watched.pass_time(2 * INTERVAL_S)
    watched.next_handle()
    watched.device.previous = None
    watched.push(resend=FROM_START)
    assert Reason.TPM_CLEARED in watched.verdict[2]


def test_a_handle_held_back_does_not_lengthen_the_life_of_a_result(watched: WatchedDevice) -> None:
    """Who holds a handle back for nearly the deadline must not have evidence affirmed for longer than its lifetime."""
    watched.pass_time(INTERVAL_S)
    watched.next_handle(known=False)
    watched.push()
    watched.known += 1
    assert watched.state is not None
    now_us = watched.state.received_us + 9 * SECOND_US
    resolved = resolve(watched.device.ueid, watched.state, watched.trust, now_us)
    assert resolved is not None
    state, findings = resolved
    assert state.verdict.status is Tier.AFFIRMING
    handle = watched.handles[-1]
    policy = replace(watched.policy, result_lifetime_us=20 * SECOND_US)
    result = build_result(watched.device.ueid, state, findings, now_us, "v", policy=policy, handle=handle)
    assert result.expires_s * SECOND_US <= state.received_us + policy.result_lifetime_us


def test_a_handle_that_comes_after_the_deadline_affirms_nothing(watched: WatchedDevice) -> None:
    """The process stood still, or the database: the deadline has passed before the handle is taken."""
    watched.pass_time(INTERVAL_S)
    watched.next_handle(known=False)
    watched.push()
    watched.known += 1
    assert watched.state is not None
    assert watched.state.deadline_us is not None
    assert resolve(watched.device.ueid, watched.state, watched.trust, watched.state.deadline_us) is None


def test_a_slow_verifier_clock_never_has_evidence_made_after_it_was_received(watched: WatchedDevice) -> None:
    """Its clock is 8 s behind: evidence arrives, by it, before the handle of it was stamped, and that comes later."""
    watched.pass_time(INTERVAL_S)
    watched.next_handle(known=False)
    watched.now_us -= 8 * SECOND_US
    watched.push()
    watched.known += 1
    assert watched.state is not None
    resolved = resolve(watched.device.ueid, watched.state, watched.trust, watched.now_us + 9 * SECOND_US)
    assert resolved is not None
    after_us, before_us = resolved[0].made_after_us, resolved[0].made_before_us
    assert after_us is not None
    assert before_us is None or after_us <= before_us


def test_a_stamp_older_than_a_handle_that_comes_later_is_told_and_bounds_nothing(watched: WatchedDevice) -> None:
    """A trusted TSA is 5 s slow; the handle that shows it was not here yet when the push came."""
    watched.pass_time(INTERVAL_S)
    handle = watched.next_handle(known=False)
    watched.device.sync_stamp = (handle.time_us - 5 * SECOND_US - 1).to_bytes(8)
    watched.pass_time(1)
    watched.push()
    watched.known += 1
    assert watched.state is not None
    resolved = resolve(watched.device.ueid, watched.state, watched.trust, watched.now_us)
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


def test_a_stamped_proof_of_before_a_clear_does_not_backdate_a_quote_of_after_it(watched: WatchedDevice) -> None:
    """Owner of the device: Clear, sync and stamp, wait, Clear, quote in the new epoch of the same name."""
    watched.pass_time(INTERVAL_S)
    watched.device.clear()
    watched.pass_time(5)
    handle = watched.next_handle()
    watched.device.sync_by_quote(handle)
    watched.device.sync_stamp = (watched.now_us + 1).to_bytes(8)
    watched.pass_time(50)  # within the handle's age limit
    watched.device.clear()
    watched.pass_time(6)
    quoted_us = watched.now_us
    watched.take(full_push(watched))
    assert Reason.TPM_CLEARED in watched.verdict[2]
    assert watched.state is not None
    assert watched.state.made_before_us is not None
    assert watched.state.made_before_us >= quoted_us


@pytest.mark.parametrize("rate", [1.3, 0.7])
def test_handles_in_quick_succession_clear_no_clock_of_suspicion(watched: WatchedDevice, rate: float) -> None:
    """Between two handles so close that any rate is possible nothing is learned."""
    watched.round(rate=rate)
    assert watched.state is not None
    suspect = watched.state.clock.suspect
    assert suspect in {Reason.CLOCK_TOO_FAST, Reason.CLOCK_TOO_SLOW}
    for _ in range(12):
        watched.round(rate=rate, seconds=0.05)
        assert watched.state.clock.suspect is suspect
    watched.round()
    watched.round()
    assert watched.state.clock.suspect is None
