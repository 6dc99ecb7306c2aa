"""The checks behind a worker's ``/readyz``. The loop writes, the metrics page reads: neither waits for the other."""

from typing import Final

from runtime.clock import monotonic_s, utc_us
from runtime.monitoring.health import Condition, Health, broker_condition, handle_condition
from runtime.mqtt import MqttConnection
from schemas.errors import WorldError
from schemas.instants import SECOND_US
from schemas.messages.handle import Handle

_WRITABLE: Final = Condition(ok=True, state="took the last transaction")


class Readiness:
    """The checks of one worker; each attribute is written by the loop and read by any thread."""

    def __init__(self, role: str, trust: MqttConnection, evidence: MqttConnection) -> None:
        """Is not ready before the loop has begun.

        Args:
            role: the command's name.
            trust: the connection that brings trust objects.
            evidence: the connection that brings evidence and takes results.
        """
        self.health = Health(role, monotonic_s=monotonic_s)
        self._store = _WRITABLE
        self._handle: Handle | None = None
        self.health.ask("broker-trust", lambda: broker_condition(trust))
        self.health.ask("broker-evidence", lambda: broker_condition(evidence))
        self.health.ask("store", lambda: self._store)
        self.health.ask("handle", self._has_handle)

    def beat(self) -> None:
        """Notes that the loop is alive."""
        self.health.beat()

    def stored(self) -> None:
        """Notes that database and audit log could be written."""
        self._store = _WRITABLE

    def failed(self, error: WorldError) -> None:
        """Notes that they could not. The loop tries again, and acknowledges nothing meanwhile."""
        self._store = Condition(
            ok=False,
            state=error.detail,
            next="free disk space, or repair the disk or the file's owner; the worker then continues by itself",
        )

    def newest_handle(self, handle: Handle | None) -> None:
        """Notes the newest handle that the worker holds."""
        self._handle = handle

    def handle_age_s(self) -> float:
        """Seconds since the stamp of the newest handle; NaN without a handle."""
        handle = self._handle
        return float("nan") if handle is None else (utc_us() - handle.time_us) / SECOND_US

    def _has_handle(self) -> Condition:
        handle = self._handle
        return handle_condition(None if handle is None else (handle.time_us, handle.expires_us), utc_us())
