"""When the bell rings: at once, on time, sooner after a failure, never twice at once; and that no bug is swallowed."""

import threading
import time

import pytest

from handle_distributor.bell_schedule import BellSchedule
from runtime.service import Stop
from tests.programs.waiting import PATIENCE_S


class Rings:
    """Counts rounds and stops the service after enough of them."""

    def __init__(self, stop: Stop, enough: int, outcomes: tuple[bool, ...] = ()) -> None:
        self.stop = stop
        self.enough = enough
        self.outcomes = outcomes
        self.at: list[float] = []
        self.under_way = threading.Lock()

    def __call__(self) -> bool:
        assert self.under_way.acquire(blocking=False), "two rounds at once"
        try:
            self.at.append(time.monotonic())
            if len(self.at) >= self.enough:
                self.stop.request()
            return self.outcomes[len(self.at) - 1] if len(self.at) <= len(self.outcomes) else True
        finally:
            self.under_way.release()


def run(schedule: BellSchedule, stop: Stop) -> None:
    """Runs the service; a watchdog ends it, so that a service that never rings fails a test instead of hanging it."""
    watchdog = threading.Timer(PATIENCE_S, stop.request)
    watchdog.start()
    try:
        schedule.run(stop)
    finally:
        watchdog.cancel()


def test_the_first_round_starts_at_once() -> None:
    stop = Stop()
    rings = Rings(stop, enough=1)
    started = time.monotonic()
    run(BellSchedule(rings, interval_s=3600), stop)
    assert len(rings.at) == 1
    assert rings.at[0] - started < PATIENCE_S  # the second would come after an hour


def test_rounds_come_an_interval_apart() -> None:
    stop = Stop()
    rings = Rings(stop, enough=4)
    started = time.monotonic()
    run(BellSchedule(rings, interval_s=0.1), stop)
    assert len(rings.at) == 4
    assert rings.at[-1] - started > 0.29  # a round may be late, never early


def test_after_a_failure_the_next_round_comes_sooner() -> None:
    stop = Stop()
    rings = Rings(stop, enough=2, outcomes=(False,))
    started = time.monotonic()
    run(BellSchedule(rings, interval_s=3600), stop)
    assert len(rings.at) == 2
    assert time.monotonic() - started < PATIENCE_S


def test_a_round_that_takes_longer_than_the_interval_delays_the_next() -> None:
    stop = Stop()
    counted = Rings(stop, enough=3)

    def slow() -> bool:
        threading.Event().wait(0.05)  # a slow TSA
        return counted()

    run(BellSchedule(slow, interval_s=0.01), stop)
    assert len(counted.at) == 3


def test_a_bug_in_a_round_ends_the_service_with_it() -> None:
    stop = Stop()

    def broken() -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(BellSchedule(broken, interval_s=3600), stop)


def test_a_wall_clock_that_steps_back_does_not_silence_the_bell() -> None:
    """A round is planned by a clock that is an hour ahead and then steps back to what it should be."""
    stop = Stop()
    rings = Rings(stop, enough=3)
    clocks = iter([3_600_000_000])

    def utc_us() -> int:
        return time.time_ns() // 1000 + next(clocks, 0)

    run(BellSchedule(rings, interval_s=0.1, utc_us=utc_us, overdue_s=0.1), stop)
    assert len(rings.at) == 3
