"""Reads an audit log of any form from beginning to end: a tiled log (a folder or a URL), or a single file.

A tiled log yields the entries of its tree, then those that are only in its journal so far. The number of an entry is
its index in the tree, from 0. In a single file (a segment of a journal, or the audit log of an earlier version) it is
the number that the writer gave it. This module verifies nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runtime.audit_log.frames import AuditFileDamagedError, encode_frame, read_frames
from runtime.audit_log.journal import JournalCursor, segments
from runtime.audit_log.log_reader import CHECKPOINT, AuditLogReader
from runtime.audit_log.object_store import open_store
from runtime.audit_log.store import FolderStore
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.reasons import Reason

__all__ = ["AuditFileDamagedError", "encode_frame", "is_tiled_log", "read_entries", "read_frames"]

JOURNAL: Final = "journal"


def is_tiled_log(path: Path) -> bool:
    """Whether this folder holds a tiled log."""
    return (path / CHECKPOINT).is_file() or bool(segments(path / JOURNAL))


def read_entries(path: Path | str) -> Iterator[tuple[int, bytes]]:
    """Yields every whole entry of an audit log with its number, oldest first; of pruned ones only the kept objects.

    Raises:
        ConfigError: it cannot be read, or is not an audit log.
        AuditFileDamagedError: an entry before the last one is damaged.
        WorldError: after the last whole entry, if more bytes follow: a torn tail, or an entry that is being written.
    """
    if isinstance(path, str) and "://" in path:
        yield from _of_tree(AuditLogReader(open_store(path)), None)
        return
    where = Path(path)
    if where.is_dir():
        if not is_tiled_log(where):
            raise ConfigError(f"{where}: no audit log in this folder")
        yield from _of_tree(AuditLogReader(FolderStore(where)), where / JOURNAL)
        return
    yield from _of_file(where)


def _of_tree(reader: AuditLogReader, journal: Path | None) -> Iterator[tuple[int, bytes]]:
    """The tree, then the journal. If the journal was shortened meanwhile, first the new part of the tree."""
    index = 0
    try:
        while True:
            size = reader.unverified_size()
            yield from reader.entries(index, size)
            index = max(index, size)
            there = segments(journal) if journal is not None else []
            if journal is None or not there or there[0].start <= index:
                break
            if reader.unverified_size() == size:
                raise AuditFileDamagedError(f"{journal}: begins at entry {there[0].start}, the tree ends at {size}")
        if journal is not None:
            cursor = JournalCursor(journal, index)
            yield from enumerate(cursor.read(), index)
            _check_tail(cursor)
    except PeerError as error:
        raise AuditFileDamagedError(f"audit log {error.detail} ({error.reason})") from error


def _check_tail(cursor: JournalCursor) -> None:
    left = cursor.unread_bytes()
    if left:
        problem = f"no whole entry after entry {cursor.index - 1}, {left} bytes are left: torn, or being written now"
        raise WorldError(Reason.STORE_UNAVAILABLE, problem)


def _of_file(path: Path) -> Iterator[tuple[int, bytes]]:
    end = 0
    try:
        size = path.stat().st_size
        for number, entry, after in read_frames(path):
            end = after
            yield number, entry
    except OSError as error:
        raise ConfigError(f"audit log {path}: {error.strerror}") from error
    if size > 0 and end == 0:
        raise ConfigError(f"{path}: not an audit log, or damaged at offset 0")
    if end < size:
        problem = f"{path}: no whole entry at offset {end}, {size - end} bytes are left: torn, or being written now"
        raise WorldError(Reason.STORE_UNAVAILABLE, problem)
