"""The processes of one demonstration: started, watched, stopped by their ids; none outlives it.

Every process gets its own session, so Ctrl-C reaches only the demo, which stops them in order. If the demo itself is
killed, the kernel kills them (``setpriv --pdeathsig``; so start them on a thread that lives as long as the demo: the
main thread). Output goes to ``logs/NAME.log``.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.demo.problem import DemoError

ROOT: Final = Path(__file__).resolve().parents[2]
STOP_S: Final = 8.0
MAX_RESTARTS: Final = 5
_POLL_S: Final = 0.02
_LOG_TAIL_BYTES: Final = 1500


@dataclass(slots=True, kw_only=True)
class Child:
    """One process and how to start it again.

    Attributes:
        name: for people, and of its log.
        command: program and arguments.
        log: where its output goes.
        essential: its death ends the demo, because its state cannot be restored.
        process: the running one.
        restarts: how often it was started again after it had been killed.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    essential: bool
    process: subprocess.Popen[bytes]
    restarts: int = 0

    @property
    def log_tail(self) -> str:
        """The end of its log."""
        return self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()


@dataclass(slots=True)
class Children:
    """All processes. Owned by the main thread."""

    logs: Path
    running: list[Child] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], *, essential: bool = False) -> Child:
        """Starts a process.

        Raises:
            DemoError: the program is not there.
        """
        log = self.logs / f"{name}.log"
        process = _spawn(command, log)
        child = Child(name=name, command=tuple(command), log=log, essential=essential, process=process)
        self.running.append(child)
        return child

    def check(self, child: Child) -> None:
        """Checks that a process still runs.

        Raises:
            DemoError: it has ended; the message holds the end of its output.
        """
        status = child.process.poll()
        if status is not None:
            raise _ended(child, status)

    def all_ended(self, children: Iterable[Child]) -> bool:
        """Whether all of some short commands have ended well.

        Raises:
            DemoError: one has failed; the message holds the end of its output.
        """
        for child in children:
            status = child.process.poll()
            if status is None:
                return False
            if status:
                raise _ended(child, status)
            if child in self.running:
                self.running.remove(child)
        return True

    def revive(self) -> list[str]:
        """Restarts processes that somebody else killed; returns their names.

        Raises:
            DemoError: a process ended by itself, or was killed too often, or cannot be started again.
        """
        revived = []
        for child in self.running:
            status = child.process.poll()
            if status is None:
                continue
            if status >= 0 or child.essential or child.restarts >= MAX_RESTARTS:
                raise _ended(child, status)
            child.restarts += 1
            child.process = _spawn(child.command, child.log)
            revived.append(child.name)
        return revived

    def stop(self, children: Iterable[Child]) -> None:
        """Stops processes: SIGTERM to all, then SIGKILL to the process groups of those that take too long."""
        chosen = list(children)
        for child in chosen:
            child.process.terminate()
        deadline = time.monotonic() + STOP_S
        for child in chosen:
            _end_group(child.process, deadline)
            self.running.remove(child)

    def stop_all(self) -> None:
        """Stops everything: first what was started last, and what is essential (TPMs, the broker) at the end."""
        self.stop([child for child in reversed(self.running) if not child.essential])
        self.stop(list(reversed(self.running)))


def python_command(package: str, *arguments: object) -> tuple[str, ...]:
    """How to run a package of this project with this interpreter."""
    return (sys.executable, "-m", package, *map(str, arguments))


def find_program(name: str) -> str:
    """The path of a program; Debian keeps daemons where an ordinary user's PATH does not look.

    Raises:
        DemoError: it is not installed.
    """
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=folders)
    if found is None:
        raise DemoError(f"{name} is not installed; ./run setup installs everything")
    return found


def _ended(child: Child, status: int) -> DemoError:
    return DemoError(f"{child.name} ended with status {status}; the end of its log:\n{child.log_tail}")


def _spawn(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    setpriv = shutil.which("setpriv")
    guard = () if setpriv is None else (setpriv, "--pdeathsig", "KILL", "--")
    # The caller's environment may hold settings of this project for his own services, not for these.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATTESTREAM_")}
    environment["PYTHONPATH"] = str(ROOT)
    with log.open("ab") as output:
        return subprocess.Popen(
            [*guard, find_program(command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )


def _end_group(process: subprocess.Popen[bytes], deadline: float) -> None:
    """Waits until ``deadline`` for a process to end, then kills what is left of the session it leads.

    The process is not reaped before its group was killed: until then nobody else can have its id.
    """
    while time.monotonic() < deadline:
        if process.returncode is not None or os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            break
        time.sleep(_POLL_S)
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
