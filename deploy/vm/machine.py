"""One virtual machine: a software TPM with an EK certificate, OVMF and a disk; started, commanded, cut off.

The TPM's state, the firmware's variables and the disk are in the machine's folder and survive any power cut. Commands
to the guest go through a virtio port (``guest-door`` in the image), commands to the board through QMP.
"""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from deploy.demo.narrator import Narrator
from deploy.demo.problem import DemoError
from deploy.demo.processes import Child, Children, find_program
from deploy.vm.boot_disk import write_boot_disk
from deploy.vm.make import Boot, Make, board_command, firmware

BOOT_S: Final = 900.0  # an image of ./run vm takes a minute; one with all units, on a busy host, five or more
DOWN_S: Final = 120.0
COMMAND_S: Final = 120.0
_SETUP_S: Final = 60
_RECEIVE_BYTES: Final = 65_536
_SWTPM: Final = ("swtpm", "socket", "--tpm2")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Exit status and output of a command in the guest."""

    status: int
    output: str


@dataclass(slots=True)
class Machine:
    """Owned by the main thread."""

    make: Make
    image: Path
    folder: Path
    sockets: Path
    children: Children
    narrator: Narrator
    boot_id: str = ""
    _tpm: Child | None = field(default=None, repr=False)
    _qemu: Child | None = field(default=None, repr=False)
    _door: socket.socket | None = field(default=None, repr=False)
    _heard: bytes = field(default=b"", repr=False)
    _lines: list[str] = field(default_factory=list, repr=False)
    _commands: int = 0
    _spent_s: float = 0.0

    def manufacture(self) -> None:
        """Makes the TPM with its certificate, the firmware's variables and the disk.

        Raises:
            DemoError: swtpm_setup failed, or a file of OVMF is missing.
        """
        vendor, tpm = self.folder / "vendor", self.folder / "tpm"
        for each in (vendor, tpm):
            each.mkdir(parents=True)
        (vendor / "localca.conf").write_text(
            f"statedir = {vendor}\nsigningkey = {vendor}/signing.key\nissuercert = {vendor}/issuer.pem\n"
            f"certserial = {vendor}/serial\n",
            encoding="utf-8",
        )
        (vendor / "localca.options").write_text(
            "--platform-manufacturer Example\n--platform-version 1\n--platform-model Board\n", encoding="utf-8"
        )
        (vendor / "setup.conf").write_text(
            f"create_certs_tool = {find_program('swtpm_localca')}\ncreate_certs_tool_config = {vendor}/localca.conf\n"
            f"create_certs_tool_options = {vendor}/localca.options\nactive_pcr_banks = {','.join(self.make.banks)}\n",
            encoding="utf-8",
        )
        command = [find_program("swtpm_setup"), "--tpm2", "--tpmstate", str(tpm), "--create-ek-cert", "--lock-nvram"]
        command += ["--overwrite", "--config", str(vendor / "setup.conf"), "--vmid", self.make.name]
        command += ["--pcr-banks", ",".join(self.make.banks), "--logfile", str(tpm / "setup.log")]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_SETUP_S, stdin=subprocess.DEVNULL)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            log = (tpm / "setup.log").read_text(encoding="utf-8") if (tpm / "setup.log").exists() else ""
            raise DemoError(f"swtpm_setup: {error}\n{log[-1500:]}") from error
        _, variables = firmware(self.make)
        shutil.copyfile(variables, self.folder / "variables.fd")
        disk = self.folder / "disk.img"
        if self.make.boot is Boot.GRUB:
            write_boot_disk(self.image, self.make.command_line, disk)
        else:
            copy = ["cp", "--sparse=always", "--reflink=auto", str(self.image / "disk.img"), str(disk)]
            subprocess.run(copy, check=True)

    @property
    def vendor_root(self) -> Path:
        """Root certificate of the TPM's manufacturer."""
        return self.folder / "vendor" / "swtpm-localca-rootca-cert.pem"

    @property
    def vendor_issuer(self) -> Path:
        """The certificate below it."""
        return self.folder / "vendor" / "issuer.pem"

    @property
    def console(self) -> Path:
        """The output of firmware and kernel on the serial port."""
        return self.folder / "console"

    def switch_on(self) -> None:
        """Starts TPM and board; :meth:`wait_booted` waits until the guest answers."""
        tpm_socket, door, qmp = (self.sockets / name for name in ("tpm", "door", "qmp"))
        for each in (tpm_socket, door, qmp):
            each.unlink(missing_ok=True)
        self._tpm = self.children.start(
            f"{self.make.name}-tpm",
            (*_SWTPM, "--tpmstate", f"dir={self.folder / 'tpm'}", "--ctrl", f"type=unixio,path={tpm_socket}"),
            essential=True,
        )
        self.narrator.wait("swtpm", tpm_socket.exists, 10)
        self._qemu = self.children.start(
            f"{self.make.name}-qemu", board_command(self.make, self.image, self.folder, self.sockets)
        )
        self.narrator.wait("QEMU", lambda: self._open_door(door), 30)

    @property
    def processor_s(self) -> float:
        """Processor time of all boards so far, in seconds of this host."""
        return self._spent_s + self._board_s

    @property
    def _board_s(self) -> float:
        """Of the running one (proc_pid_stat(5), fields 14 and 15)."""
        if self._qemu is None:
            return 0.0
        fields = Path(f"/proc/{self._qemu.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def _open_door(self, path: Path) -> bool:
        if self._qemu is not None:
            self.children.check(self._qemu)
        door = socket.socket(socket.AF_UNIX)
        try:
            door.connect(str(path))
        except OSError:
            door.close()
            return False
        door.settimeout(0)
        self._door, self._heard, self._lines = door, b"", []
        return True

    def wait_booted(self) -> None:
        """Until the guest of a new boot answers.

        Raises:
            DemoError: it does not; with the end of its console.
        """
        before, self.boot_id = self.boot_id, ""

        def booted() -> bool:
            for line in self._hear():
                word, _, boot_id = line.partition(" ")
                if word == "ready" and boot_id != before:
                    self.boot_id = boot_id
            return bool(self.boot_id)

        try:
            self.narrator.wait(f"{self.make.name}: the guest boots", booted, BOOT_S)
        except DemoError as error:
            tail = self.console.read_bytes()[-1500:].decode("utf-8", "replace") if self.console.exists() else ""
            raise DemoError(f"{error}; the end of its console:\n{tail}") from error

    def run(self, command: str, *, seconds: float = COMMAND_S) -> Answer:
        """Runs a shell command in the guest as root.

        Raises:
            DemoError: no answer in time.
        """
        number = self._say(command)
        answers: list[Answer] = []

        def answered() -> bool:
            for line in self._hear():
                parts = line.split(" ")
                if parts[0] == str(number):
                    text = base64.b64decode(parts[2] if len(parts) > 2 else "").decode("utf-8", "replace")  # noqa: PLR2004 number, status, output
                    answers.append(Answer(status=int(parts[1]), output=text))
            return bool(answers)

        self.narrator.wait(f"{self.make.name}: {command[:60]!r}", answered, seconds)
        return answers[0]

    def must(self, command: str, *, seconds: float = COMMAND_S) -> str:
        """Runs a shell command that has to work; returns its output.

        Raises:
            DemoError: it failed.
        """
        answer = self.run(command, seconds=seconds)
        if answer.status:
            raise DemoError(f"in {self.make.name}, {command!r} ended with {answer.status}:\n{answer.output[-2000:]}")
        return answer.output

    def put(self, files: Mapping[str, bytes]) -> None:
        """Writes files in the guest, world-readable."""
        commands = ["umask 022"]
        for path, content in files.items():
            commands.append(f"base64 -d >{path} <<<'{base64.b64encode(content).decode()}' || exit 1")
        self.must("\n".join(commands))

    def fetch(self, path: str) -> bytes:
        """Reads a file of the guest."""
        return base64.b64decode(self.must(f"base64 -w0 {path}"))

    def reboot(self) -> None:
        """In order, as an operator does it; returns when the guest is there again.

        Board and TPM are new processes afterwards: in a QEMU that is reset, what was translated for the kernel before
        makes the next one's decompression take a minute or two, without KVM.

        Raises:
            DemoError: the guest did not go down or did not come back.
        """
        board, tpm = self._qemu, self._tpm
        if board is None or tpm is None:
            raise DemoError(f"{self.make.name} is off")
        self._say("systemctl reboot")
        spent_s = 0.0

        def is_down() -> bool:
            nonlocal spent_s
            if not _is_running(board):
                return True
            spent_s = self._board_s
            return False

        self.narrator.wait(f"{self.make.name}: the guest goes down", is_down, DOWN_S)
        self._spent_s += spent_s
        self._close_door()
        board.process.wait()
        self.children.running.remove(board)
        self.narrator.wait("swtpm ends with its board", lambda: tpm.process.poll() is not None, 30)
        self.children.running.remove(tpm)
        self.switch_on()
        self.wait_booted()

    def cut_power(self) -> None:
        """Board and TPM lose their power at once: no TPM2_Shutdown, no unmounting."""
        self._close_door()
        self._spent_s += self._board_s
        for child in (self._qemu, self._tpm):
            if child is not None:
                child.process.kill()
                child.process.wait()
                self.children.running.remove(child)
        self._qemu = self._tpm = None

    def suspend(self, asleep_s: float) -> str:
        """To RAM and back; returns what went wrong, or nothing."""
        before = self.must("cat /sys/power/suspend_stats/success")
        if "mem" not in self.must("cat /sys/power/state"):
            return "the guest's kernel offers no suspend to RAM"
        self._say("sleep 1; echo deep >/sys/power/mem_sleep; echo mem >/sys/power/state")
        deadline_s = time.monotonic() + 30
        while self._status() != "suspended":
            if time.monotonic() > deadline_s:
                return "the guest did not fall asleep"
            self.narrator.check()
            time.sleep(0.2)
        time.sleep(asleep_s)
        self.board("system_wakeup")
        try:
            after = self.must("cat /sys/power/suspend_stats/success", seconds=60)
        except DemoError:
            return "the guest did not wake up"
        return "" if int(after) == int(before) + 1 else f"{before} suspends before, {after} after"

    def _status(self) -> str:
        answer = self.board("query-status")
        return str(answer.get("status")) if isinstance(answer, dict) else ""

    def board(self, command: str) -> object:
        """A QMP command; returns what it returned.

        Raises:
            DemoError: QEMU refused it.
        """
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(str(self.sockets / "qmp"))
            with line.makefile("rw", encoding="utf-8") as stream:
                stream.readline()
                _ask(stream, "qmp_capabilities")
                return _ask(stream, command)

    def switch_off(self) -> None:
        """Whatever state it is in."""
        self._close_door()
        children = [child for child in (self._qemu, self._tpm) if child is not None and child in self.children.running]
        self.children.stop(children)
        self._qemu = self._tpm = None

    def _say(self, command: str) -> int:
        if self._door is None:
            raise DemoError(f"{self.make.name} is off")
        self._commands += 1
        line = f"{self._commands} {base64.b64encode(command.encode()).decode()}\n".encode()
        self._door.settimeout(30)
        try:
            self._door.sendall(line)
        except OSError as error:
            raise DemoError(f"{self.make.name}: {error}") from error
        finally:
            self._door.settimeout(0)
        return self._commands

    def _hear(self) -> list[str]:
        """Whole lines that came since the last time."""
        if self._qemu is not None:
            self.children.check(self._qemu)
        with contextlib.suppress(BlockingIOError):
            while self._door is not None and (got := self._door.recv(_RECEIVE_BYTES)):
                self._heard += got
        *lines, self._heard = self._heard.split(b"\n")
        return [line.decode("ascii", "replace") for line in lines]

    def _close_door(self) -> None:
        if self._door is not None:
            self._door.close()
            self._door = None


def _is_running(child: Child) -> bool:
    """Not reaped here: as long as it is not, what it used can be read."""
    return not os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)


def _ask(stream: TextIO, command: str) -> object:
    """One QMP command; events in between are nobody's."""
    stream.write(json.dumps({"execute": command}) + "\n")
    stream.flush()
    answer = json.loads(stream.readline())
    while "event" in answer:
        answer = json.loads(stream.readline())
    if "error" in answer:
        raise DemoError(f"QEMU: {command}: {answer['error']}")
    return answer.get("return")
