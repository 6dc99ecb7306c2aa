"""What is known of a clock's rate: anchors, bounds, suspicion, and what takes it back."""

from dataclasses import replace

import pytest

from schemas.reasons import Reason
from schemas.time_model import MAX_DRIFT_PPM, ClockAnchor
from verifier_worker.core.clock_record import ClockRecord, next_epoch, synchronised, went_back

SECOND_US = 1_000_000


def at(seconds: int, *, clock_s: float | None = None, width_s: int = 1, time_s: float | None = None) -> ClockAnchor:
    """A proof made in the ``width_s`` after that many seconds, by a right clock unless it says another time."""
    return ClockAnchor(
        clock_ms=round((seconds if clock_s is None else clock_s) * 1000),
        after_us=seconds * SECOND_US,
        before_us=(seconds + width_s) * SECOND_US,
        time_ms=None if time_s is None else round(time_s * 1000),
    )


def after(*anchors: ClockAnchor, drift_ppm: int = MAX_DRIFT_PPM) -> ClockRecord:
    record = ClockRecord()
    for each in anchors:
        record = synchronised(record, each, drift_ppm)
    return record


ANCHORED = ClockRecord(first=at(1), last=at(2), timed=at(2, time_s=2), rate_ppm=(-5, 5))


def test_a_new_epoch_has_no_anchors_and_no_rate() -> None:
    assert next_epoch(ANCHORED) == ClockRecord()


def test_a_suspect_clock_keeps_the_bounds_that_convicted_it_apart_from_the_rate_of_the_epoch() -> None:
    fast = after(at(0), at(1000, clock_s=1200))
    assert (fast.suspect, fast.rate_ppm) == (Reason.CLOCK_TOO_FAST, fast.suspect_ppm)
    later = next_epoch(fast)
    assert later == ClockRecord(suspect=Reason.CLOCK_TOO_FAST, suspect_ppm=fast.suspect_ppm)
    still = synchronised(synchronised(later, at(0), MAX_DRIFT_PPM), at(1000, clock_s=1200), MAX_DRIFT_PPM)
    assert still.suspect is Reason.CLOCK_TOO_FAST
    good = synchronised(synchronised(later, at(0), MAX_DRIFT_PPM), at(1000), MAX_DRIFT_PPM)
    assert (good.suspect, good.suspect_ppm) == (None, None)
    assert good.rate_ppm is not None


@pytest.mark.parametrize(
    ("suspect", "kept"),
    [
        (None, None),
        (Reason.CLOCK_SET, None),  # the first proof synchronises it again
        (Reason.CLOCK_TOO_FAST, Reason.CLOCK_TOO_FAST),
        (Reason.CLOCK_TOO_SLOW, Reason.CLOCK_TOO_SLOW),
        (Reason.CLOCK_RAN_BACK, Reason.CLOCK_RAN_BACK),
    ],
)
def test_a_clock_that_runs_wrong_does_so_after_a_reboot(suspect: Reason | None, kept: Reason | None) -> None:
    assert next_epoch(replace(ANCHORED, suspect=suspect)).suspect is kept


def test_a_clock_that_ran_back_is_suspect_whatever_it_was_before() -> None:
    assert went_back() == ClockRecord(suspect=Reason.CLOCK_RAN_BACK)


def test_the_first_proof_is_first_and_last_and_says_no_rate() -> None:
    here = at(10)
    assert after(here) == ClockRecord(first=here, last=here)
    timed = at(10, time_s=3)
    assert after(timed) == ClockRecord(first=timed, last=timed, timed=timed)
    kept = synchronised(ClockRecord(rate_ppm=(1, 2), suspect=Reason.CLOCK_TOO_SLOW), here, MAX_DRIFT_PPM)
    assert kept == ClockRecord(first=here, last=here, rate_ppm=(1, 2), suspect=Reason.CLOCK_TOO_SLOW)
    unfinished = ClockRecord(first=None, last=at(20))
    assert synchronised(unfinished, here, MAX_DRIFT_PPM) == ClockRecord(first=here, last=here)
    headless = ClockRecord(first=at(1), last=None)
    assert synchronised(headless, here, MAX_DRIFT_PPM) == ClockRecord(first=here, last=here)


def test_a_proof_that_was_taken_already_changes_nothing() -> None:
    record = after(at(0), at(100))
    assert synchronised(record, at(100), MAX_DRIFT_PPM) is record
    assert synchronised(record, at(200, clock_s=100), MAX_DRIFT_PPM) is record
    assert synchronised(record, at(200, clock_s=100.001), MAX_DRIFT_PPM) is not record


def test_the_rate_is_measured_over_the_whole_epoch() -> None:
    first, last = at(0), at(1000)
    record = after(first, at(500), last)
    assert (record.first, record.last, record.suspect) == (first, last, None)
    assert record.rate_ppm is not None
    low, high = record.rate_ppm
    assert -1100 < low < 0 < high < 1100  # a second's doubt at either end of a thousand
    assert after(first, at(500)).rate_ppm != record.rate_ppm


