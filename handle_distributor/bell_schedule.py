"""Rings the epoch bell on time. The only importer of APScheduler.

APScheduler ticks at once and then every interval. Ticks never overlap, missed ticks become one, and a clock that jumps
over a month makes one handle. But it follows the wall clock and does not retry. So the thread in
:meth:`BellSchedule.run` watches the monotonic clock and makes an overdue tick run now: after a failure once the
backoff has passed, and after the wall clock stepped back.

Only that thread calls the scheduler. A tick must not: APScheduler 3 waits for running ticks while it holds the locks
that they would need.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from typing_extensions import override

from runtime import clock
from runtime.service import Backoff, Stop
from runtime.telemetry import Logger
from schemas.instants import utc

_LOG: Final = Logger("handle_distributor")
_JOB: Final = "epoch"
_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 300.0  # handles may be a day apart; a short outage must not delay the next one by hours
_WATCH_S: Final = 0.25
_HANGS_AFTER_S: Final = 600.0  # TSAs are asked one after the other, and each may take twice its timeout_s


class _Interval(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires one interval after the last time, or one interval from now if that time has passed.

    APScheduler's own trigger steps through every missed interval, which takes minutes after a clock jump from 1970.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval = timedelta(seconds=interval_s)

    @override
    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        following = (previous_fire_time or now) + self._interval
        return following if following > now else now + self._interval


class BellSchedule:
    """Rings until stopped. Ticks run on the scheduler's one thread; the caller's thread watches.

    While a tick runs (``_busy`` is set) it owns ``_due_s`` and ``_patience_s``; otherwise the watcher owns them.
    ``_bug`` is read after the last tick.
    """

    def __init__(
        self,
        ring: Callable[[], bool],
        interval_s: float,
        *,
        utc_us: Callable[[], int] = clock.utc_us,
        overdue_s: float = 2.0,
        on_watch: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts nothing yet.

        Args:
            ring: runs one round; returns whether it made a handle.
            interval_s: from the start of one tick to the start of the next; after a failure sooner, with backoff.
            utc_us: the wall clock that APScheduler follows.
            overdue_s: how late a tick may be before the watcher starts it without waiting for the wall clock.
            on_watch: called by the watcher at each look, except while a tick hangs.
        """
        self._ring = ring
        self._interval_s = interval_s
        self._utc_us = utc_us
        self._overdue_s = overdue_s
        self._on_watch = on_watch
        self._backoff = Backoff(min(_FIRST_RETRY_S, interval_s), min(_LAST_RETRY_S, interval_s))
        self._busy = threading.Event()
        self._ringing_since_s = 0.0
        self._due_s = clock.monotonic_s()
        self._patience_s = overdue_s
        self._bug: BaseException | None = None

    def run(self, stop: Stop) -> None:
        """Rings at once, then every interval, until ``stop``; waits for a running tick to end.

        Raises:
            BaseException: a tick raised it: a bug in this program.
        """
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": {"type": "threadpool", "max_workers": 1}},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._due_s = clock.monotonic_s()
        scheduler.add_job(self._tick, _Interval(self._interval_s), args=[stop], id=_JOB, next_run_time=self._now())
        scheduler.start()
        try:
            while not stop.wait(_WATCH_S):
                if not self._hangs():
                    self._on_watch()
                if not self._busy.is_set() and clock.monotonic_s() > self._due_s + self._patience_s:
                    self._due_s, self._patience_s = clock.monotonic_s(), self._overdue_s
                    scheduler.modify_job(_JOB, next_run_time=self._now())
        finally:
            scheduler.shutdown(wait=True)
        if self._bug is not None:
            raise self._bug

    def _hangs(self) -> bool:
        return self._busy.is_set() and clock.monotonic_s() > self._ringing_since_s + _HANGS_AFTER_S

    def _now(self) -> datetime:
        return utc(self._utc_us())

    def _tick(self, stop: Stop) -> None:
        if stop.requested:
            return
        self._ringing_since_s = clock.monotonic_s()
        self._busy.set()
        try:
            started_s = clock.monotonic_s()
            if self._ring():
                self._backoff.reset()
                self._due_s, self._patience_s = started_s + self._interval_s, self._overdue_s
            else:
                self._due_s, self._patience_s = clock.monotonic_s() + self._backoff.next_s(), 0.0
        except BaseException as error:  # noqa: BLE001 APScheduler would only log it; run() raises it
            self._bug = error
            stop.request()
        finally:
            self._busy.clear()
