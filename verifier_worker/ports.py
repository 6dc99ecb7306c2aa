"""The worker's ports: storage and audit log, with the guarantees that it needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.identifiers import Ueid
from schemas.messages.result import Rejections
from verifier_worker.core.state import AttesterState


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """When a push arrived, for metrics and traces alone; not stored.

    Attributes:
        arrived_s: when its message came off the network, by the monotonic clock.
        body: SHA-256 of its body.
    """

    arrived_s: float
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The durable effects of one message: the new state, the signed result, the audit entry.

    Attributes:
        ueid: the attester.
        state: to store; None to leave the stored one as it is.
        result: signed result to publish, if any.
        expires_us: when the result expires.
        audit: encoded audit entry, if any.
        arrival: of the push; None if no push caused the outcome.
    """

    ueid: Ueid
    state: AttesterState | None
    result: bytes | None
    expires_us: int
    audit: bytes | None
    arrival: Arrival | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A stored outcome that is not published or not recorded yet.

    ``number`` grows with the order of storing. ``arrival`` is None after a restart.
    """

    number: int
    ueid: Ueid
    result: bytes | None
    expires_us: int
    audit: bytes | None
    arrival: Arrival | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAttester:
    """The state and the last result of one attester; empty for an unknown one.

    Attributes:
        state: None before the first accepted push.
        result: signed.
        result_expires_us: when it expires.
        refused_before: messages refused before the first accepted push, of an endorsed attester; not stored.
    """

    state: AttesterState | None = None
    result: bytes | None = None
    result_expires_us: int = 0
    refused_before: Rejections | None = None


class TrustObjects(Protocol):
    """Stores verified trust objects. One owner thread; every method may raise ``WorldError``."""

    def load_trust(self) -> Sequence[tuple[str, bytes]]:
        """Every stored trust object as (topic kind, bytes)."""

    def save_trust(self, kind: str, key: bytes, raw: bytes, keep_until_us: int) -> None:
        """Stores a trust object under (kind, key), durably with the next :meth:`StateStore.commit`."""

    def prune_trust(self, now_us: int) -> None:
        """Deletes trust objects whose ``keep_until_us`` has passed."""


class StateStore(TrustObjects, Protocol):
    """Durable state of all attesters, and the outbox. One owner thread; every method may raise ``WorldError``."""

    def load(self, ueid: Ueid) -> StoredAttester | None:
        """The stored state and result of an attester, if any."""

    def commit(self, outcomes: Sequence[Outcome], done: Iterable[int]) -> Sequence[Pending]:
        """Stores outcomes and deletes the pending ones numbered ``done``, in one durable transaction.

        Returns:
            The outcomes that have a result or an audit entry, with their numbers, in order.
        """

    def number_after(self, last: int) -> None:
        """Makes the next outcome's number greater than ``last``: the audit log may be ahead of the database."""

    def pending(self) -> Sequence[Pending]:
        """All outcomes not ``done`` yet, oldest first; called once, at start."""

    def due(self, now_us: int, limit: int) -> Sequence[Ueid]:
        """At most ``limit`` attesters whose deadline has passed."""

    def forget(self, ueid: Ueid) -> None:
        """Deletes an attester whose stored state is unreadable."""

    def attesters(self) -> int:
        """The number of stored attesters; called once, at start."""


class AuditLog(Protocol):
    """Append-only record of every decision and its inputs."""

    def last_number(self) -> int:
        """Number of the last entry on disk; 0 if it is empty."""

    def append(self, entries: Sequence[tuple[int, bytes]]) -> None:
        """Appends numbered entries; when it returns they are on disk. Numbers only grow.

        Raises:
            WorldError: ``store-unavailable``.
        """
