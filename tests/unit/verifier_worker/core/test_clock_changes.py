"""The table of what became of a TPM, row by row, at every boundary."""

import pytest

from schemas.reasons import Reason
from verifier_worker.core.clock_changes import OUTCOMES, ClockChange, ClockReading, clock_change

BEFORE = ClockReading(clock_ms=1000, reset_count=5, restart_count=7, sequence=3)
RUNNING, RESUMED, REBOOTED = ClockChange.RUNNING, ClockChange.RESUMED, ClockChange.REBOOTED
CLEARED, RAN_BACK, REPLAYED = ClockChange.CLEARED, ClockChange.RAN_BACK, ClockChange.REPLAYED


def reading(clock_ms: int, reset_count: int, restart_count: int, sequence: int) -> ClockReading:
    return ClockReading(clock_ms=clock_ms, reset_count=reset_count, restart_count=restart_count, sequence=sequence)


@pytest.mark.parametrize(
    ("now", "newer", "older"),
    [
        (reading(1001, 5, 7, 4), RUNNING, RUNNING),
        (reading(1001, 5, 7, 0), RUNNING, RUNNING),  # the clock is on: a restarted agent may count again
        (reading(1000, 5, 7, 4), RUNNING, RUNNING),
        (reading(1000, 5, 7, 3), REPLAYED, REPLAYED),
        (reading(1000, 5, 7, 2), REPLAYED, REPLAYED),
        (reading(1001, 5, 8, 4), RESUMED, RESUMED),
        (reading(1000, 5, 8, 3), RESUMED, RESUMED),
        (reading(1000, 5, 9, 0), RESUMED, RESUMED),
        (reading(999, 5, 8, 4), RAN_BACK, REPLAYED),
        (reading(999, 5, 7, 4), RAN_BACK, REPLAYED),
        (reading(1001, 5, 6, 4), RAN_BACK, REPLAYED),
        (reading(0, 6, 0, 0), REBOOTED, REBOOTED),
        (reading(2000, 6, 8, 4), REBOOTED, REBOOTED),
        (reading(2000, 4, 7, 4), CLEARED, REPLAYED),
        (reading(0, 0, 0, 0), CLEARED, REPLAYED),
        (reading(1001, 5 + 2**31 - 1, 7, 4), REBOOTED, REBOOTED),
        (reading(1001, 5 + 2**31, 7, 4), CLEARED, REPLAYED),  # half way round counts as back
        (reading(1001, 5, 7 + 2**31, 4), RAN_BACK, REPLAYED),
    ],
)
def test_a_row_under_a_newer_handle_and_under_no_newer_one(
    now: ClockReading, newer: ClockChange, older: ClockChange
) -> None:
    assert clock_change(BEFORE, now, handle_is_newer=True) is newer
    assert clock_change(BEFORE, now, handle_is_newer=False) is older


def test_only_resets_start_over_and_only_counters_that_went_back_prove_no_order() -> None:
    assert {change for change, outcome in OUTCOMES.items() if outcome.starts_over} == {REBOOTED, CLEARED, RAN_BACK}
    assert {change for change, outcome in OUTCOMES.items() if outcome.goes_back} == {CLEARED, RAN_BACK}


def test_a_reset_and_a_clear_report_themselves_and_other_checks_report_the_rest() -> None:
    reported = {change: outcome.reason for change, outcome in OUTCOMES.items() if outcome.reason is not None}
    assert reported == {REBOOTED: Reason.REBOOTED, CLEARED: Reason.TPM_CLEARED}


def test_every_change_but_a_replay_has_an_outcome() -> None:
    assert OUTCOMES.keys() == set(ClockChange) - {REPLAYED}
