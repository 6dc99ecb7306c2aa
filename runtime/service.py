"""How a process stops and retries: signals set a flag, a dying thread ends the process, backoff has jitter."""

import os
import signal
import sys
import threading
from importlib import metadata
from types import FrameType
from typing import Final

from runtime.clock import random_fraction

_EXIT_CRASHED: Final = 70  # EX_SOFTWARE in sysexits.h


class Stop:
    """Set once, by SIGTERM, SIGINT or :meth:`request`; loops wait on it instead of sleeping."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self._event.is_set()

    def request(self) -> None:
        """Asks every loop that waits on this to end."""
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Waits up to ``seconds``; returns True as soon as a stop is requested."""
        return self._event.wait(seconds)

    def on_signals(self) -> "Stop":
        """Makes SIGTERM and SIGINT request the stop, and a dying thread end the process. Call it on the main thread.

        A thread that dies of an unexpected exception is a bug. It is better to be restarted than to run without it.
        """

        def handle(_number: int, _frame: FrameType | None) -> None:
            self.request()

        threading.excepthook = _crash
        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)
        return self


def _crash(arguments: threading.ExceptHookArgs) -> None:
    sys.excepthook(arguments.exc_type, arguments.exc_value or arguments.exc_type(), arguments.exc_traceback)
    os._exit(_EXIT_CRASHED)


class Backoff:
    """Delays between retries: doubling from ``first_s`` to ``last_s``, each shortened by up to half at random."""

    def __init__(self, first_s: float, last_s: float) -> None:
        self._first_s = first_s
        self._last_s = last_s
        self._next_s = first_s

    def next_s(self) -> float:
        """The delay before the next try, in seconds."""
        delay = self._next_s
        self._next_s = min(self._next_s * 2, self._last_s)
        return delay * (1 - random_fraction() / 2)

    def reset(self) -> None:
        """Call this after a success."""
        self._next_s = self._first_s


def installed_version() -> str:
    """The version of this software; ``unknown`` if it is not installed."""
    try:
        return metadata.version("attestream")
    except metadata.PackageNotFoundError:
        return "unknown"
