"""How often somebody may try to log in. Pure: the time is an argument.

Failures are counted for each address and for each pair of address and name, in windows; a success clears the pair.
Bounded: of :data:`MAX_KEYS` counters the one that was used longest ago is dropped. So many strangers cannot lock out a
person who comes from elsewhere, and one stranger gets a few guesses a window.
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
        """Starts with no failure."""
        self._failures: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def wait_s(self, address: str, name: str, now_s: float) -> float:
        """Seconds until the next try is allowed; 0 if it is now.

        Args:
            address: where the request comes from.
            name: who it says to be.
            now_s: monotonic seconds.
        """
        return max(
            self._wait_s((address, name), FAILURES_OF_PAIR, now_s),
            self._wait_s((address, ""), FAILURES_OF_ADDRESS, now_s),
        )

    def tried(self, address: str, name: str, now_s: float) -> None:
        """Counts a try as failed, before its outcome is known: many at once get no more guesses than one by one."""
        for key in ((address, name), (address, "")):
            started_s, count = self._failures.pop(key, (now_s, 0))
            if now_s >= started_s + WINDOW_S:
                started_s, count = now_s, 0
            self._failures[key] = (started_s, count + 1)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, address: str, name: str) -> None:
        """Forgets the failures of that pair, and takes this try off the address."""
        self._failures.pop((address, name), None)
        started_s, count = self._failures.get((address, ""), (0.0, 0))
        if count:
            self._failures[address, ""] = (started_s, count - 1)

    def _wait_s(self, key: tuple[str, str], limit: int, now_s: float) -> float:
        started_s, count = self._failures.get(key, (now_s, 0))
        return max(0.0, started_s + WINDOW_S - now_s) if count >= limit else 0.0
