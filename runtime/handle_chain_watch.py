"""Follows the distributors' chains of handles, and logs and counts gaps and forks.

It refuses no handle; :mod:`schemas.messages.handle_chain` explains why.
"""

from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter

from runtime.telemetry import Logger
from schemas.messages.handle import Handle
from schemas.messages.handle_chain import HandleChain

CHAIN_TOTAL: Final = Counter(
    "attestream_handle_chain_total", "Handles that do not continue their distributor's chain", ["issuer", "reason"]
)


class ChainWatch:
    """Keeps the chains in memory. Owned by the thread that calls it."""

    def __init__(self, log: Logger) -> None:
        """Starts empty, so the first handle of every distributor is accepted without a warning.

        Args:
            log: writes the warnings.
        """
        self._log = log
        self._chain = HandleChain()

    def remember(self, handles: Iterable[Handle]) -> None:
        """Takes the verified handles that were followed before a restart."""
        for handle in sorted(handles, key=lambda each: each.time_us):
            self._chain.follow(handle)

    def follow(self, handle: Handle) -> None:
        """Takes a verified handle; warns and counts if it shows a gap in its chain or forks it."""
        reason = self._chain.follow(handle).reason
        if reason is not None:
            issuer = handle.claims.issuer
            CHAIN_TOTAL.labels(issuer, reason).inc()
            self._log.warning(reason, issuer=issuer, handle=handle.id.hex()[:16])
