"""Copies the newest handle to a file, for devices that no broker reaches.

Reads the state file without a lock, since a running distributor replaces that file as a whole. The output is verified
first, replaced as a whole too, and has the same form as a file from ``issue-once``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from runtime.durable import read_if_exists, write_durable
from runtime.service import Stop
from runtime.telemetry import Logger
from schemas.errors import PeerError, WorldError
from schemas.messages.handle import MAX_HANDLE_BYTES, Handle
from schemas.reasons import Reason

POLL_S: Final = 0.5
_LOG: Final = Logger("handle_distributor")


class HandleExport:
    """Copies from one state file to one output file. Used by one thread."""

    def __init__(self, source: Path, out: Path, verify: Callable[[bytes], Handle]) -> None:
        """Reads and writes nothing yet.

        Args:
            source: the distributor's state file.
            out: the output file; its folder must exist.
            verify: turns bytes into a verified handle, or raises ``PeerError``.
        """
        self._source = source
        self._out = out
        self._verify = verify
        self._seen: bytes | None = None  # the bytes that were exported last
        self._problem = ""

    def once(self) -> Handle:
        """Exports the current handle.

        Raises:
            WorldError: ``store-unavailable``: there is no handle yet, or a file cannot be read or written.
            PeerError: the state file does not hold a handle that verifies.
        """
        raw = read_if_exists(self._source, max_bytes=MAX_HANDLE_BYTES)
        if raw is None:
            raise WorldError(
                Reason.STORE_UNAVAILABLE, f"{self._source}: no handle yet; `run` or `issue-once` makes the first"
            )
        return self._write(raw)

    def follow(self, stop: Stop, on_exported: Callable[[Handle], None]) -> None:
        """Exports the current handle and every later one until ``stop``. Logs each problem once and tries again.

        Args:
            stop: ends the export.
            on_exported: called with each exported handle.
        """
        while True:
            try:
                raw = read_if_exists(self._source, max_bytes=MAX_HANDLE_BYTES)
                if raw is None:
                    self._warn("store-unavailable", f"{self._source}: no handle yet")
                elif raw != self._seen:
                    on_exported(self._write(raw))
                    self._problem = ""
            except (PeerError, WorldError) as error:
                self._warn(error.reason, error.detail)
            if stop.wait(POLL_S):
                return

    def _write(self, raw: bytes) -> Handle:
        handle = self._verify(raw)
        write_durable(self._out, handle.raw)
        self._seen = raw
        return handle

    def _warn(self, reason: str, detail: str) -> None:
        if detail != self._problem:
            self._problem = detail
            _LOG.warning("handle-not-exported", reason=reason, detail=detail)
