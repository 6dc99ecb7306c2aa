"""The receipt times of a verifier: they grow, and are never earlier than the handles it holds (invariant I18).

A handle's TSA time, less its accuracy, has certainly passed. A verifier whose clock is behind it would take evidence
for younger than it is: REIM 7.2 wants the clocks of verifiers bounded as well as those of attesters.

If this machine's clock was far ahead and has been corrected, receipt times jump back with it. Staying ahead would make
all evidence look too old and all results not yet valid; relying parties rejected the results of that period anyway.
"""

from typing import Final

from prometheus_client import Gauge

from runtime.telemetry import Logger
from schemas.instants import SECOND_US

_FAR_US: Final = 300 * SECOND_US  # relying parties accept a verifier that is this far ahead
_LOG: Final = Logger("verifier")

CLOCK_BEHIND: Final = Gauge(
    "attestream_clock_behind_seconds", "Least time by which this machine's clock is behind the handles it holds"
)


class ReceiptClock:
    """Owned by the worker's loop thread."""

    def __init__(self) -> None:
        """Starts before any receipt."""
        self._last_us = 0
        self._is_behind = False

    def next_us(self, clock_us: int, floor_us: int) -> int:
        """The time of the next receipt: later than all before it, so results about one attester are in its order.

        Only if the clock was set back by minutes is it earlier.

        Args:
            clock_us: this machine's clock, UTC microseconds.
            floor_us: the earliest possible time of the newest handle; 0 without a handle.
        """
        behind_us = max(0, floor_us - clock_us)
        if (behind_us > 0) is not self._is_behind:
            self._is_behind = behind_us > 0
            CLOCK_BEHIND.set(behind_us / SECOND_US)
            if self._is_behind:
                _LOG.warning(
                    "verifier-clock-behind",
                    behind_s=behind_us / SECOND_US,
                    next="receipt times follow the handle; set the clock",
                )
        elif self._is_behind:
            CLOCK_BEHIND.set(behind_us / SECOND_US)
        now_us = max(clock_us, floor_us)
        if self._last_us - now_us > _FAR_US:
            _LOG.warning(
                "verifier-clock-set-back", by_s=(self._last_us - now_us) / SECOND_US, next="receipt times follow it"
            )
            self._last_us = now_us
        self._last_us = max(self._last_us + 1, now_us)
        return self._last_us
