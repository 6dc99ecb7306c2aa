"""A TPM 2.0 emulator for tests: one swtpm process on Unix sockets, started, rebooted and stopped by its id.

Promises: no TCP port is used, so runs in parallel cannot collide; when :func:`running_swtpm` yields, the TPM answers;
when it ends, the process is gone. The TPM's state lives in the given directory and survives reboots.

swtpm serves one connection at a time, and libtss2's swtpm TCTI opens one for each command: several ESAPI contexts and
tpm2-tools commands can be open at once, take turns, and live on over a reboot (a command sent while the TPM is off
spoils its ESAPI context). There is no resource manager between them: handles and the few object slots (three) are
shared, so flush what you load.
"""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import pytest

from tests.programs.waiting import PATIENCE_S, stop_process

MAX_SOCKET_PATH_BYTES: Final = 100  # sockaddr_un has 108, ".ctrl" and the final zero included

TPM_ST_NO_SESSIONS: Final = 0x8001  # TPM 2.0 Part 2, table "TPM_ST Constants"
TPM_CC_SHUTDOWN: Final = 0x0145  # TPM 2.0 Part 2, table "TPM_CC Constants"
TPM_SU_CLEAR: Final = 0x0000  # TPM 2.0 Part 2, table "TPM_SU Constants"
TPM_SU_STATE: Final = 0x0001

_COMMAND = struct.Struct(">HIIH")
_RESPONSE = struct.Struct(">HII")

Startup = Literal["startup-clear", "startup-state"]


def require_tool(name: str) -> str:
    """The absolute path of a program, or a skip that names it."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def environment_of_clock(rate: float) -> dict[str, str]:
    """An environment in which time passes at ``rate``; skips the test when libfaketime is not installed."""
    if rate == 1.0:
        return dict(os.environ)
    libraries = sorted(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"))
    if not libraries:
        pytest.skip("faketime is not installed")
    return {**os.environ, "LD_PRELOAD": str(libraries[0]), "FAKETIME": f"+0 x{rate}"}


class Swtpm:
    """One emulated TPM.

    Attributes:
        tcti: for tpm2-pytss (``ESAPI(tpm.tcti)``), and for tpm2-tools (``-T`` or ``TPM2TOOLS_TCTI``).
        directory: absolute; holds the TPM's state and ``swtpm.log``.
    """

    def __init__(self, directory: Path, sockets: Path, clock_rate: float = 1.0) -> None:
        self.directory = directory.resolve()
        self._environment = environment_of_clock(clock_rate)
        self._server = sockets.resolve() / "tpm"
        self._control = sockets.resolve() / "tpm.ctrl"  # the TCTI wants this very name
        self.tcti = f"swtpm:path={self._server}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None while the TPM is switched off."""
        return None if self._process is None else self._process.pid

    def start(self, startup: Startup = "startup-clear") -> None:
        """Switches the TPM on and returns once it accepts commands.

        Args:
            startup: TPM2_Startup(CLEAR), or TPM2_Startup(STATE) which is a resume when a Shutdown(STATE) came before.

        Raises:
            RuntimeError: the process ended or was not ready in time; the message holds its log.
        """
        if self._process is not None:
            message = "this swtpm is already running"
            raise RuntimeError(message)
        self._unlink_sockets()
        command = [
            require_tool("swtpm"),
            "socket",
            "--tpm2",
            "--tpmstate",
            f"dir={self.directory}",
            "--server",
            f"type=unixio,path={self._server}",
            "--ctrl",
            f"type=unixio,path={self._control}",
            "--flags",
            f"not-need-init,{startup}",
            "--log",
            f"file={self.directory / 'swtpm.log'}",
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=self._environment)
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.cut_power()
            raise

    def cut_power(self) -> None:
        """Switches the TPM off without TPM2_Shutdown (SIGKILL). Does nothing when it is off."""
        self._end(signal.SIGKILL)

    def shut_down(self, kind: int = TPM_SU_CLEAR) -> None:
        """TPM2_Shutdown, then switches the TPM off: what an orderly operating system does.

        Raises:
            RuntimeError: another client holds the TPM, or it refused.
        """
        self._send_shutdown(kind)
        self._end(signal.SIGTERM)

    def reboot(self, *, graceful: bool) -> None:
        """Off and on with TPM2_Startup(CLEAR): resetCount goes up, restartCount to 0, PCRs to their initial values.

        Args:
            graceful: True sends TPM2_Shutdown(CLEAR) first; False cuts the power, after which ``safe`` is 0.
        """
        if graceful:
            self.shut_down()
        else:
            self.cut_power()
        self.start()

    def suspend_and_resume(self) -> None:
        """Shutdown(STATE), off, on, Startup(STATE): restartCount goes up, resetCount and the PCRs stay."""
        self.shut_down(TPM_SU_STATE)
        self.start("startup-state")

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if process.poll() is not None:
                message = f"swtpm ended with status {process.returncode}: {self._log()}"
                raise RuntimeError(message)
            with contextlib.suppress(ConnectionRefusedError, FileNotFoundError), self._connect():
                return
            if time.monotonic() > deadline:
                message = f"swtpm not ready within {PATIENCE_S} s: {self._log()}"
                raise RuntimeError(message)
            time.sleep(0.005)  # between two polls, not to synchronise

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(PATIENCE_S)
            try:
                connection.connect(str(self._server))
            except BlockingIOError:  # its queue is full: it is busy with another client
                connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)  # between two polls, not to synchronise
            except BaseException:
                connection.close()
                raise
            else:
                return connection

    def _send_shutdown(self, kind: int) -> None:
        with self._connect() as connection:
            connection.sendall(_COMMAND.pack(TPM_ST_NO_SESSIONS, _COMMAND.size, TPM_CC_SHUTDOWN, kind))
            try:
                answer = connection.recv(_RESPONSE.size, socket.MSG_WAITALL)
            except TimeoutError as error:
                message = "swtpm serves one connection at a time and another client keeps one open"
                raise RuntimeError(message) from error
        if len(answer) != _RESPONSE.size:
            message = f"swtpm closed the connection after {len(answer)} bytes of its answer"
            raise RuntimeError(message)
        _, _, code = _RESPONSE.unpack(answer)
        if code:
            message = f"TPM2_Shutdown: response code {code:#x}"
            raise RuntimeError(message)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        stop_process(process, how, PATIENCE_S)
        self._unlink_sockets()

    def _unlink_sockets(self) -> None:
        self._server.unlink(missing_ok=True)
        self._control.unlink(missing_ok=True)

    def _log(self) -> str:
        path = self.directory / "swtpm.log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else "no log"


@contextlib.contextmanager
def running_swtpm(directory: Path, *, clock_rate: float = 1.0) -> Iterator[Swtpm]:
    """A TPM that is switched on; skips the test when swtpm is not installed.

    Args:
        directory: existing, writable, used by no other swtpm; keeps the state, so a second call finds the same TPM.
        clock_rate: how fast its oscillator runs; other than 1 needs libfaketime.

    Yields:
        the TPM; its ``tcti`` is what clients need.
    """
    require_tool("swtpm")
    with contextlib.ExitStack() as stack:
        sockets = directory.resolve()
        if len(os.fsencode(sockets)) > MAX_SOCKET_PATH_BYTES - len("/tpm.ctrl"):
            sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="swtpm-")))
        tpm = Swtpm(directory, sockets, clock_rate)
        stack.callback(tpm.cut_power)
        tpm.start()
        yield tpm
