"""Takes handles from a file, where a broker delivers none. Implements ``attester_agent.ports.HandleSource``.

The file holds the raw handle, without a CMW record, as ``handle-distributor export`` and ``issue-once`` write it. The
file is read only when it has changed. An error is raised once for each change.
"""

import os
import stat
from pathlib import Path

from schemas.errors import PeerError, WorldError
from schemas.messages.handle import MAX_HANDLE_BYTES
from schemas.reasons import Reason


class HandleFileSource:
    """One path. Other programs write or replace its file. Used by one thread."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet; the file need not exist."""
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._failure = ""

    def poll(self) -> bytes | None:
        """See the port."""
        try:
            status = self._path.stat()
            if _look(status) == self._seen:
                return None
            self._seen = _look(status)
            if not stat.S_ISREG(status.st_mode):
                raise WorldError(Reason.STORE_UNAVAILABLE, f"handle file {self._path}: not a regular file")
            content = self._read()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if self._failure == reason:
                return None
            self._seen, self._failure = (), reason
            raise WorldError(Reason.STORE_UNAVAILABLE, f"handle file {self._path}: {reason}") from error
        self._failure = ""
        if len(content) > MAX_HANDLE_BYTES:
            raise PeerError(
                Reason.TOO_LARGE, f"handle file {self._path}: the limit is {MAX_HANDLE_BYTES} bytes; give a raw handle"
            )
        return content

    def _read(self) -> bytes:
        """Reads at most the limit plus one byte. Opened non-blocking, in case the path has meanwhile become a FIFO."""
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(MAX_HANDLE_BYTES + 1)


def _look(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
