"""Reads new entries of the binary boot log, and of the IMA list in any of the kernel's forms.

Returns whole entries only. Reads files in securityfs, whose reported size is 0, to their end. Remembers each entry's
offset, so that any index can be read again without parsing the entries before it. Notices a file that was replaced or
has become shorter. Splits the bytes at their length fields; does not replay or judge entries.

The boot log is read from its start each time, because Linux 6.1 repeats its last event to a reader that seeks to the
end (``tests/vectors/vm`` was recorded there).
"""

import itertools
import os
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from attester_agent.core.log_window import Entries
from attester_agent.logs.cel_file import CelFile
from attester_agent.ports import LogRestartedError, MeasurementLog, PcrLifetime
from runtime.telemetry import Logger
from schemas.boot_log import records as boot_records
from schemas.errors import PeerError, WorldError
from schemas.ima.ascii import Converted
from schemas.ima.formats import ListFormat, convert, detect_format
from schemas.limits import MAX_BOOT_LOG_BYTES, MAX_LOG_ENTRIES
from schemas.reasons import Reason
from schemas.replay.log_replay import CEL, IMA, TCG2

MAX_IMA_LIST_BYTES: Final = 256 * 1024 * 1024
_CHUNK_BYTES: Final = 1024 * 1024
_LOG: Final = Logger("measurement-logs")


class KernelLog:
    """One measurement log of the kernel (``attester_agent.ports.MeasurementLog``)."""

    def __init__(self, name: str, path: Path, *, max_bytes: int) -> None:
        """Reads nothing yet.

        Args:
            name: ``tcg2`` or ``ima``.
            path: of the file; it need not exist yet.
            max_bytes: for one reading, to bound memory.
        """
        self._name = name
        self._seeks = name != TCG2
        self._path = path
        self._max_bytes = max_bytes
        self._ends = array("Q", [0])  # offset after each entry known, from 0
        self._file: tuple[int, int] | None = None  # device and inode of the file that the offsets belong to
        self._format: boot_records.BootLogFormat | None = None
        self._form: ListFormat | None = None  # of an IMA list
        self._failed = False  # the last reading; an unreadable log must not count as grown, or retries never end

    @property
    def name(self) -> str:
        """Its name on the wire."""
        return self._name

    @property
    def exists(self) -> bool:
        """Whether the file exists now."""
        return self._path.exists()

    is_lost_on_resume: Final = False

    def is_current(self, lifetime: PcrLifetime) -> bool:
        """Always True: the kernel keeps no log of an earlier boot."""
        del lifetime
        return True

    def has_grown(self) -> bool:
        """Whether there are bytes after the last entry read, or the file was replaced."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            if self._is_another(descriptor):
                return True
            if self._failed:
                return False
            if not self._seeks:
                return len(self._read_to_end(descriptor)) > self._ends[-1]
            os.lseek(descriptor, self._ends[-1], os.SEEK_SET)
            return bool(os.read(descriptor, 1))
        except (OSError, WorldError):
            return False
        finally:
            os.close(descriptor)

    def restart(self) -> None:
        """Forgets positions; to be called after a reboot."""
        self._ends = array("Q", [0])
        self._file = None
        self._format = None
        self._form = None
        self._failed = False

    def read(self, start: int) -> Entries:
        """All whole entries from ``start`` on (``ports.MeasurementLog.read``).

        Raises:
            LogRestartedError: the file was replaced or has become shorter.
            WorldError: ``log-unreadable`` or ``log-malformed``, naming the path.
        """
        known = min(start, len(self._ends) - 1)
        self._failed = True
        data = self._read_from(self._ends[known])
        records, ends = self._cut(data, known)
        del self._ends[known + 1 :]
        first = self._ends[known]
        self._ends.extend(first + end for end in ends)
        if len(self._ends) > MAX_LOG_ENTRIES:
            raise WorldError(Reason.LOG_UNREADABLE, f"{self._path}: more than {MAX_LOG_ENTRIES} entries")
        self._failed = False
        return Entries(start=start, records=records[start - known :])

    def _read_from(self, offset: int) -> bytes:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if self._is_another(descriptor):
                    self.restart()
                    raise LogRestartedError(Reason.LOG_UNREADABLE, f"{self._path}: replaced, or shorter than it was")
                if self._seeks:
                    os.lseek(descriptor, offset, os.SEEK_SET)
                data = self._read_to_end(descriptor)
                if not self._seeks:
                    data = data[offset:]
                status = os.fstat(descriptor)
                self._file = (status.st_dev, status.st_ino)
                return data
            finally:
                os.close(descriptor)
        except OSError as error:
            raise WorldError(Reason.LOG_UNREADABLE, f"{self._path}: {error.strerror}") from error

    def _is_another(self, descriptor: int) -> bool:
        status = os.fstat(descriptor)
        known = self._file
        shorter = 0 < status.st_size < self._ends[-1]  # securityfs reports 0
        return (known is not None and known != (status.st_dev, status.st_ino)) or shorter

    def _read_to_end(self, descriptor: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._max_bytes:
                raise WorldError(Reason.LOG_UNREADABLE, f"{self._path}: more than {self._max_bytes} bytes to read")
        return b"".join(chunks)

    def _cut(self, data: bytes, index: int) -> Converted:
        """Splits ``data`` into whole entries; the first one has the index ``index``."""
        try:
            if self._name == TCG2:
                split = boot_records.split_records(data, self._format if index else None)
                self._format = split.format
                return Converted(split.records, tuple(itertools.accumulate(map(len, split.records))))
            form = self._form or detect_format(data)
            converted = convert(data, form)
            if converted.records:
                self._form = form
            return converted
        except PeerError as error:
            raise WorldError(Reason.LOG_MALFORMED, f"{self._path}, after entry {index}: {error.detail}") from error


def open_measurement_logs(
    *,
    tcg2: Path | None,
    ima: Path | None,
    cel: Mapping[str, Path] = MappingProxyType({}),
    pause: Callable[[float], object] = lambda _seconds: None,
) -> tuple[MeasurementLog, ...]:
    """The configured measurement logs. A missing file is reported to logging; it may appear later.

    Args:
        tcg2: path of the boot log.
        ima: path of the IMA list.
        cel: paths of CEL logs, by name.
        pause: waits for a CEL log's lock, the given number of seconds.
    """
    files = [(TCG2, tcg2, MAX_BOOT_LOG_BYTES), (IMA, ima, MAX_IMA_LIST_BYTES)]
    logs = [KernelLog(name, path, max_bytes=limit) for name, path, limit in files if path is not None]
    for name, path, _ in files:
        if path is not None and not path.exists():
            _LOG.error("log-missing", log=name, path=path, next="evidence is sent without it; check the path")
    for name, path in cel.items():
        if not path.exists():
            _LOG.info("log-not-yet-there", log=f"{CEL}/{name}", path=path)
    return (*logs, *(CelFile(name, path, pause=pause) for name, path in cel.items()))
