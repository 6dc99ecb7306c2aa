"""A handle in a file, where no broker's handles reach. Implements :class:`attester_agent.ports.HandleSource`.

The file holds the handle's bytes as ``handle-distributor export`` and ``issue-once`` write them: no CMW record around
them. Looked at often, read when it changed. What is wrong with it is said once for each change.
"""

import os
import stat
from pathlib import Path

from schemas.errors import PeerError, WorldError
from schemas.messages.handle import MAX_HANDLE_BYTES
from schemas.reasons import Reason


class HandleFileSource:
    """One path, whose file others write or replace. Used by one thread."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet; the file need not be there."""
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
        """One byte more than it may have at most. Opened so that not even a FIFO put there by now would hold us up."""
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(MAX_HANDLE_BYTES + 1)


def _look(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
