"""The audit log as one append-only file of numbered, framed entries.

Frame: number (u64), length (u32), CRC-32 of the entry (u32), all big-endian, then the entry (deterministic CBOR). A
torn frame at the very end, left by a crash while writing, is cut off when the file is opened, and so is damage in
entries that the outbox still holds: they are written again. Damage anywhere else is never cut off: the file is refused,
with the offset.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from typing_extensions import override

from schemas.errors import ConfigError, WorldError
from schemas.reasons import Reason
from verifier_worker.ports import AuditLog

_FRAME: Final = struct.Struct(">QII")


class FileAuditLog(AuditLog):
    """Owned by the worker's loop thread."""

    def __init__(self, path: Path, *, repeated_from: int | None = None) -> None:
        """Opens the file for appending, making it or cutting a torn tail off.

        Args:
            path: the file.
            repeated_from: number of the first entry that will be appended again; None for none.

        Raises:
            ConfigError: the file cannot be opened, or is damaged before its end.
        """
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise ConfigError(f"audit_log: {path}: {error.strerror}") from error
        self._last, end = 0, 0
        for number, _, after in _frames(path, repeated_from=repeated_from):
            self._last, end = number, after
        os.ftruncate(self._file, end)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    @override
    def last_number(self) -> int:
        return self._last

    @override
    def append(self, entries: Sequence[tuple[int, bytes]]) -> None:
        fresh = [(number, entry) for number, entry in entries if number > self._last]
        if not fresh:
            return
        block = b"".join(_FRAME.pack(number, len(entry), zlib.crc32(entry)) + entry for number, entry in fresh)
        size = os.fstat(self._file).st_size
        try:
            view = memoryview(block)
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)
            raise WorldError(Reason.STORE_UNAVAILABLE, f"audit log {self._path}: {error.strerror}") from error
        self._last = fresh[-1][0]


def read_entries(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every whole entry of an audit log with its number, oldest first.

    Raises:
        ConfigError: the file cannot be read, or its first entry is none.
        WorldError: after the last whole entry, when there is more: a torn tail, or an entry being written.
    """
    end = 0
    try:
        size = path.stat().st_size
        for number, entry, after in _frames(path):
            end = after
            yield number, entry
    except OSError as error:
        raise ConfigError(f"audit log {path}: {error.strerror}") from error
    if size > 0 and end == 0:
        raise ConfigError(f"{path}: not an audit log, or damaged at offset 0")
    if end < size:
        problem = f"{path}: no whole entry at offset {end}, {size - end} bytes are left: torn, or being written now"
        raise WorldError(Reason.STORE_UNAVAILABLE, problem)


def _frames(path: Path, *, repeated_from: int | None = None) -> Iterator[tuple[int, bytes, int]]:
    """Number, entry and end offset of every whole frame.

    Raises:
        ConfigError: a frame that is not the last one does not check out.
    """
    position, last = 0, 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while len(head := file.read(_FRAME.size)) == _FRAME.size:
            number, length, checksum = _FRAME.unpack(head)
            end = position + _FRAME.size + length
            if number == length == checksum == 0 and not any(file.read()):
                return  # a file extended but not written before the power went
            if end > size:
                return
            entry = file.read(length)
            if zlib.crc32(entry) != checksum or number <= last:
                if end == size or (repeated_from is not None and last + 1 >= repeated_from):
                    return
                raise ConfigError(f"audit log {path}: damaged at offset {position}; restore it or move it away")
            position, last = end, number
            yield number, entry, end
