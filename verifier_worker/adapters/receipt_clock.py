"""The times that a verifier gives to what it receives: they grow, and never lie before the handles it holds.

A handle's TSA time, less its accuracy, is a time that has certainly passed. A verifier whose clock is behind it would
take evidence for younger than it is: REIM 7.2 wants the clocks of verifiers bound as well as those of attesters.

A clock that was far ahead and is right again is followed back. Relying parties took no result of that time; receipts
that went on from there would have all evidence too old, and all results not valid yet, for as long as it was ahead.
"""

from typing import Final

from prometheus_client import Gauge

from runtime.telemetry import Log
from schemas.instants import SECOND_US

_FAR_US: Final = 300 * SECOND_US  # as far ahead as relying parties let a verifier be
_LOG: Final = Log("verifier")

CLOCK_BEHIND: Final = Gauge(
    "attestream_clock_behind_seconds", "How far this machine's clock is behind the handles it holds, at the least"
)


class ReceiptClock:
    """Owned by the worker's loop thread."""

    def __init__(self) -> None:
        """Starts before any receipt."""
        self._last_us = 0
        self._is_behind = False

    def next_us(self, clock_us: int, floor_us: int) -> int:
        """The time of the next receipt: later than any before, so results about one attester are in order by it.

        Only when the clock was set back by minutes is it an earlier one.

        Args:
            clock_us: this machine's clock, UTC microseconds.
            floor_us: earliest time at which the newest handle can have been stamped; 0 for none.
        """
        behind_us = max(0, floor_us - clock_us)
        if (behind_us > 0) is not self._is_behind:
            self._is_behind = behind_us > 0
            CLOCK_BEHIND.set(behind_us / SECOND_US)
            if self._is_behind:
                _LOG.warning(
                    "verifier-clock-behind",
                    behind_s=behind_us / SECOND_US,
                    next="receipts go by the handle; set the clock",
                )
        elif self._is_behind:
            CLOCK_BEHIND.set(behind_us / SECOND_US)
        now_us = max(clock_us, floor_us)
        if self._last_us - now_us > _FAR_US:
            _LOG.warning(
                "verifier-clock-set-back", by_s=(self._last_us - now_us) / SECOND_US, next="receipts follow it"
            )
            self._last_us = now_us
        self._last_us = max(self._last_us + 1, now_us)
        return self._last_us
