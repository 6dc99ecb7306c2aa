"""Tells what the demo does: lines with the seconds since the start, steps and waits that report themselves."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final, TextIO

from deploy.demo.problem import DemoError
from runtime.service import Stop

SAY_AFTER_S: Final = 2.0
_POLL_S: Final = 0.05


class StoppedError(Exception):
    """A signal asked the demo to stop."""


class Narrator:
    """The output while the demo is set up and taken down."""

    def __init__(self, stop: Stop, output: TextIO = sys.stdout) -> None:
        """Starts the clock.

        Args:
            stop: ends every wait.
            output: where lines go.
        """
        self._stop = stop
        self._output = output
        self._started_s = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started_s

    def say(self, text: str) -> None:
        """Prints a line with the time."""
        self.print(f"[{self.seconds:6.1f} s] {text}")

    def print(self, *lines: str) -> None:
        """Prints lines. A closed terminal or pipe is a request to stop."""
        try:
            print(*lines, sep="\n", file=self._output, flush=True)
        except OSError:
            self._stop.request()

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Announces a step of the set-up, and how long it took if that was long.

        Raises:
            StoppedError: a stop was requested before the step or during it.
        """
        self.check()
        self.say(f"{text} …")
        started_s = self.seconds
        yield
        if self.seconds - started_s > SAY_AFTER_S:
            self.say(f"  … took {self.seconds - started_s:.1f} s")
        self.check()

    def wait(self, what: str, condition: Callable[[], bool], patience_s: float) -> None:
        """Waits until ``condition`` holds, with a line every few seconds.

        Args:
            what: is waited for.
            condition: asked several times a second.
            patience_s: seconds.

        Raises:
            DemoError: it did not hold in time.
            StoppedError: a stop was requested.
        """
        started_s, said_s = self.seconds, self.seconds
        while not condition():
            if self.seconds - started_s > patience_s:
                raise DemoError(f"{what}: not within {patience_s:g} s")
            if self.seconds - said_s > SAY_AFTER_S:
                said_s = self.seconds
                self.say(f"  … still waiting: {what}")
            if self._stop.wait(_POLL_S):
                raise StoppedError

    def check(self) -> None:
        """Lets a requested stop take effect.

        Raises:
            StoppedError: a stop was requested.
        """
        if self._stop.requested:
            raise StoppedError
