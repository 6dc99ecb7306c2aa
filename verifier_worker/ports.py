"""What the worker needs of the world, as it needs it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.identifiers import Ueid
from verifier_worker.core.state import AttesterState


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What tells how long a push takes; not stored, and nothing depends on it.

    Attributes:
        arrived_s: when its message came off the network, by the monotonic clock.
        body: SHA-256 of its body.
    """

    arrived_s: float
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What must not be lost of one message: the new state, the signed result, the audit entry.

    Attributes:
        ueid: the attester.
        state: to store; None when there is none, or it did not change enough to be worth a write.
        result: signed result to publish; None when there is none.
        expires_us: when the result expires.
        audit: encoded audit entry; None when nothing is to be recorded.
        arrival: of the push that it is about; None when it is about none.
    """

    ueid: Ueid
    state: AttesterState | None
    result: bytes | None
    expires_us: int
    audit: bytes | None
    arrival: Arrival | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A stored outcome that is not published or not recorded yet. ``number`` grows by the order of storing.

    ``arrival`` is None after a restart.
    """

    number: int
    ueid: Ueid
    result: bytes | None
    expires_us: int
    audit: bytes | None
    arrival: Arrival | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAttester:
    """What is stored of one attester."""

    state: AttesterState
    result: bytes | None
    result_expires_us: int


class TrustObjects(Protocol):
    """Where verified objects are kept. One owner thread; every method may raise ``WorldError``."""

    def load_trust(self) -> Sequence[tuple[str, bytes]]:
        """Every stored trust object as (topic kind, bytes)."""

    def save_trust(self, kind: str, key: bytes, raw: bytes, keep_until_us: int) -> None:
        """Stores a trust object under (kind, key); committed with the next :meth:`commit`."""

    def prune_trust(self, now_us: int) -> None:
        """Forgets trust objects kept until before ``now_us``."""


class StateStore(TrustObjects, Protocol):
    """Durable state of all attesters, and the outbox. One owner thread; every method may raise ``WorldError``."""

    def load(self, ueid: Ueid) -> StoredAttester | None:
        """What is stored of an attester."""

    def commit(self, outcomes: Sequence[Outcome], done: Iterable[int]) -> Sequence[Pending]:
        """Stores outcomes and forgets the pending ones numbered ``done``, in one durable transaction, all or nothing.

        Returns:
            The outcomes with their numbers, in order.
        """

    def number_after(self, last: int) -> None:
        """Makes the next outcome's number greater than ``last``: the audit log may be older than the database."""

    def pending(self) -> Sequence[Pending]:
        """All outcomes not ``done`` yet, oldest first; asked once, at start."""

    def due(self, now_us: int, limit: int) -> Sequence[Ueid]:
        """Attesters whose deadline is before ``now_us``, at most ``limit``."""

    def forget(self, ueid: Ueid) -> None:
        """Forgets an attester whose stored state says nothing."""

    def attesters(self) -> int:
        """How many attesters are stored; asked once, at start."""


class AuditLog(Protocol):
    """Append-only record of what was decided and why."""

    def last_number(self) -> int:
        """Number of the last entry on disk; 0 for none."""

    def append(self, entries: Sequence[tuple[int, bytes]]) -> None:
        """Appends numbered entries; when it returns they are on disk. Numbers only grow.

        Raises:
            WorldError: ``store-unavailable``.
        """
