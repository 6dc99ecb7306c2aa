"""Log stores that fail, and a log in a folder whose writer can be killed anywhere."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typing_extensions import override

from runtime.audit_log.any_log import read_entries
from runtime.audit_log.journal import Journal
from runtime.audit_log.log_reader import AuditLogReader
from runtime.audit_log.sequencer import Sequencer
from runtime.audit_log.signer import AuditLogSigner
from runtime.audit_log.store import AuditLogStore, FolderStore
from schemas.errors import WorldError
from schemas.reasons import Reason
from schemas.tlog.checkpoint import Checkpoint, verify_checkpoint
from schemas.tlog.merkle import EMPTY_ROOT, root_of, verify_consistency
from schemas.tlog.signed_note import NoteKey, note_key

ORIGIN = "log.example/audit"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG_KEY: NoteKey = note_key(ORIGIN, KEY)


class Killed(BaseException):
    """As kill -9: nobody may catch it."""


class FailingStore(AuditLogStore):
    """A store whose n-th operation does not come back: before it has had its effect, or after."""

    def __init__(self, store: AuditLogStore, fail_at: int, *, after: bool, killed: bool = True) -> None:
        self._store, self._fail_at, self._after, self._killed = store, fail_at, after, killed
        self.done = 0

    @property
    @override
    def name(self) -> str:
        return self._store.name

    def _count(self, *, after: bool) -> None:
        if not after:
            self.done += 1
        if self.done == self._fail_at and after == self._after:
            raise Killed if self._killed else WorldError(Reason.STORE_UNAVAILABLE, "as the test wants it")

    @override
    def read(self, path: str, *, max_bytes: int) -> bytes | None:
        self._count(after=False)
        content = self._store.read(path, max_bytes=max_bytes)
        self._count(after=True)
        return content

    @override
    def write(self, path: str, content: bytes) -> None:
        self._count(after=False)
        self._store.write(path, content)
        self._count(after=True)

    @override
    def swap(self, path: str, content: bytes, old: bytes | None) -> bool:
        self._count(after=False)
        swapped = self._store.swap(path, content, old)
        self._count(after=True)
        return swapped

    @override
    def list(self, prefix: str) -> Iterator[str]:
        self._count(after=False)
        found = self._store.list(prefix)
        self._count(after=True)
        return found

    @override
    def remove(self, path: str) -> None:
        self._count(after=False)
        self._store.remove(path)
        self._count(after=True)


class LogRig:
    """One log in a folder, written step by step; what the outbox still holds is ``entries``, numbered from 1."""

    def __init__(self, folder: Path, *, segment_bytes: int = 4096) -> None:
        self.folder, self.segment_bytes = folder, segment_bytes
        self.log, self.journal_folder = folder / "log", folder / "log" / "journal"
        self.memory = folder / "audit.signed"
        self.log.mkdir(exist_ok=True)
        self.store: AuditLogStore = FolderStore(self.log)
        self.sequencer: Sequencer | None = None
        self.journal: Journal | None = None

    def open(self, store: AuditLogStore | None = None) -> None:
        self.close()
        self.store = store or FolderStore(self.log)
        sequencer = Sequencer(self.store, self.journal_folder, AuditLogSigner(ORIGIN, KEY, self.memory))
        self.journal = Journal(
            self.journal_folder,
            tree_size=sequencer.size,
            tree=sequencer.entries,
            segment_bytes=self.segment_bytes,
        )
        sequencer.check_journal(self.journal.end)
        self.sequencer = sequencer

    def close(self) -> None:
        if self.journal is not None:
            self.journal.close()
        self.journal, self.sequencer = None, None

    def append(self, entries: Sequence[bytes], first_number: int = 1) -> None:
        assert self.journal is not None
        self.journal.append(list(enumerate(entries, first_number)))

    def run(self) -> bool:
        assert self.sequencer is not None
        assert self.journal is not None
        journal = self.journal
        return self.sequencer.run(lambda: journal.end)

    def write(self, entries: Sequence[bytes], *sizes: int) -> None:
        """Opens, appends and publishes until each of these sizes, and closes."""
        self.open()
        done = 0
        for size in (*sizes, len(entries)):
            self.append(entries[done:size], done + 1)
            self.run()
            done = size
        self.close()

    @property
    def reader(self) -> AuditLogReader:
        return AuditLogReader(FolderStore(self.log))

    def check_newest(self) -> Checkpoint:
        """The newest checkpoint, which the tiles have the root of."""
        newest = verify_checkpoint(self.reader.checkpoint(), LOG_KEY)
        assert root_of(newest.size, self.reader.hashes(newest.size)) == newest.root
        return newest

    def check(self, expected: Sequence[bytes]) -> Checkpoint:
        """The log holds these entries, once each, and every checkpoint ever published is of this one history."""
        assert [entry for _, entry in read_entries(self.log)] == list(expected)
        assert [number for number, _ in read_entries(self.log)] == list(range(len(expected)))
        reader, newest = self.reader, self.check_newest()
        before = Checkpoint(origin=ORIGIN, size=0, root=EMPTY_ROOT)
        for size in reader.checkpoints():
            each = verify_checkpoint(reader.checkpoint_at(size), LOG_KEY)
            if size <= newest.size:
                proof = reader.consistency(before.size, size)
                verify_consistency(before.size, before.root, size, each.root, proof)
                before = each
        return newest


def made_entries(count: int, *, large: Sequence[int] = ()) -> list[bytes]:
    """Different entries; those in ``large`` too long for a leaf."""
    return [b"entry %d " % number * (9000 if number in large else 1 + number % 5) for number in range(count)]
