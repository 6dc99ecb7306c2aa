"""Numbered entries in append-only files: the journals of audit logs, and whole audit logs of earlier versions.

A frame is: number (u64), length (u32), CRC-32 of the entry (u32), all big-endian, then the entry. Numbers grow. The
checksum detects faulty disks, not tampering: anyone who changes an entry can recompute it.

Opening a file for appending cuts off a torn frame at its end, which a crash has left, and damaged entries that will be
written again. A file that is damaged anywhere else is refused, with the offset.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from runtime.durable import sync_folder
from schemas.errors import ConfigError, WorldError
from schemas.reasons import Reason

_FRAME: Final = struct.Struct(">QII")
_SEARCHED_BYTES: Final = 4 * 1024 * 1024
_MAX_CANDIDATES: Final = 1000


class AuditFileDamagedError(ConfigError):
    """A frame before the last one is damaged. The file must be restored or moved away."""


class FrameFile:
    """One file, open for appending. Owned by one thread."""

    def __init__(self, path: Path, *, repeated_from: int | None = None) -> None:
        """Opens the file for appending. Makes it if it is missing; cuts off a torn tail.

        Args:
            path: the file.
            repeated_from: number of the first entry that will be appended again; None if none will be.

        Raises:
            ConfigError: the file cannot be opened, or is damaged before its end.
        """
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            sync_folder(path.parent)
        except OSError as error:
            raise ConfigError(f"audit_log: {path}: {error.strerror}") from error
        self._last, self.count, self.size = 0, 0, 0
        for number, _, after in read_frames(path, repeated_from=repeated_from):
            self._last, self.size = number, after
            self.count += 1
        if (repeated_from is None or self._last + 1 < repeated_from) and _continues(path, self.size, self._last):
            problem = (
                f"audit log {path}: damaged at offset {self.size}; whole entries follow; restore it or move it away"
            )
            raise AuditFileDamagedError(problem)
        try:
            os.ftruncate(self._file, self.size)
            os.fsync(self._file)  # the process that wrote the last frames may have been killed before its fsync
        except OSError as error:
            raise ConfigError(f"audit_log: {path}: {error.strerror}") from error

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def last_number(self) -> int:
        """Number of the last entry on disk; 0 if there is none."""
        return self._last

    def append(self, entries: Sequence[tuple[int, bytes]]) -> None:
        """Appends the entries whose number is new, with one fsync. When it returns, they are on disk.

        Raises:
            WorldError: ``store-unavailable``; then nothing was appended.
        """
        fresh = [(number, entry) for number, entry in entries if number > self._last]
        if not fresh:
            return
        block = b"".join(encode_frame(number, entry) for number, entry in fresh)
        try:
            view = memoryview(block)
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, self.size)
            raise WorldError(Reason.STORE_UNAVAILABLE, f"audit log {self._path}: {error.strerror}") from error
        self._last = fresh[-1][0]
        self.size += len(block)
        self.count += len(fresh)


def _continues(path: Path, offset: int, last: int) -> bool:
    """Whether a whole frame follows one that seems to end after the file: then its length is damaged, not torn."""
    with path.open("rb") as file:
        file.seek(offset)
        rest = file.read(_SEARCHED_BYTES)
    near = last.to_bytes(8, "big")[:5]  # the first bytes of every number that can follow
    place = rest.find(near, 1)
    for _ in range(_MAX_CANDIDATES):
        if not 0 <= place <= len(rest) - _FRAME.size:
            return False
        number, length, checksum = _FRAME.unpack_from(rest, place)
        entry = rest[place + _FRAME.size : place + _FRAME.size + length]
        if number > last and 0 < length == len(entry) and zlib.crc32(entry) == checksum:
            return True
        place = rest.find(near, place + 1)
    return False


def encode_frame(number: int, entry: bytes) -> bytes:
    """One entry as it is in the file."""
    return _FRAME.pack(number, len(entry), zlib.crc32(entry)) + entry


def read_frames(path: Path, *, repeated_from: int | None = None, offset: int = 0) -> Iterator[tuple[int, bytes, int]]:
    """Yields number, entry and end offset of every whole frame.

    Args:
        path: the file.
        repeated_from: number of the first entry that will be appended again; damage from there on ends the reading.
        offset: where to begin: the end offset of a frame.

    Raises:
        AuditFileDamagedError: a frame before the last one is damaged.
    """
    position, last = offset, 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(offset)
        while len(head := file.read(_FRAME.size)) == _FRAME.size:
            number, length, checksum = _FRAME.unpack(head)
            end = position + _FRAME.size + length
            if number == length == checksum == 0 and not any(file.read()):
                return  # a power cut: the file was extended, but not written
            if end > size:
                return
            entry = file.read(length)
            if zlib.crc32(entry) != checksum or number <= last:
                if end == size or (repeated_from is not None and last + 1 >= repeated_from):
                    return
                problem = f"audit log {path}: damaged at offset {position}; restore it or move it away"
                raise AuditFileDamagedError(problem)
            position, last = end, number
            yield number, entry, end
