"""Shows the progress of a long command on standard error: one line that is rewritten, and only on a terminal.

Shows nothing in the first two seconds, so short commands stay quiet. Scripts and log files never see it.
"""

import sys
from typing import Final, Self, TextIO

from runtime.clock import monotonic_s

_QUIET_S: Final = 2.0
_EVERY_S: Final = 0.2
_BAR: Final = 24


class Progress:
    """Owned by the thread that does the work. Use it as a context, so that its line is removed when the work ends."""

    def __init__(self, counted: str, stream: TextIO | None = None) -> None:
        """Starts the clock.

        Args:
            counted: the things that are counted: ``files``.
            stream: where the line goes; standard error by default.
        """
        self._counted, self._stream = counted, sys.stderr if stream is None else stream
        self._shows = self._stream.isatty()
        self._started_s, self._shown_s, self._width = monotonic_s(), 0.0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def report(self, done: int, total: int | None = None) -> None:
        """Shows ``done`` of ``total``, if the total is known. Cheap enough to call for each item."""
        if not self._shows:
            return
        now_s = monotonic_s()
        if now_s - self._started_s < _QUIET_S or now_s - self._shown_s < _EVERY_S:
            return
        self._shown_s = now_s
        line = line_of(self._counted, done, total)
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def clear(self) -> None:
        """Removes the line."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0


def line_of(counted: str, done: int, total: int | None) -> str:
    """The line: a bar if the total is known, otherwise a count."""
    if not total:
        return f"{done} {counted} …"
    part = min(1.0, done / total)
    filled = round(part * _BAR)
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {part:4.0%}  {done} of {total} {counted}"