def test_proofs_in_quick_succession_leave_the_rate_as_it_was() -> None:
    record = after(at(0), at(1000))
    soon = synchronised(record, at(1001, clock_s=1001), MAX_DRIFT_PPM)
    assert soon.rate_ppm is not None
    kept = synchronised(synchronised(ClockRecord(rate_ppm=(-5, 5)), at(0), 1000), at(1), 1000)
    assert kept.rate_ppm == (-5, 5)
    young = after(at(0), at(1, clock_s=1))
    assert young.rate_ppm is None
    assert young.last == at(1, clock_s=1)


@pytest.mark.parametrize(
    ("clock_s", "suspect"),
    [
        (1002, None),  # at least 1000 ppm fast: within the bound
        (1003, Reason.CLOCK_TOO_FAST),
        (998, None),
        (997, Reason.CLOCK_TOO_SLOW),
    ],
)
def test_a_clock_is_out_of_its_bound_when_every_rate_it_can_have_is(clock_s: int, suspect: Reason | None) -> None:
    first, last = at(0), at(1000, clock_s=clock_s)
    record = after(first, last, drift_ppm=1000)
    assert record.suspect is suspect
    assert record.first == (last if suspect else first)  # measurements start again
    assert record.last == last
    assert record.rate_ppm is not None
    low, high = record.rate_ppm
    assert low > 1000 if suspect is Reason.CLOCK_TOO_FAST else low <= 1000
    assert high < -1000 if suspect is Reason.CLOCK_TOO_SLOW else high >= -1000


def test_a_clock_of_a_wrong_rate_keeps_the_proof_that_states_the_time() -> None:
    timed = at(0, time_s=0)
    record = after(timed, at(1000, clock_s=1003), drift_ppm=1000)
    assert (record.suspect, record.timed) == (Reason.CLOCK_TOO_FAST, timed)
    assert synchronised(record, at(2000, clock_s=3000, time_s=2000), 1000).suspect is Reason.CLOCK_SET


def exactly(rate_ppm: int) -> tuple[ClockAnchor, ClockAnchor]:
    """Two proofs without any doubt but the reading's millisecond, whose least rate is exactly this."""
    first = ClockAnchor(clock_ms=0, after_us=0, before_us=0)
    advanced_ms = 1_000_000 + rate_ppm + 1
    return first, ClockAnchor(clock_ms=advanced_ms, after_us=1000 * SECOND_US, before_us=1000 * SECOND_US)


def test_the_bound_itself_is_allowed() -> None:
    assert after(*exactly(1000), drift_ppm=1000).suspect is None
    assert after(*exactly(1001), drift_ppm=1000).suspect is Reason.CLOCK_TOO_FAST
    assert after(*exactly(-1002), drift_ppm=1000).suspect is None  # two milliseconds of doubt above it
    assert after(*exactly(-1003), drift_ppm=1000).suspect is Reason.CLOCK_TOO_SLOW


def test_a_change_of_rate_shows_since_the_last_proof_before_it_shows_over_all() -> None:
    fast = at(101_000, clock_s=101_010)
    record = after(at(0), at(100_000), fast, drift_ppm=1000)
    assert record.suspect is Reason.CLOCK_TOO_FAST
    assert (record.first, record.last) == (fast, fast)


def test_a_slow_change_shows_over_all_though_no_step_of_it_does() -> None:
    steps = [at(10 * number, clock_s=10.05 * number) for number in range(100)]
    record = after(*steps, drift_ppm=1000)
    assert record.suspect is Reason.CLOCK_TOO_FAST


# -- set ---------------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_is_suspect_and_measured_anew() -> None:
    here = at(1000, clock_s=4000, time_s=1000)
    record = after(at(0, time_s=0), at(500), here)
    assert record == ClockRecord(first=here, last=here, timed=here, rate_ppm=after(at(0), at(500)).rate_ppm,
                                 suspect=Reason.CLOCK_SET)  # fmt: skip


def test_only_proofs_that_say_the_time_tell_whether_the_clock_was_set() -> None:
    timed = at(0, time_s=0)
    record = after(timed, at(500, clock_s=550))
    assert record.timed == timed
    assert record.suspect is None
    assert synchronised(record, at(1000, clock_s=1100, time_s=1050), MAX_DRIFT_PPM).suspect is Reason.CLOCK_SET
    untimed = after(at(0), at(1000, clock_s=1100, time_s=5))
    assert untimed.suspect is None
    assert untimed.timed == at(1000, clock_s=1100, time_s=5)


def test_a_set_clock_is_cleared_by_the_next_proof_that_says_the_time() -> None:
    record = replace(after(at(0, time_s=0)), suspect=Reason.CLOCK_SET)
    assert synchronised(record, at(1000), MAX_DRIFT_PPM).suspect is Reason.CLOCK_SET
    cleared = synchronised(record, at(1000, time_s=1000), MAX_DRIFT_PPM)
    assert cleared.suspect is None
    assert cleared.rate_ppm is not None


