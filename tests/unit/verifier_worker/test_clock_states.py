"""What a TPM's clock and counters can do, row by row, through ``step``."""

import pytest

from schemas.reasons import Reason
from schemas.time_model import counter_steps
from schemas.verdicts import Freshness, Tier
from tests.worlds.device import T0_US
from tests.worlds.watched_device import GOOD, INTERVAL_S, SECOND_US, WatchedDevice
from verifier_worker.core.clock_changes import ClockChange, ClockReading, clock_change
from verifier_worker.core.conclusion import resolve


@pytest.fixture
def watched() -> WatchedDevice:
    """After a baseline that was affirmed."""
    made = WatchedDevice()
    assert made.verdict == GOOD
    return made


def reading(clock_ms: int = 1000, resets: int = 5, restarts: int = 2, sequence: int = 7) -> ClockReading:
    return ClockReading(clock_ms=clock_ms, reset_count=resets, restart_count=restarts, sequence=sequence)


@pytest.mark.parametrize(
    ("now", "newer", "change"),
    [
        (reading(clock_ms=1001), False, ClockChange.RUNNING),
        (reading(sequence=8), False, ClockChange.RUNNING),
        (reading(), False, ClockChange.REPLAYED),
        (reading(), True, ClockChange.REPLAYED),
        (reading(clock_ms=1001, restarts=3), False, ClockChange.RESUMED),
        (reading(clock_ms=0, resets=6, restarts=0), False, ClockChange.REBOOTED),
        (reading(clock_ms=0, resets=6, restarts=9), False, ClockChange.REBOOTED),
        (reading(clock_ms=0, resets=0, restarts=0), False, ClockChange.REPLAYED),
        (reading(clock_ms=0, resets=0, restarts=0), True, ClockChange.CLEARED),
        (reading(clock_ms=999), False, ClockChange.REPLAYED),
        (reading(clock_ms=999), True, ClockChange.RAN_BACK),
        (reading(clock_ms=2000, restarts=1), False, ClockChange.REPLAYED),
        (reading(clock_ms=2000, restarts=1), True, ClockChange.RAN_BACK),
        (reading(clock_ms=999, restarts=3), False, ClockChange.REPLAYED),
    ],
)
def test_the_table(now: ClockReading, newer: bool, change: ClockChange) -> None:
    assert clock_change(reading(), now, handle_is_newer=newer) is change


def test_obfuscated_counters_wrap_around() -> None:
    top = 2**32 - 1
    assert counter_steps(top, 0) == 1
    assert clock_change(reading(resets=top), reading(resets=0), handle_is_newer=False) is ClockChange.REBOOTED
    assert (
        clock_change(reading(restarts=top), reading(clock_ms=1001, restarts=0), handle_is_newer=False)
        is ClockChange.RESUMED
    )


def test_a_resume_is_told_and_the_rate_starts_again(watched: WatchedDevice) -> None:
    watched.round()
    watched.now_us += 3600 * SECOND_US  # asleep: the clock stood still
    watched.device.resume()
    watched.next_handle()
    watched.push()
    assert watched.verdict == (Tier.AFFIRMING, Freshness.FRESH, {Reason.RESUMED})
    for _ in range(3):
        watched.round()
        assert watched.verdict == GOOD


def test_resumes_are_counted_around_the_end_of_the_counter() -> None:
    watched = WatchedDevice()
    watched.device.reboot()
    watched.device.restart_count = 2**32 - 1
    watched.next_handle()
    watched.push()
    watched.device.resume()
    watched.device.restart_count = 0
    watched.device.transitions = []  # keeps it to itself
    watched.next_handle()
    watched.push()
    assert Reason.TRANSITION_UNREPORTED in watched.verdict[2]


def test_a_reboot_after_a_suspend_starts_over(watched: WatchedDevice) -> None:
    watched.device.resume()
    watched.round()
    watched.device.reboot()
    watched.device.clock_ms -= 500  # an unorderly shutdown lost what was not stored
    watched.device.safe = False
    watched.next_handle()
    watched.pass_time(0.2)
    watched.push()
    assert watched.verdict == (Tier.AFFIRMING, Freshness.FRESH, {Reason.REBOOTED, Reason.CLOCK_UNSAFE})
    watched.device.safe = True
    watched.round()
    assert watched.verdict == GOOD


