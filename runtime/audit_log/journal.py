"""The journal of an audit log: entries that are fsynced, but not in the tree yet, or only recently.

It is a folder of segments: files of frames (:mod:`runtime.audit_log.frames`) named
``<first index>-<last number before>.frames``. One thread appends (:class:`Journal`), another reads
(:class:`JournalCursor`). A segment is removed once all its entries are in the tree; the last segment stays, because it
records the last number.

An index is a leaf's place in the tree. A number is given by the writer; numbers grow and may have gaps. If the journal
ends before the tree (its disk lost entries), the missing entries are accepted again when they are appended again, and
skipped otherwise. So no index ever gets two different entries.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.audit_log.frames import FrameFile, read_frames
from schemas.errors import ConfigError, WorldError
from schemas.reasons import Reason

SEGMENT_BYTES: Final = 8 * 1024 * 1024
SEGMENT_ENTRIES: Final = 8192
_NAME: Final = re.compile(r"([0-9]{20})-([0-9]{20})\.frames")
Entries = Callable[
    [int, int], Sequence[bytes]
]  # reads entries of the tree, from an index up to but not including another


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One file of the journal.

    Attributes:
        path: the file.
        start: index of its first entry.
        last: number of the entry before it; 0 if there is none.
    """

    path: Path
    start: int
    last: int


def segments(folder: Path) -> list[Segment]:
    """The journal's files, oldest first; empty if the folder does not exist."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise WorldError(Reason.STORE_UNAVAILABLE, f"{folder}: {error.strerror}") from error
    found = ((folder / name, _NAME.fullmatch(name)) for name in names)
    return [Segment(path=path, start=int(match[1]), last=int(match[2])) for path, match in found if match is not None]


class Journal:
    """Appends. Owned by one thread. Another may read :attr:`end` and remove all segments but the last."""

    def __init__(
        self,
        folder: Path,
        *,
        tree_size: int = 0,
        tree: Entries | None = None,
        repeated_from: int | None = None,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Opens the last segment and repairs its end, or begins a journal.

        Args:
            folder: made if missing.
            tree_size: leaves in the tree.
            tree: reads entries of the tree; required if it has any.
            repeated_from: number of the first entry that will be appended again; None if none will be.
            segment_bytes: size, beside :data:`SEGMENT_ENTRIES`, at which a segment is full.

        Raises:
            ConfigError: the folder cannot be used, a segment is damaged before its end, or entries between the tree's
                end and the journal's beginning are missing.
        """
        self._folder, self._segment_bytes = folder, segment_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"audit_log: {folder}: {error.strerror}") from error
        there = segments(folder)
        if there and there[0].start > tree_size:
            raise ConfigError(
                f"audit_log: the tree has {tree_size} entries, and the journal {folder} begins at {there[0].start}: "
                "the tree is older than its journal, or belongs to another log; restore it"
            )
        self._segment = there[-1] if there else self._named(tree_size, 0)
        self._file = FrameFile(self._segment.path, repeated_from=repeated_from)
        self._tree_size, self._missing = tree_size, list[bytes]()
        if self.end < tree_size and tree is not None:
            missing = list(tree(self.end, tree_size))
            self._missing = missing if len(missing) == tree_size - self.end else []  # otherwise some were pruned

    @property
    def end(self) -> int:
        """The index after the last entry on disk."""
        return self._segment.start + self._file.count

    def last_number(self) -> int:
        """Number of the last entry on disk; 0 if there is none."""
        return self._file.last_number() or self._segment.last

    def append(self, entries: Sequence[tuple[int, bytes]]) -> None:
        """Appends the entries whose number is new, with one fsync. When it returns, they are on disk.

        Raises:
            WorldError: ``store-unavailable``; call it again with the same entries.
        """
        fresh = [(number, entry) for number, entry in entries if number > self.last_number()]
        if not fresh:
            return
        if self.end < self._tree_size:
            self._make_up(fresh)
            return
        if self._file.size >= self._segment_bytes or self._file.count >= SEGMENT_ENTRIES:
            self._next(self.end)
        self._file.append(fresh)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _make_up(self, fresh: Sequence[tuple[int, bytes]]) -> None:
        """Fills the gap before the tree's end with the entries that the tree has; appends the others after its end."""
        again = 0
        while again < min(len(fresh), len(self._missing)) and fresh[again][1] == self._missing[again]:
            again += 1
        self._file.append(fresh[:again])
        del self._missing[:again]
        if again == len(fresh):
            return
        if self.end < self._tree_size:
            self._next(self._tree_size)
        self._missing = []
        self._file.append(fresh[again:])

    def _next(self, start: int) -> None:
        segment = self._named(start, self.last_number())
        try:
            file = FrameFile(segment.path)
        except ConfigError as error:
            raise WorldError(Reason.STORE_UNAVAILABLE, error.detail) from error
        self._file.close()
        # In this order: another thread that reads `end` in between gets a value that is too small, never too large.
        self._file, self._segment = file, segment

    def _named(self, start: int, last: int) -> Segment:
        return Segment(path=self._folder / f"{start:020}-{last:020}.frames", start=start, last=last)


class JournalCursor:
    """Reads a journal from an index on and remembers its position. Owned by one thread."""

    def __init__(self, folder: Path, index: int) -> None:
        self._folder = folder
        self.index = index  # index of the next entry
        self._segment: Segment | None = None
        self._offset = self._place = 0  # its offset and index in that segment

    def read(self, until: int | None = None) -> Iterator[bytes]:
        """Yields entries from the position on, up to but not including index ``until``; None for all whole ones.

        Raises:
            AuditFileDamagedError: a frame before the last one is damaged.
            WorldError: ``store-unavailable``: the entry at :attr:`index` is not in the journal, or a file cannot be
                read.
        """
        while until is None or self.index < until:
            before = self.index
            try:
                yield from self._read_segment(until)
            except OSError as error:
                raise WorldError(Reason.STORE_UNAVAILABLE, f"{self._folder}: {error.strerror}") from error
            if self.index == before:
                if until is not None:
                    problem = f"{self._folder}: entry {self.index} is not in the journal"
                    raise WorldError(Reason.STORE_UNAVAILABLE, problem)
                return

    def _read_segment(self, until: int | None) -> Iterator[bytes]:
        """Yields the rest of the current segment, or, if that has no more, the segment with the next index."""
        if self._segment is None or self._exhausted():
            holding = [each for each in segments(self._folder) if each.start <= self.index]
            if not holding:
                return
            if holding[-1] != self._segment:
                self._segment, self._offset, self._place = holding[-1], 0, holding[-1].start
        for _, entry, after in read_frames(self._segment.path, offset=self._offset):
            self._offset, self._place = after, self._place + 1
            if self._place > self.index:
                self.index += 1
                yield entry
            if self.index == until:
                return

    def unread_bytes(self) -> int:
        """The bytes after the last whole entry of the current segment; 0 if that segment is gone, or there is none."""
        try:
            return self._segment.path.stat().st_size - self._offset if self._segment is not None else 0
        except OSError:
            return 0

    def _exhausted(self) -> bool:
        return self._segment is not None and self._offset >= self._segment.path.stat().st_size


def remove_before(folder: Path, size: int) -> None:
    """Removes segments whose entries are all in the tree of ``size`` leaves; the last segment stays.

    Raises:
        WorldError: ``store-unavailable``.
    """
    there = segments(folder)
    for each, following in itertools.pairwise(there):
        if following.start > size:
            return
        try:
            each.path.unlink(missing_ok=True)
        except OSError as error:
            raise WorldError(Reason.STORE_UNAVAILABLE, f"{each.path}: {error.strerror}") from error
