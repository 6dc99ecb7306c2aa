"""The audit log as one append-only file of numbered, framed entries.

Framed as :mod:`runtime.audit_file` says, entries as :mod:`schemas.audit_entry` says. A torn frame at the very end, left
by a crash while writing, is cut off when the file is opened, and so is damage in entries that the outbox still holds:
they are written again. Damage anywhere else is never cut off: the file is refused, with the offset.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from runtime.audit_file import encode_frame, read_frames
from schemas.errors import ConfigError, WorldError
from schemas.reasons import Reason
from verifier_worker.ports import AuditLog


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
        for number, _, after in read_frames(path, repeated_from=repeated_from):
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
        block = b"".join(encode_frame(number, entry) for number, entry in fresh)
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