def test_a_cleared_tpm_is_accepted_under_a_newer_handle_only(watched: WatchedDevice) -> None:
    watched.device.clear()
    watched.device.sync(watched.handles[-1])
    watched.device.previous = None
    taken = watched.push(resend={"tcg2": 0, "ima": 0})
    assert taken.refused is not None
    assert taken.refused.reason is Reason.EVIDENCE_REPLAYED
    watched.pass_time(INTERVAL_S)
    watched.next_handle()
    watched.device.previous = None
    watched.push(resend={"tcg2": 0, "ima": 0})
    assert watched.verdict == (Tier.AFFIRMING, Freshness.FRESH, {Reason.TPM_CLEARED})


def test_after_a_clear_old_evidence_is_no_reboot(watched: WatchedDevice) -> None:
    old = watched.device.push(full=True, resend={"tcg2": 0, "ima": 0})
    watched.pass_time(INTERVAL_S)
    watched.device.clear()
    watched.next_handle()
    watched.device.previous = None
    watched.push(resend={"tcg2": 0, "ima": 0})
    assert Reason.TPM_CLEARED in watched.verdict[2]
    for known in (watched.known, 0):  # whether its handle is still known or not
        watched.known = known
        taken = watched.take(old)
        assert taken.refused is not None
        assert taken.refused.reason is Reason.EVIDENCE_REPLAYED


def test_a_reboot_after_a_clear_is_one(watched: WatchedDevice) -> None:
    watched.pass_time(INTERVAL_S)
    watched.device.clear()
    watched.next_handle()
    watched.device.previous = None
    watched.push(resend={"tcg2": 0, "ima": 0})
    watched.device.reboot()
    watched.device.sync(watched.handles[-1])
    watched.pass_time(0.2)
    watched.push()
    assert watched.verdict == (Tier.AFFIRMING, Freshness.FRESH, {Reason.REBOOTED})


def test_a_tpm_set_back_contradicts_and_recovers(watched: WatchedDevice) -> None:
    before = watched.device.clock_ms, watched.device.pcrs
    watched.round()
    watched.round()
    watched.device.clock_ms = before[0]
    watched.device.previous = None
    watched.next_handle()
    watched.push(resend={"tcg2": 0, "ima": 0})
    assert watched.verdict == (Tier.NONE, Freshness.CONTRADICTED, {Reason.CLOCK_RAN_BACK})
    watched.round()
    assert watched.verdict == GOOD


def test_a_clock_that_runs_back_within_one_push_contradicts(watched: WatchedDevice) -> None:
    watched.round()
    watched.device.clock_ms += 5000
    watched.device.sync(watched.handles[-1])
    watched.device.clock_ms -= 3000
    watched.push()
    assert watched.verdict == (Tier.NONE, Freshness.CONTRADICTED, {Reason.CLOCK_RAN_BACK})


def test_a_clock_set_forward_contradicts_until_the_next_proof(watched: WatchedDevice) -> None:
    watched.round()
    watched.device.set_clock(3_000)  # within the drift bound over a minute: only the TPM's own time shows it
    taken = watched.round()
    assert watched.verdict == (Tier.NONE, Freshness.CONTRADICTED, {Reason.CLOCK_SET})
    assert taken.solicit is not None
    assert taken.solicit.reason is Reason.CLOCK_SET
    assert watched.state is not None
    assert watched.state.made_after_us == watched.handles[-1].time_us  # the clock narrows nothing now
    watched.pass_time(1)
    watched.device.sync(watched.handles[-1])  # as solicited: of the same handle
    watched.push()
    assert watched.verdict == GOOD


def test_a_clock_set_between_proofs_by_quote_shows_in_the_next_timed_one(watched: WatchedDevice) -> None:
    watched.device.set_clock(3_000)
    watched.pass_time(INTERVAL_S)
    watched.next_handle()
    watched.device.sync_by_quote(watched.handles[-1])
    watched.pass_time(0.2)
    watched.push()
    assert watched.verdict == GOOD
    watched.round()
    assert watched.verdict == (Tier.NONE, Freshness.CONTRADICTED, {Reason.CLOCK_SET})


def test_a_clock_beyond_its_bound_is_unsynchronised_until_it_keeps_it(watched: WatchedDevice) -> None:
    taken = watched.round(rate=1.3)
    assert watched.verdict == (Tier.NONE, Freshness.UNSYNCHRONISED, {Reason.CLOCK_TOO_FAST})
    assert taken.solicit is not None
    watched.pass_time(1, rate=1.3)
    watched.device.sync(watched.handles[-1])
    watched.push()
    assert watched.verdict == (Tier.NONE, Freshness.UNSYNCHRONISED, {Reason.CLOCK_TOO_FAST})
    watched.device.reboot()  # no way out
    watched.next_handle()
    watched.push()
    assert Reason.CLOCK_TOO_FAST in watched.verdict[2]
    watched.round()
    assert watched.verdict == GOOD


