"""Limits the attempts to log in. Pure: the time is an argument.

Failures are counted per address, and per address and name, in windows; a success clears the counter of the pair. The
number of counters is bounded by :data:`MAX_KEYS`; beyond that the least recently used one is dropped. One stranger gets
a few guesses per window, and many strangers cannot lock out a person who comes from another address.
"""

from collections import OrderedDict
from typing import Final

WINDOW_S: Final = 300.0
FAILURES_OF_PAIR: Final = 5
FAILURES_OF_ADDRESS: Final = 30
MAX_KEYS: Final = 10_000


class LoginRate:
    """All counters. Owned by the thread that calls it."""

    def __init__(self) -> None:
        """Starts without failures."""
        self._failures: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def wait_s(self, address: str, name: str, now_s: float) -> float:
        """Seconds until the next attempt is allowed; 0 if it is allowed now.

        Args:
            address: of the client.
            name: that the client entered.
            now_s: monotonic seconds.
        """
        return max(
            self._wait_s((address, name), FAILURES_OF_PAIR, now_s),
            self._wait_s((address, ""), FAILURES_OF_ADDRESS, now_s),
        )

    def tried(self, address: str, name: str, now_s: float) -> None:
        """Counts an attempt as failed before its outcome is known, so that parallel attempts gain no extra guesses."""
        for key in ((address, name), (address, "")):
            started_s, count = self._failures.pop(key, (now_s, 0))
            if now_s >= started_s + WINDOW_S:
                started_s, count = now_s, 0
            self._failures[key] = (started_s, count + 1)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, address: str, name: str) -> None:
        """Clears the failures of that pair, and subtracts this attempt from those of the address."""
        self._failures.pop((address, name), None)
        started_s, count = self._failures.get((address, ""), (0.0, 0))
        if count:
            self._failures[address, ""] = (started_s, count - 1)

    def _wait_s(self, key: tuple[str, str], limit: int, now_s: float) -> float:
        started_s, count = self._failures.get(key, (now_s, 0))
        return max(0.0, started_s + WINDOW_S - now_s) if count >= limit else 0.0
