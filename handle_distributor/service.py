"""Rings the epoch bell on time. The only importer of APScheduler.

APScheduler rings at once and then every interval: two ticks never run at once, missed ones become one, and a clock that
jumps over a month makes one handle, not a month's. It goes by the wall clock and knows no failure; so the thread in
:meth:`BellService.run` watches by the monotonic clock and has a tick come now that is overdue: after a failure when the
backoff is over, and when the wall clock stepped back.

Only that thread talks to the scheduler. A tick must not: APScheduler 3 waits for ticks under way while it holds the
locks that they would need.
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
from runtime.telemetry import Log
from schemas.instants import utc

_LOG: Final = Log("handle_distributor")
_JOB: Final = "epoch"
_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 300.0  # handles may be a day apart; an outage of minutes must not cost hours
_WATCH_S: Final = 0.25
_HANGS_AFTER_S: Final = 600.0  # each TSA may take twice its timeout_s, one after the other


class _Interval(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """One interval after the last time, or after now where that has passed.

    APScheduler's own trigger lists every interval since, which after a clock's jump from 1970 takes minutes.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval = timedelta(seconds=interval_s)

    @override
    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        following = (previous_fire_time or now) + self._interval
        return following if following > now else now + self._interval


class BellService:
    """Runs until stopped. Ticks run on the scheduler's one thread; the caller's thread watches.

    ``_due_s`` and ``_patience_s`` belong to the tick that is under way and to the watcher when none is, which ``_busy``
    says; ``_bug`` is read after the last tick.
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
        """Takes what to do and how often.

        Args:
            ring: one round; whether it made a handle.
            interval_s: from the start of one tick to the start of the next; after a failed one sooner, with backoff.
            utc_us: the wall clock that APScheduler goes by.
            overdue_s: how late a tick may be before the wall clock is not waited for any longer.
            on_watch: called, by the thread that watches, each time it has looked; not while a tick hangs.
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
        """Rings at once, then every interval, until ``stop``; waits for a tick under way.

        Raises:
            BaseException: what a tick raised and is nobody's but ours.
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
        except BaseException as error:  # noqa: BLE001 APScheduler would log it and go on; run() raises it
            self._bug = error
            stop.request()
        finally:
            self._busy.clear()
