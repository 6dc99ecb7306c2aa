"""Moves entries from the journal into the tree, and publishes checkpoints.

This is the only place that orders these effects:

1. an entry is in the journal, fsynced (:mod:`runtime.audit_log.journal`); the writer may now publish and acknowledge;
2. blobs, then bundles, then hash tiles are written, each kind fsynced before the next
   (:mod:`runtime.audit_log.tree_writer`);
3. the tree is compared with the last head that the key has signed; the new head is written to the key's memory,
   fsynced, and only then signed (:mod:`runtime.audit_log.signer`);
4. ``checkpoint`` is replaced, if it has not changed meanwhile, and ``checkpoints/<size>`` is made;
5. journal segments before the checkpoint are removed;
6. the newest checkpoint is stamped (:mod:`runtime.audit_log.stamper`).

After a kill between two steps the next start repeats them: the same entries give the same bytes. An audit log whose
tiles, checkpoint or journal are behind the last signed head is refused, because continuing a restored copy would fork
it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from runtime.audit_log.frames import read_frames
from runtime.audit_log.journal import SEGMENT_ENTRIES, JournalCursor, remove_before, segments
from runtime.audit_log.log_reader import CHECKPOINT, AuditLogReader, checkpoint_path
from runtime.audit_log.signer import AuditLogSigner
from runtime.audit_log.store import AuditLogStore, create
from runtime.audit_log.tree_writer import TreeWriter
from schemas.errors import ConfigError, PeerError
from schemas.tlog.checkpoint import Checkpoint, verify_checkpoint
from schemas.tlog.merkle import EMPTY_ROOT
from schemas.tlog.signed_note import MAX_NOTE_BYTES

_CHUNK_ENTRIES: Final = 4096
_CHUNK_BYTES: Final = 16 * 1024 * 1024
_COMPARED_SEGMENTS: Final = 2


class Sequencer:
    """Grows the tree of one audit log. Owned by one thread, and opened before that thread starts."""

    def __init__(self, store: AuditLogStore, journal: Path, signer: AuditLogSigner) -> None:
        """Reads the audit log's head, and checks that it extends the last signed one.

        Args:
            store: of the audit log.
            journal: the journal's folder.
            signer: the audit log's key.

        Raises:
            ConfigError: the audit log belongs to another key, or does not extend the last head that its key has signed.
            WorldError: ``store-unavailable``.
        """
        self._store, self._journal, self._signer = store, journal, signer
        self._published = store.read(CHECKPOINT, max_bytes=MAX_NOTE_BYTES)
        head = self._head(self._published)
        self.published_size = head.size
        try:
            last = signer.last
            if last is not None and last.size > head.size:
                head = last  # killed before it was published; its tiles must be there
            self._tree = TreeWriter(store, head.size, head.root)
            signer.check(head, AuditLogReader(store).hashes(head.size))
        except PeerError as error:
            raise ConfigError(
                f"audit_log: {error.detail}; it is behind what its key has signed ({signer.memory}), or damaged: "
                "restore it. A new audit log needs a new key"
            ) from error
        if self._published is not None:  # killed between the two parts of step 4
            create(store, checkpoint_path(self.published_size), signer.repeat(self._head(self._published)))
        self._cursor = JournalCursor(journal, self._tree.size)

    @property
    def size(self) -> int:
        """Entries in durable tiles."""
        return self._tree.size

    def entries(self, start: int, end: int) -> list[bytes]:
        """Reads entries of the tree, for a journal that ends before it."""
        return [entry for _, entry in AuditLogReader(self._store).entries(start, end)]

    def check_journal(self, end: int) -> None:
        """Reads the journal's entries after the tree, and compares the entries that are in both.

        Args:
            end: the journal's end.

        Raises:
            ConfigError: the journal is damaged, or belongs to another audit log.
            WorldError: ``store-unavailable``.
        """
        for _ in JournalCursor(self._journal, self._tree.size).read(max(end, self._tree.size)):
            pass
        reader = AuditLogReader(self._store)
        for segment in segments(self._journal)[-_COMPARED_SEGMENTS:]:
            both = min(segment.start + SEGMENT_ENTRIES, self._tree.size)
            of_tree = reader.entries(segment.start, both) if segment.start < both else iter(())
            frames = enumerate((frame[1] for frame in read_frames(segment.path)), segment.start)
            for index, entry in of_tree:  # only some of the pruned ones
                journaled = next((each for place, each in frames if place == index), None)
                if journaled is None:
                    break
                if entry != journaled:
                    raise ConfigError(
                        f"audit_log: entry {index} differs between the journal {segment.path} and the tree; one was "
                        "restored from a copy: move the journal away"
                    )

    def run(self, journal_end: Callable[[], int]) -> bool:
        """Does steps 2 to 5 for all entries in the journal; returns whether it published a checkpoint.

        Args:
            journal_end: returns the index after the last fsynced entry.

        Raises:
            ConfigError: to continue would fork the audit log. Do not call it again.
            WorldError: ``store-unavailable``; call it again.
        """
        end = journal_end()
        if self._tree.size < end:
            self._check_alone()
        while self._tree.size < end:
            self._tree.grow(self._chunk(end))
        if self._tree.size == self.published_size:
            return False
        self._publish()
        remove_before(self._journal, self.published_size)
        return True

    def _chunk(self, end: int) -> list[bytes]:
        """Reads the next entries. If the last chunk could not be stored, reads it again."""
        if self._cursor.index != self._tree.size:
            self._cursor = JournalCursor(self._journal, self._tree.size)
        chunk, taken = [], 0
        for entry in _some(self._cursor.read(end)):
            chunk.append(entry)
            taken += len(entry)
            if taken >= _CHUNK_BYTES:
                break
        return chunk

    def _check_alone(self) -> None:
        """Checks, before writing, that no other writer has published. The swap decides; this keeps the store clean."""
        there = self._store.read(CHECKPOINT, max_bytes=MAX_NOTE_BYTES)
        if there != self._published and self._head(there) != self._head(self._published):
            raise ConfigError(f"audit_log: {self._store.name}: another writer has published a checkpoint here")

    def _publish(self) -> None:
        head = self._signer.head(self._tree.size, self._tree.root)
        signed = self._signer.sign(head, AuditLogReader(self._store).hashes(head.size))
        if not self._store.swap(CHECKPOINT, signed, self._published):
            there = self._store.read(CHECKPOINT, max_bytes=MAX_NOTE_BYTES)
            if there != signed:  # otherwise an earlier try succeeded after all
                if self._head(there) != self._head(self._published):
                    raise ConfigError(f"audit_log: {self._store.name}: another writer has published a checkpoint here")
                self._published = there  # it now has a witness's cosignature
                self._publish()
                return
        create(self._store, checkpoint_path(head.size), signed)
        self._published, self.published_size = signed, head.size

    def _head(self, raw: bytes | None) -> Checkpoint:
        if raw is None:
            return self._signer.head(0, EMPTY_ROOT)
        try:
            return verify_checkpoint(raw, self._signer.public)
        except PeerError as error:
            raise ConfigError(
                f"audit_log: {self._store.name}: not the audit log of this key and origin ({error.detail})"
            ) from error


def _some(entries: Iterator[bytes]) -> Iterator[bytes]:
    for _, entry in zip(range(_CHUNK_ENTRIES), entries, strict=False):
        yield entry
