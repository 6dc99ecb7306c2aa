"""The problems to print for a person who waits for results: no broker, or results that do not verify. Pure.

The state and the time are arguments; the lines to print are returned.
"""

from collections.abc import Iterable, Iterator
from typing import Final

REFUSED_EVERY_S: Final = 10.0
_CONNECT_WITHIN_S: Final = 1.0  # a broker that is there answers sooner


class Notices:
    """Reports each problem once, and refused results again at most every ten seconds. Owned by the calling thread."""

    def __init__(self, broker: str, trusted: Iterable[str], now_s: float) -> None:
        """Starts without a connection.

        Args:
            broker: ``host:port``.
            trusted: key ids of the trusted verifiers.
            now_s: monotonic seconds.
        """
        self._broker = broker
        self._trusted = ", ".join(sorted(trusted))
        self._started_s = now_s
        self._reported = False
        self._refused = 0  # count in the last line about refused results
        self._next_refused_s = now_s
        self.ever_connected = False

    def lines(self, now_s: float, *, connected: bool, refused: int, why: str) -> Iterator[str]:
        """The lines to print now.

        Args:
            now_s: monotonic seconds.
            connected: whether the broker is there.
            refused: how many results were refused so far.
            why: the last one was refused, for people.
        """
        if connected:
            if self._reported:
                yield f"broker {self._broker} reached"
            self._reported, self.ever_connected = False, True
        elif not self._reported and (self.ever_connected or now_s - self._started_s >= _CONNECT_WITHIN_S):
            state = "lost" if self.ever_connected else "not reached yet"
            yield f"broker {self._broker} {state}, trying again"
            self._reported = True
        if refused > self._refused and now_s >= self._next_refused_s:
            self._refused, self._next_refused_s = refused, now_s + REFUSED_EVERY_S
            yield f"{refused} {'result' if refused == 1 else 'results'} refused: {why}; you trust {self._trusted}"
