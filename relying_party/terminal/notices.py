"""What a person who waits for results must hear on standard error: no broker, or results that nobody here believes.

Pure: what is so, and the time, are arguments; the lines to print are returned.
"""

from collections.abc import Iterable, Iterator
from typing import Final

REFUSED_EVERY_S: Final = 10.0
_CONNECT_WITHIN_S: Final = 1.0  # a broker that is there answers sooner


class Notices:
    """Says each thing once, and refusals again at most every ten seconds. Owned by the thread that calls it."""

    def __init__(self, broker: str, believed: Iterable[str], now_s: float) -> None:
        """Starts with no broker.

        Args:
            broker: ``host:port``.
            believed: key ids of the trusted verifiers.
            now_s: monotonic seconds.
        """
        self._broker = broker
        self._believed = ", ".join(sorted(believed))
        self._started_s = now_s
        self._complained = False
        self._refused = 0  # as said last
        self._say_again_s = now_s
        self.ever_connected = False

    def lines(self, now_s: float, *, connected: bool, refused: int, why: str) -> Iterator[str]:
        """What to print now.

        Args:
            now_s: monotonic seconds.
            connected: whether the broker is there.
            refused: how many results were refused so far.
            why: of the last one, for people.
        """
        if connected:
            if self._complained:
                yield f"broker {self._broker} reached"
            self._complained, self.ever_connected = False, True
        elif not self._complained and (self.ever_connected or now_s - self._started_s >= _CONNECT_WITHIN_S):
            state = "lost" if self.ever_connected else "not reached yet"
            yield f"broker {self._broker} {state}, trying again"
            self._complained = True
        if refused > self._refused and now_s >= self._say_again_s:
            self._refused, self._say_again_s = refused, now_s + REFUSED_EVERY_S
            yield f"{refused} {'result' if refused == 1 else 'results'} refused: {why}; you believe {self._believed}"
