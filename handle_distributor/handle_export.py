"""The newest handle, in a file for those whom no broker reaches.

Reads what the distributor saved last and takes no lock: a running distributor replaces its file as a whole and does not
notice. What is written was verified, is replaced as a whole, too, and is the bare handle, as ``issue-once`` writes it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from runtime.durable import read_if_exists, write_durable
from runtime.service import Stop
from runtime.telemetry import Log
from schemas.errors import PeerError, WorldError
from schemas.messages.handle import MAX_HANDLE_BYTES, Handle
from schemas.reasons import Reason

POLL_S: Final = 0.5
_LOG: Final = Log("handle_distributor")


class HandleExport:
    """From one state file to one other file. Used by one thread."""

    def __init__(self, source: Path, out: Path, verify: Callable[[bytes], Handle]) -> None:
        """Touches nothing yet.

        Args:
            source: the distributor's state file.
            out: written; its folder must exist.
            verify: makes a verified handle of bytes, or raises ``PeerError``.
        """
        self._source = source
        self._out = out
        self._verify = verify
        self._seen: bytes | None = None  # bytes that were exported, or found wrong
        self._problem = ""

    def once(self) -> Handle:
        """Exports the handle there is.

        Raises:
            WorldError: ``store-unavailable``: there is none yet, or a file cannot be read or written.
            PeerError: the state file does not hold a handle that verifies.
        """
        raw = read_if_exists(self._source, max_bytes=MAX_HANDLE_BYTES)
        if raw is None:
            raise WorldError(
                Reason.STORE_UNAVAILABLE, f"{self._source}: no handle yet; `run` or `issue-once` makes the first"
            )
        return self._write(raw)

    def follow(self, stop: Stop, tell: Callable[[Handle], None]) -> None:
        """Exports every handle there is to come, until ``stop``; what is wrong is logged once, and tried again.

        Args:
            stop: ends it.
            tell: called with each handle that was exported.
        """
        while True:
            try:
                raw = read_if_exists(self._source, max_bytes=MAX_HANDLE_BYTES)
                if raw is None:
                    self._say("store-unavailable", f"{self._source}: no handle yet")
                elif raw != self._seen:
                    tell(self._write(raw))
                    self._problem = ""
            except (PeerError, WorldError) as error:
                self._say(error.reason, error.detail)
            if stop.wait(POLL_S):
                return

    def _write(self, raw: bytes) -> Handle:
        handle = self._verify(raw)
        write_durable(self._out, handle.raw)
        self._seen = raw
        return handle

    def _say(self, reason: str, detail: str) -> None:
        if detail != self._problem:
            self._problem = detail
            _LOG.warning("handle-not-exported", reason=reason, detail=detail)