def test_a_late_change_of_rate_is_noticed(watched: WatchedDevice) -> None:
    for _ in range(50):
        watched.round()
    assert watched.verdict == GOOD
    watched.round(rate=1.3)
    assert Reason.CLOCK_TOO_FAST in watched.verdict[2]


def test_a_slow_clock_is_told(watched: WatchedDevice) -> None:
    watched.round(rate=0.7)
    assert watched.verdict == (Tier.AFFIRMING, Freshness.FRESH, {Reason.CLOCK_TOO_SLOW})
    assert watched.state is not None
    assert watched.state.clock.rate_ppm is not None
    low, high = watched.state.clock.rate_ppm
    assert low <= high < -250_000


def test_new_firmware_is_told(watched: WatchedDevice) -> None:
    watched.device.firmware_version += 1
    watched.round()
    assert watched.verdict == (Tier.AFFIRMING, Freshness.FRESH, {Reason.FIRMWARE_CHANGED})
    watched.round()
    assert watched.verdict == GOOD


def test_a_pending_push_resolves_when_its_handle_comes(watched: WatchedDevice) -> None:
    watched.pass_time(INTERVAL_S)
    watched.next_handle(known=False)
    watched.push()
    assert watched.verdict == (Tier.NONE, Freshness.PENDING, {Reason.HANDLE_UNKNOWN})
    assert watched.state is not None
    assert resolve(watched.device.ueid, watched.state, watched.trust, watched.now_us) is None
    watched.known += 1
    resolved = resolve(watched.device.ueid, watched.state, watched.trust, watched.now_us)
    assert resolved is not None
    state, findings = resolved
    assert (state.verdict.status, state.verdict.reasons, findings) == (Tier.AFFIRMING, (), ())
    assert state.made_after_us is not None
    assert resolve(watched.device.ueid, state, watched.trust, watched.now_us) is None


def test_a_resolved_push_keeps_what_led_there(watched: WatchedDevice) -> None:
    watched.device.push()  # lost
    watched.next_handle(known=False)
    watched.push()
    assert watched.verdict == (Tier.NONE, Freshness.PENDING, {Reason.HANDLE_UNKNOWN, Reason.SEQUENCE_GAP})
    watched.known += 1
    assert watched.state is not None
    resolved = resolve(watched.device.ueid, watched.state, watched.trust, watched.now_us)
    assert resolved is not None
    assert resolved[0].verdict.reasons == (Reason.SEQUENCE_GAP,)


def test_a_stamp_on_the_proof_bounds_the_quote_from_above(watched: WatchedDevice) -> None:
    watched.pass_time(INTERVAL_S)
    watched.next_handle()
    stamped_us = watched.now_us + 123_456
    watched.device.sync_stamp = stamped_us.to_bytes(8)
    watched.pass_time(10)
    evidence = watched.device.push(elapsed_ms=1)
    watched.device.sync_stamp = None
    quoted_us = watched.now_us
    watched.now_us += 100 * SECOND_US  # on its way for long
    watched.take(evidence)
    assert watched.state is not None
    assert watched.state.made_after_us is not None
    assert watched.state.made_before_us is not None
    assert watched.state.made_after_us <= quoted_us <= watched.state.made_before_us < quoted_us + 3 * SECOND_US
    watched.device.clock_ms += 100_000
    watched.push()  # the stamp need not be sent again
    assert watched.state.made_before_us is not None


def test_a_bad_stamp_is_told_and_bounds_nothing(watched: WatchedDevice) -> None:
    for token in (b"bad", (T0_US - SECOND_US).to_bytes(8)):
        watched.device.sync_stamp = token
        watched.round()
        assert watched.verdict == (Tier.AFFIRMING, Freshness.FRESH, {Reason.SYNC_STAMP_INVALID})
        assert watched.state is not None
        assert watched.state.made_before_us == watched.state.received_us


def test_a_receipt_is_bound_to_the_newest_handle(watched: WatchedDevice) -> None:
    watched.round()
    newest = watched.next_handle()
    watched.device.sync(watched.handles[0])
    watched.push()
    assert watched.state is not None
    assert watched.state.received_after == newest.id
    assert watched.state.sync.handle == watched.handles[0].id


def rate_of(watched: WatchedDevice) -> tuple[int, int] | None:
    assert watched.state is not None
    return watched.state.clock.rate_ppm


def test_the_rate_of_the_boot_before_is_not_that_of_this_one(watched: WatchedDevice) -> None:
    watched.round()
    watched.round()
    assert rate_of(watched) is not None
    watched.device.reboot()
    watched.next_handle()
    watched.push()
    assert rate_of(watched) is None
    watched.round()
    assert rate_of(watched) is not None
