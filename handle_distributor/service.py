"""Rings the epoch bell on time. The only importer of APScheduler.

One job exists at a time and every tick makes the next one when it ends: two ticks never run at once, missed ticks
become one, and a clock that jumps over a month makes one handle, not a month's. APScheduler goes by the wall clock;
should that step back, :meth:`BellService.run` notices by the monotonic clock that a tick is overdue and rings at once.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler

from runtime.clock import monotonic_s, utc_us
from runtime.service import Backoff, Stop
from runtime.telemetry import Log

_LOG: Final = Log("handle_distributor")
_JOB: Final = "epoch"
_FIRST_RETRY_S: Final = 1.0
_WATCH_S: Final = 0.5
_US: Final = 1_000_000


class BellService:
    """Runs until stopped. Ticks run on the scheduler's one thread; the caller's thread watches."""

    def __init__(
        self,
        ring: Callable[[], bool],
        interval_s: float,
        *,
        utc_us: Callable[[], int] = utc_us,
        overdue_s: float = 2.0,
    ) -> None:
        """Takes what to do and how often.

        Args:
            ring: one round; whether it made a handle.
            interval_s: from the start of one tick to the start of the next; after a failed one sooner, with backoff.
            utc_us: the wall clock that APScheduler goes by.
            overdue_s: how late a tick may be before the wall clock is not waited for any longer.
        """
        self._ring = ring
        self._interval_s = interval_s
        self._utc_us = utc_us
        self._overdue_s = overdue_s
        self._backoff = Backoff(min(_FIRST_RETRY_S, interval_s), interval_s)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": {"type": "threadpool", "max_workers": 1}},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._due_s = 0.0  # monotonic; written before a job is made, read by the watching thread
        self._busy = threading.Event()
        self._bug: BaseException | None = None

    def run(self, stop: Stop) -> None:
        """Rings at once, then every interval, until ``stop``; waits for a tick under way.

        Raises:
            BaseException: what a tick raised and is nobody's but ours.
        """
        self._schedule(0, stop)
        self._scheduler.start()
        try:
            while not stop.wait(_WATCH_S):
                if not self._busy.is_set() and monotonic_s() > self._due_s + self._overdue_s:
                    _LOG.warning("clock-stepped-back", overdue_s=round(monotonic_s() - self._due_s, 1))
                    self._schedule(0, stop)
        finally:
            self._scheduler.shutdown(wait=True)
        if self._bug is not None:
            raise self._bug

    def _schedule(self, delay_s: float, stop: Stop) -> None:
        self._due_s = monotonic_s() + delay_s
        when = datetime.fromtimestamp(self._utc_us() / _US + delay_s, UTC)
        self._scheduler.add_job(self._tick, "date", run_date=when, args=[stop], id=_JOB, replace_existing=True)

    def _tick(self, stop: Stop) -> None:
        self._busy.set()
        try:
            started_s = monotonic_s()
            if self._ring():
                self._backoff.reset()
                delay_s = max(0.0, self._interval_s - (monotonic_s() - started_s))
            else:
                delay_s = self._backoff.next_s()
            if not stop.requested:
                self._schedule(delay_s, stop)
        except BaseException as error:  # APScheduler would log it and go on
            self._bug = error
            stop.request()
            raise
        finally:
            self._busy.clear()
