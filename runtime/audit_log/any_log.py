"""Reads an audit log from beginning to end, whatever form it has: a tiled log (a folder, or a URL), or a single file.

Of a tiled log come the entries of the tree, then those that are only in its journal yet; an entry's number is its place
in the tree, from 0. In a single file, a journal's segment or the log of an earlier version, it is the writer's number.
Nothing is verified here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runtime.audit_log.frames import AuditFileDamagedError, encode_frame, read_frames
from runtime.audit_log.journal import JournalCursor, segments
from runtime.audit_log.object_store import open_store
from runtime.audit_log.store import FolderStore
from runtime.audit_log.tile_log import CHECKPOINT, AuditLogReader
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.reasons import Reason

__all__ = ["AuditFileDamagedError", "encode_frame", "is_tiled_log", "read_entries", "read_frames"]

JOURNAL: Final = "journal"


def is_tiled_log(path: Path) -> bool:
    """Whether this is the folder of a tiled log, and not one of other files."""
    return (path / CHECKPOINT).is_file() or bool(segments(path / JOURNAL))


def read_entries(path: Path | str) -> Iterator[tuple[int, bytes]]:
    """Every whole entry of an audit log with its number, oldest first; of what was pruned the objects that were kept.

    Raises:
        ConfigError: the log cannot be read, or is none.
        AuditFileDamagedError: an entry before the last one does not check out.
        WorldError: after the last whole entry, when there is more: a torn tail, or an entry being written.
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
    """The tree, then the journal; once more the tree where it has grown, and the journal was shortened, meanwhile."""
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
