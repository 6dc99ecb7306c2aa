"""Asks a Time Stamp Authority for the second stamp of two-sided mode. Implements ``attester_agent.ports.SyncStamper``.

A push is valid without the stamp, so a failure is only counted and logged. Each request goes to one TSA. After a
failure there is a pause, except for a new sync proof, and the next request goes to the next TSA.
"""

from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import Counter

from runtime.ports import TimeStampAuthority
from runtime.service import Backoff
from runtime.telemetry import Logger
from schemas.errors import WorldError

FIRST_PAUSE_S: Final = 30.0
LAST_PAUSE_S: Final = 3600.0
_NONCE_BYTES: Final = 8
_LOG: Final = Logger("agent")
_STAMPS: Final = Counter(
    "attestream_sync_stamps_total", "Proofs of synchronisation that a TSA stamped (two-sided mode)"
)
_FAILURES: Final = Counter(
    "attestream_sync_stamp_failures_total", "Proofs of synchronisation that no TSA stamped, by reason", ["reason"]
)


class TsaSyncStamper:
    """Asks TSAs in turn. Used by one thread."""

    def __init__(
        self,
        authorities: Sequence[TimeStampAuthority],
        *,
        monotonic_s: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """Asks no TSA yet.

        Args:
            authorities: at least one, in the order to try them.
            monotonic_s: a clock that never runs back.
            random_bytes: from a CSPRNG.
        """
        self._authorities = tuple(authorities)
        self._monotonic_s = monotonic_s
        self._random_bytes = random_bytes
        self._turn = 0
        self._asked = b""
        self._again_s = 0.0
        self._pauses = Backoff(FIRST_PAUSE_S, LAST_PAUSE_S)

    def is_due(self, imprint: bytes) -> bool:
        """See the port."""
        return imprint != self._asked or self._monotonic_s() >= self._again_s

    def stamp(self, imprint: bytes) -> bytes | None:
        """See the port."""
        if imprint != self._asked:
            self._pauses.reset()
        self._asked = imprint
        authority = self._authorities[self._turn % len(self._authorities)]
        try:
            token = authority.stamp(imprint, int.from_bytes(self._random_bytes(_NONCE_BYTES), "big")).token
        except WorldError as error:
            pause_s = self._pauses.next_s()
            self._again_s = self._monotonic_s() + pause_s
            self._turn += 1
            _FAILURES.labels(error.reason).inc()
            _LOG.warning("sync-not-stamped", reason=error.reason, detail=error.detail, retry_s=round(pause_s, 1))
            return None
        _STAMPS.inc()
        _LOG.info("sync-stamped", tsa=authority.name, bytes=len(token))
        return token
