"""The handles that evidence may refer to, and the chains of their distributors.

A gap or a fork in a chain is logged and counted, and refuses nothing: :mod:`schemas.messages.handle_chain` says why.
"""

import dataclasses
from typing import Final

from prometheus_client import Histogram

from runtime.handle_chain_watch import ChainWatch
from runtime.telemetry import Logger
from schemas.errors import PeerError
from schemas.identifiers import HandleId
from schemas.instants import SECOND_US
from schemas.messages.handle import Handle
from schemas.reasons import Reason

_FOREVER_US: Final = 2**62
_KEPT_US: Final = 86_400 * SECOND_US  # after expiry: makes late evidence stale, not pending
_MAX_SKEW_US: Final = 10 * SECOND_US
_MAX_HANDLES: Final = 10_000
_MAX_SPELLINGS: Final = 4  # of one handle: others can have it stamped again (ADR 3); a distributor sends one
_LOG: Final = Logger("verifier")

PROPAGATION_SECONDS: Final = Histogram(
    "attestream_handle_propagation_seconds",
    "Time from a handle's stamp to its receipt; retained handles excluded",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)


class KnownHandles:
    """Owned by the trust store.

    Attributes:
        by_id: the handles; the trust store hands this mapping out.
        newest: id of the handle with the latest TSA time.
        floor_us: a time that has certainly passed: the earliest possible time of the newest handle; 0 without one.
    """

    def __init__(self) -> None:
        """Starts with no handle."""
        self.by_id: dict[HandleId, Handle] = {}
        self.newest: HandleId | None = None
        self.floor_us = 0
        self._spellings: dict[tuple[str, bytes], list[Handle]] = {}
        self._chain = ChainWatch(_LOG)
        self._until_us = _FOREVER_US  # no handle is forgotten before

    def take(self, handle: Handle, now_us: int) -> int:
        """Adds a verified handle; returns how long to keep it.

        Raises:
            PeerError: ``handle-from-future``, ``handle-expired``, ``handle-not-newer``.
        """
        keep_until_us = handle.expires_us + _KEPT_US
        if handle.earliest_us > now_us + _MAX_SKEW_US:
            raise PeerError(Reason.HANDLE_FROM_FUTURE, "handle: the TSA's time is ahead of this machine's clock")
        if keep_until_us < now_us:
            raise PeerError(Reason.HANDLE_EXPIRED, "handle: expired more than a day ago")
        self._make_room(handle)
        self.by_id[handle.id] = dataclasses.replace(handle, raw=b"")  # the bytes are no longer needed
        self._until_us = min(self._until_us, keep_until_us)
        newest = self.by_id.get(self.newest) if self.newest is not None else None
        if newest is None or handle.time_us > newest.time_us:
            self.newest = handle.id
        self.floor_us = max(self.floor_us, handle.earliest_us)
        if len(self.by_id) > _MAX_HANDLES:
            self._forget(min(self.by_id.values(), key=lambda each: each.time_us))
        return keep_until_us

    def remember_chain(self) -> None:
        """Takes the handles as known links of their chains: no gap or fork among them is reported a second time."""
        self._chain.remember(self.by_id.values())

    def follow(self, handle: Handle, received_us: int | None, grace_us: int | None) -> None:
        """Reports a gap or fork in the chain of a new handle, and its propagation delay if that is too long.

        Args:
            handle: the new one.
            received_us: its receipt; None if the broker had kept it.
            grace_us: the shortest grace of any policy; None without a policy.
        """
        self._chain.follow(handle)
        if received_us is None:
            return
        delay_us = received_us - handle.time_us
        PROPAGATION_SECONDS.observe(max(0, delay_us) / SECOND_US)
        if grace_us is not None and delay_us > grace_us:
            _LOG.warning(
                "handle-late",
                issuer=handle.claims.issuer,
                delay_s=delay_us / SECOND_US,
                grace_s=grace_us / SECOND_US,
                next="the policy's grace_s must be at least the longest propagation delay (REIM 7.2.1)",
            )

    def forget_old(self, now_us: int) -> None:
        """Forgets the handles that no evidence can refer to any more."""
        if now_us <= self._until_us:
            return
        for handle in [each for each in self.by_id.values() if each.expires_us + _KEPT_US < now_us]:
            self._forget(handle)
        self._until_us = min((each.expires_us + _KEPT_US for each in self.by_id.values()), default=_FOREVER_US)

    def _make_room(self, handle: Handle) -> None:
        """Keeps the spellings of a handle that were stamped first.

        The distributor has its own stamped before anyone else can know it. So others that arrive earlier cannot get the
        true one refused.

        Raises:
            PeerError: ``handle-not-newer``: as many that were stamped earlier are known.
        """
        spellings = self._spellings.setdefault((handle.claims.issuer, handle.claims.nonce), [])
        if len(spellings) >= _MAX_SPELLINGS:
            last = max(spellings, key=lambda each: each.time_us)
            if last.time_us <= handle.time_us:
                raise PeerError(Reason.HANDLE_NOT_NEWER, "handle: it was stamped again, and often enough already")
            spellings.remove(last)
            self.by_id.pop(last.id, None)
        spellings.append(dataclasses.replace(handle, raw=b""))

    def _forget(self, handle: Handle) -> None:
        del self.by_id[handle.id]
        self._spellings.pop((handle.claims.issuer, handle.claims.nonce), None)
