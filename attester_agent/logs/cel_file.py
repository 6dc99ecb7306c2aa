"""Reads a CEL log in any encoding and converts its records to the wire format (``ports.MeasurementLog``).

Parses and converts new records only, except in encodings that rewrite the whole file as an array. If a record's
position or wire bytes change, the log has been replaced. A log that ``attester-agent measure`` wrote before the TPM's
last reset is not read.

systemd extends the PCR first and writes the record after it, both under a lock. The agent waits for that lock before it
reads, so that it misses no record that the PCR already contains. It ignores a lock that is held for long: then the log
does not reproduce this quote, and the next push has the record.
"""

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from attester_agent.core.log_window import Entries
from attester_agent.logs.cel_journal import read_journal
from attester_agent.ports import LogRestartedError, PcrLifetime
from schemas.cel import in_cbor as cel_cbor
from schemas.cel.any_encoding import CelEncoding, detect_encoding, read_records
from schemas.cel.records import CelRecord, numbered
from schemas.errors import PeerError, WorldError
from schemas.limits import MAX_BOOT_LOG_BYTES, MAX_LOG_ENTRY_BYTES
from schemas.reasons import Reason
from schemas.replay.log_replay import CEL

MAX_CEL_BYTES: Final = MAX_BOOT_LOG_BYTES
_LOCK_PAUSES_S: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_EDGE_BYTES: Final = 64

_Signature = tuple[int, int, int, int]


class CelFile:
    """One CEL log in one file. Used by one thread."""

    def __init__(self, name: str, path: Path, *, pause: Callable[[float], object] = lambda _seconds: None) -> None:
        """Reads nothing yet.

        Args:
            name: without ``cel/``.
            path: of the file; it need not exist yet.
            pause: waits for a lock, the given number of seconds.
        """
        self._name = f"{CEL}/{name}"
        self._path = path
        self._pause = pause
        self._looked: _Signature | None = None  # at the last reading, also a failed one
        self.restart()

    @property
    def name(self) -> str:
        """Its name on the wire."""
        return self._name

    @property
    def exists(self) -> bool:
        """Whether the file exists now."""
        return self._path.exists()

    @property
    def is_lost_on_resume(self) -> bool:
        """Whether ``attester-agent measure`` wrote it, about PCRs that restart with a resume."""
        with suppress(WorldError):
            journal = read_journal(self._path)
            return journal is not None and journal.is_lost_on_resume
        return False

    def is_current(self, lifetime: PcrLifetime) -> bool:
        """False if ``attester-agent measure`` wrote the log in an earlier lifetime of its PCRs, otherwise True.

        Raises:
            WorldError: ``store-unavailable``.
        """
        journal = read_journal(self._path)
        if journal is None or journal.is_of(lifetime):
            return True
        self._looked = self._signature()
        return False

    def has_grown(self) -> bool:
        """Whether the file has changed since it was read last."""
        signature = self._signature()
        return signature is not None and signature != self._looked

    def restart(self) -> None:
        """Forgets all records; to be called after a reboot."""
        self._records: list[bytes] = []
        self._counts: dict[int, int] = {}
        self._encoding: CelEncoding | None = None
        self._offset = 0
        self._edge = b""  # the bytes before the offset

    def read(self, start: int) -> Entries:
        """All whole records from ``start`` on (``ports.MeasurementLog.read``).

        Raises:
            LogRestartedError: the records read before are no longer there.
            WorldError: ``log-unreadable``, ``log-malformed``, naming the path.
        """
        self._looked = self._signature()
        data = self._read_file()
        if not self._goes_on(data):
            before = self._records
            self.restart()
            self._take(data)
            if before and self._records[: len(before)] != before:
                self.restart()
                raise LogRestartedError(Reason.LOG_UNREADABLE, f"{self._path}: replaced, or shorter than it was")
        else:
            self._take(data)
        return Entries(start=start, records=tuple(self._records[start:]))

    def _goes_on(self, data: bytes) -> bool:
        """Whether the file still starts with the data read before; compares only the last bytes of it."""
        grows = self._encoding is None or self._encoding.grows
        return grows and len(data) >= self._offset and data[: self._offset][-_EDGE_BYTES:] == self._edge

    def _take(self, data: bytes) -> None:
        if len(data) == self._offset:
            return
        try:
            encoding = self._encoding or detect_encoding(data)
            read = read_records(data[self._offset :], encoding)
            raw = [self._encode(record) for record in numbered(read.records, self._counts)]
        except PeerError as error:
            self.restart()
            raise WorldError(Reason.LOG_MALFORMED, f"{self._path}: {error.detail}") from error
        self._encoding = encoding
        self._offset += read.size
        self._edge = data[: self._offset][-_EDGE_BYTES:]
        self._records += raw

    def _encode(self, record: CelRecord) -> bytes:
        raw = cel_cbor.encode_record(record)
        if len(raw) > MAX_LOG_ENTRY_BYTES:
            raise WorldError(Reason.LOG_MALFORMED, f"{self._path}: a record of {len(raw)} bytes")
        return raw

    def _read_file(self) -> bytes:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._lock(descriptor)
                with open(descriptor, "rb", closefd=False) as file:
                    data = file.read(MAX_CEL_BYTES + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise WorldError(Reason.LOG_UNREADABLE, f"{self._path}: {error.strerror}") from error
        if len(data) > MAX_CEL_BYTES:
            raise WorldError(Reason.LOG_UNREADABLE, f"{self._path}: more than {MAX_CEL_BYTES} bytes")
        return data

    def _lock(self, descriptor: int) -> None:
        for pause_s in _LOCK_PAUSES_S:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return
            self._pause(pause_s)

    def _signature(self) -> _Signature | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
