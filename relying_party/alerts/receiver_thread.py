"""Runs one receiver in a thread of its own, until the service stops."""

import threading
from pathlib import Path
from typing import Final, Protocol

from relying_party.alerts.store import AlertStore
from runtime.service import Stop
from runtime.telemetry import Logger
from schemas.errors import WorldError

_LOG: Final = Logger("alerts")
_IDLE_S: Final = 1.0


class Receiver(Protocol):
    """One receiver of alerts. Owned by its thread."""

    @property
    def name(self) -> str:
        """Its name in the settings."""

    def step(self, store: AlertStore) -> float | None:
        """Sends something that is due; returns how many seconds to pause, None when nothing more is due.

        Raises:
            WorldError: ``store-unavailable``.
        """


class ReceiverThread:
    """The thread of one receiver. It opens the database for itself; one that hangs does not delay the process's end."""

    def __init__(self, receiver: Receiver, database: Path, stop: Stop) -> None:
        """Does not start yet."""
        self._receiver, self._database, self._stop = receiver, database, stop
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alerts-{receiver.name}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Makes the receiver look now for something to send."""
        self._woken.set()

    def join(self, seconds: float) -> None:
        """Waits up to ``seconds`` for the thread to end."""
        self._thread.join(seconds)

    def _run(self) -> None:
        store = AlertStore(self._database)
        try:
            while not self._stop.requested:
                try:
                    pause_s = self._receiver.step(store)
                except WorldError as error:
                    _LOG.error("store-failed", receiver=self._receiver.name, reason=error.reason, detail=error.detail)
                    pause_s = _IDLE_S
                if pause_s is None:
                    self._woken.wait(_IDLE_S)
                    self._woken.clear()
                elif pause_s > 0:
                    self._stop.wait(pause_s)
        finally:
            store.close()
