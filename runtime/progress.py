"""How far something long has come, on standard error: one line that is rewritten, and only on a terminal.

Nothing is shown in the first two seconds, so what is short stays quiet; scripts and logs never see it.
"""

import sys
from typing import Final, Self, TextIO

from runtime.clock import monotonic_s

_QUIET_S: Final = 2.0
_EVERY_S: Final = 0.2
_BAR: Final = 24


class Progress:
    """Owned by the thread that does the work; use it as a context, so that its line goes when the work ends."""

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        """Starts the clock.

        Args:
            what: is counted, in the plural: ``files``.
            stream: where to; standard error unless a test says otherwise.
        """
        self._what, self._stream = what, sys.stderr if stream is None else stream
        self._shows = self._stream.isatty()
        self._started_s, self._told_s, self._width = monotonic_s(), 0.0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def report(self, done: int, total: int | None = None) -> None:
        """``done`` of ``total``, if that is known; cheap enough to be called for each."""
        if not self._shows:
            return
        now_s = monotonic_s()
        if now_s - self._started_s < _QUIET_S or now_s - self._told_s < _EVERY_S:
            return
        self._told_s = now_s
        line = line_of(self._what, done, total)
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def clear(self) -> None:
        """Takes the line away."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0


def line_of(what: str, done: int, total: int | None) -> str:
    """The line: a bar where the end is known, else a count."""
    if not total:
        return f"{done} {what} …"
    part = min(1.0, done / total)
    filled = round(part * _BAR)
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {part:4.0%}  {done} of {total} {what}"
