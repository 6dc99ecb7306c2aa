"""A Mosquitto broker for tests: one process on the loopback interface, started, killed, restarted, stopped by its id.

Promises: when :func:`running_mosquitto` yields, and when ``start`` or ``restart`` return, this very process accepts
connections; when it ends, the process is gone. Port, configuration and persistent state stay the same over a restart.

With persistence every change is written to disk in the turn of the broker's loop in which it happened, but after its
acknowledgement: ``kill`` may lose what was acknowledged in the milliseconds before it, as any single Mosquitto may.
"""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.programs.waiting import PATIENCE_S, stop_process

HOST: Final = "127.0.0.1"
POLL_SECONDS: Final = 0.01
PORT_ATTEMPTS: Final = 5
MAX_QUEUED_MESSAGES: Final = 100_000


class PortTakenError(RuntimeError):
    """Another process listens on the chosen port."""


def free_port() -> int:
    """A TCP port that was free a moment ago; another process can still take it, so be ready to try again."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


class Mosquitto:
    """One broker.

    Attributes:
        host: the loopback address.
        port: the TCP port it listens on, the same after every restart.
        directory: absolute; holds ``mosquitto.conf``, ``mosquitto.log`` and the persistent state.
    """

    host: Final = HOST

    def __init__(self, directory: Path, *, port: int, persistence: bool, extra_config: str) -> None:
        self.directory = directory.resolve()
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._write_config(persistence=persistence, extra_config=extra_config)

    @property
    def pid(self) -> int | None:
        """The process id; None while the broker is down."""
        return None if self._process is None else self._process.pid

    @property
    def log(self) -> str:
        """What the broker logged since its last start."""
        return self._log_path.read_bytes()[self._log_start :].decode(errors="replace")

    def start(self) -> None:
        """Starts the broker and returns once it accepts connections.

        Raises:
            PortTakenError: another process listens on the port.
            RuntimeError: it is running already, ended, or was not ready in time; the message holds its log.
        """
        if self._process is not None:
            raise RuntimeError("this mosquitto is already running")
        program = shutil.which("mosquitto")
        if program is None:
            pytest.skip("mosquitto is not installed")
        with self._log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [program, "-c", str(self.directory / "mosquitto.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ends the broker in order (SIGTERM): state is saved, wills are published. Does nothing when it is down."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the broker without a warning (SIGKILL). Does nothing when it is down."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops the broker in order if it runs, and starts it on the same port with the state it left."""
        self.stop()
        self.start()

    def _write_config(self, *, persistence: bool, extra_config: str) -> None:
        lines = [
            f"listener {self.port} {HOST}",
            "allow_anonymous true",
            "log_dest stderr",
            "log_type all",
            "set_tcp_nodelay true",
            f"max_queued_messages {MAX_QUEUED_MESSAGES}",
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # else it drops to the user mosquitto, who cannot write to our directory
        if persistence:
            lines += [
                "persistence true",
                f"persistence_location {self.directory}/",
                "persistence_file mosquitto.db",
                "autosave_on_changes true",
                "autosave_interval 1",
            ]
        text = "\n".join([*lines, extra_config, ""])
        (self.directory / "mosquitto.conf").write_text(text, encoding="utf-8")

    @property
    def _log_path(self) -> Path:
        return self.directory / "mosquitto.log"

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(POLL_SECONDS)  # between two polls; returns at once when the process ends
                error = PortTakenError if "Address already in use" in self.log else RuntimeError
                raise error(f"mosquitto ended with status {status}: {self.log[-2000:]}")
            # "running" is logged with the listener open; a connection alone could have reached another process.
            if " running" in self.log:
                with contextlib.suppress(ConnectionRefusedError), socket.create_connection((HOST, self.port), 1):
                    return
            if time.monotonic() > deadline:
                raise RuntimeError(f"mosquitto not ready within {PATIENCE_S} s: {self.log[-2000:]}")

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        stop_process(process, how, PATIENCE_S)


@contextlib.contextmanager
def running_mosquitto(
    directory: Path, *, port: int | None = None, persistence: bool = True, extra_config: str = ""
) -> Iterator[Mosquitto]:
    """A broker that accepts anonymous clients on the loopback; skips the test when mosquitto is not installed.

    Args:
        directory: existing, writable, used by no other broker; keeps the state, so a second call continues it.
        port: the port to listen on; None takes a free one.
        persistence: whether sessions, queues and retained messages survive a restart (and, see above, a kill).
        extra_config: further lines of mosquitto.conf.

    Yields:
        the running broker.
    """
    broker = _started(directory, port=port, persistence=persistence, extra_config=extra_config)
    try:
        yield broker
    finally:
        broker.stop()


def _started(directory: Path, *, port: int | None, persistence: bool, extra_config: str) -> Mosquitto:
    for attempt in itertools.count(1):
        broker = Mosquitto(directory, port=port or free_port(), persistence=persistence, extra_config=extra_config)
        try:
            broker.start()
        except PortTakenError:
            if port is not None or attempt == PORT_ATTEMPTS:
                raise
        else:
            return broker
    raise AssertionError("itertools.count ended")