def test_a_set_clock_without_a_time_before_is_not_cleared() -> None:
    record = replace(after(at(0)), suspect=Reason.CLOCK_SET)
    assert synchronised(record, at(1000, time_s=1000), MAX_DRIFT_PPM).suspect is Reason.CLOCK_SET


# -- cleared -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suspect", "found_ppm", "clock_s", "cleared"),
    [
        (Reason.CLOCK_TOO_FAST, (5000, 7000), 1000, True),
        (Reason.CLOCK_TOO_FAST, (5000, 7000), 1005, False),  # it can still be that fast
        (Reason.CLOCK_TOO_SLOW, (-7000, -5000), 1000, True),
        (Reason.CLOCK_TOO_SLOW, (-7000, -5000), 995, False),
        (Reason.CLOCK_RAN_BACK, (5000, 7000), 1000, True),
    ],
)
def test_a_suspicion_ends_with_a_rate_that_excludes_it(
    suspect: Reason, found_ppm: tuple[int, int], clock_s: int, cleared: bool
) -> None:
    record = replace(after(at(0)), suspect=suspect, rate_ppm=found_ppm, suspect_ppm=found_ppm)
    later = synchronised(record, at(1000, clock_s=clock_s), MAX_DRIFT_PPM)
    assert later.suspect is (None if cleared else suspect)
    if suspect is not Reason.CLOCK_RAN_BACK:
        assert (later.rate_ppm == found_ppm) is not cleared  # while it lasts, the rate is the one it was found by
    else:
        assert later.rate_ppm != found_ppm


def test_the_rate_that_a_clock_was_found_by_is_not_excluded_by_itself() -> None:
    first, later = exactly(2000)
    high = 2002  # of this measurement
    fast = replace(after(first), suspect=Reason.CLOCK_TOO_FAST, suspect_ppm=(high, 9000))
    assert synchronised(fast, later, MAX_DRIFT_PPM).suspect is Reason.CLOCK_TOO_FAST
    faster = replace(fast, suspect_ppm=(high + 1, 9000))
    assert synchronised(faster, later, MAX_DRIFT_PPM).suspect is None
    slow = replace(fast, suspect=Reason.CLOCK_TOO_SLOW, suspect_ppm=(-9000, 2000))
    assert synchronised(slow, later, MAX_DRIFT_PPM).suspect is Reason.CLOCK_TOO_SLOW
    slower = replace(slow, suspect_ppm=(-9000, 1999))
    assert synchronised(slower, later, MAX_DRIFT_PPM).suspect is None


@pytest.mark.parametrize(("width_ms", "cleared"), [(294_979, True), (294_980, False)])
def test_after_running_back_any_rate_that_says_something_clears(width_ms: int, cleared: bool) -> None:
    first = ClockAnchor(clock_ms=0, after_us=0, before_us=0)
    later = ClockAnchor(clock_ms=1_000_000, after_us=(1_150_000 - width_ms) * 1000, before_us=1_150_000_000)
    record = replace(after(first), suspect=Reason.CLOCK_RAN_BACK)
    low, high = after(first, later).rate_ppm or (0, 0)
    assert (high - low <= 2 * MAX_DRIFT_PPM) is cleared
    assert (synchronised(record, later, MAX_DRIFT_PPM).suspect is None) is cleared


def test_a_suspicion_without_a_rate_is_of_the_most_that_a_tpm_may_drift() -> None:
    record = replace(after(at(0)), suspect=Reason.CLOCK_TOO_FAST)
    assert synchronised(record, at(1000), MAX_DRIFT_PPM).suspect is Reason.CLOCK_TOO_FAST
    slow = replace(record, suspect=Reason.CLOCK_TOO_SLOW)
    assert synchronised(slow, at(1000), MAX_DRIFT_PPM).suspect is Reason.CLOCK_TOO_SLOW


def test_one_of_both_measurements_is_enough_to_clear() -> None:
    """Over the whole epoch the clock can still be fast; since the last proof it cannot."""
    record = ClockRecord(
        first=at(0), last=at(1000, clock_s=1006), suspect=Reason.CLOCK_TOO_FAST, suspect_ppm=(4000, 9000)
    )
    assert synchronised(record, at(2000, clock_s=2006), MAX_DRIFT_PPM).suspect is None
    since_last = ClockRecord(
        first=at(0), last=at(1000, clock_s=1020), suspect_ppm=(15_000, 25_000), suspect=record.suspect
    )
    assert synchronised(since_last, at(1100, clock_s=1120), MAX_DRIFT_PPM).suspect is None
    over_all = replace(record, last=at(1000, clock_s=1000, width_s=400))
    assert synchronised(over_all, at(1100, clock_s=1100), MAX_DRIFT_PPM).suspect is None


def test_two_proofs_too_close_to_say_anything_clear_nothing() -> None:
    record = replace(after(at(0)), suspect=Reason.CLOCK_RAN_BACK)
    later = synchronised(record, at(1, clock_s=1), MAX_DRIFT_PPM)
    assert later.suspect is Reason.CLOCK_RAN_BACK
    assert later.rate_ppm is None
