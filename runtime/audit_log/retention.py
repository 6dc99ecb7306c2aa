"""Deletes old evidence from an audit log: entry bundles and their blobs.

Hash tiles, checkpoints and stamps are never deleted, so consistency can always be proven. Trust objects (handles,
endorsements, reference values, policies) are never deleted either, because later evidence may need them: those of a
deleted bundle are kept, with their places, under ``kept/``. The tiles still prove that they were in the audit log.

Order: write ``kept/<N>``, then ``pruned`` (now readers can do without the bundle), then delete blobs, then the bundle.
The next round finishes a deletion that was interrupted by a kill.
"""

from typing import Final

from runtime.audit_log.log_reader import PRUNED, AuditLogReader, encode_kept, kept_path
from runtime.audit_log.store import AuditLogStore
from schemas.audit.entry import ObjectEntry, parse_entry, reference_in
from schemas.errors import PeerError, WorldError
from schemas.reasons import Reason
from schemas.tlog.tiles import ENTRIES, TILE_WIDTH, Tile

_DAY_US: Final = 86_400_000_000
_EVERY_US: Final = 3_600_000_000
_BUNDLES_AT_ONCE: Final = 64


class AuditLogRetention:
    """Owned by the sequencer's thread."""

    def __init__(self, store: AuditLogStore, days: int) -> None:
        """Deletes nothing yet.

        Args:
            store: of the audit log.
            days: how long evidence is kept after its receipt; 0 for ever.
        """
        self._store, self._days = store, days
        self._due_us = 0

    def prune(self, size: int, now_us: int) -> None:
        """Deletes the oldest full bundles, up to the first one with evidence that must be kept.

        Args:
            size: of the newest published checkpoint.
            now_us: UTC microseconds.

        Raises:
            WorldError: ``store-unavailable``, or the audit log cannot be read; call it again later.
        """
        if self._days == 0 or now_us < self._due_us:
            return
        reader = AuditLogReader(self._store)
        try:
            first = reader.first_index() // TILE_WIDTH
            if first:
                self._remove(reader, first - 1)
            for number in range(first, min(size // TILE_WIDTH, first + _BUNDLES_AT_ONCE)):
                if not self._delete(reader, number, now_us - self._days * _DAY_US):
                    break
            else:
                if size // TILE_WIDTH > first + _BUNDLES_AT_ONCE:
                    return  # the next round continues
        except PeerError as error:
            raise WorldError(Reason.STORE_UNAVAILABLE, f"audit log: {error.detail}") from error
        self._due_us = now_us + _EVERY_US

    def _delete(self, reader: AuditLogReader, number: int, before_us: int) -> bool:
        start = number * TILE_WIDTH
        kept: list[tuple[int, bytes]] = []
        entries = reader.entries(start, start + TILE_WIDTH)
        leaves = reader.leaves(start, start + TILE_WIDTH)
        for (index, entry), (_, leaf) in zip(entries, leaves, strict=True):
            try:
                parsed = parse_entry(entry)
            except PeerError:
                continue  # nobody can use it
            if isinstance(parsed, ObjectEntry):
                kept.append((index - start, leaf))
            elif parsed.received_us >= before_us:
                return False
        self._store.write(kept_path(number), encode_kept(kept))
        self._store.write(PRUNED, f"{start + TILE_WIDTH}\n".encode())
        self._remove(reader, number)
        return True

    def _remove(self, reader: AuditLogReader, number: int) -> None:
        bundle = Tile(level=ENTRIES, index=number)
        kept = reader.kept(number)
        for place, leaf in enumerate(reader.bundle_if_there(bundle)):
            reference = reference_in(leaf)
            if reference is not None and place not in kept:
                self._store.remove(reference.path)
        self._store.remove(bundle.path)
