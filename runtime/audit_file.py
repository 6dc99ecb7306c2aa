"""How entries are framed in an audit log's file, for the verifier that writes it and for those who read it later.

Frame: number (u64), length (u32), CRC-32 of the entry (u32), all big-endian, then the entry. Numbers grow. The checksum
finds disks that forget, not people who change things: those recompute it.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from schemas.errors import ConfigError, WorldError
from schemas.reasons import Reason

_FRAME: Final = struct.Struct(">QII")


class AuditFileDamagedError(ConfigError):
    """A frame that is not the last one does not check out; the file has to be restored or moved away."""


def encode_frame(number: int, entry: bytes) -> bytes:
    """One entry as it stands in the file."""
    return _FRAME.pack(number, len(entry), zlib.crc32(entry)) + entry


def read_entries(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every whole entry of an audit log with its number, oldest first.

    Raises:
        ConfigError: the file cannot be read, or its first entry is none.
        AuditFileDamagedError: an entry before the last one does not check out.
        WorldError: after the last whole entry, when there is more: a torn tail, or an entry being written.
    """
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


def read_frames(path: Path, *, repeated_from: int | None = None) -> Iterator[tuple[int, bytes, int]]:
    """Number, entry and end offset of every whole frame.

    Args:
        path: the file.
        repeated_from: number of the first entry that will be appended again; damage from there on ends the reading.

    Raises:
        AuditFileDamagedError: a frame that is not the last one does not check out.
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
                problem = f"audit log {path}: damaged at offset {position}; restore it or move it away"
                raise AuditFileDamagedError(problem)
            position, last = end, number
            yield number, entry, end
