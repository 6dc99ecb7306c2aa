"""One device: a software TPM, a measuring kernel and an attester agent, which reboot together."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.demo.layout import RunDirectory
from deploy.demo.machine.firmware_log import Firmware
from deploy.demo.machine.kernel import Kernel
from deploy.demo.narrator import Narrator
from deploy.demo.processes import Child, Children, python_command
from schemas.identifiers import Ueid

PATIENCE_S: Final = 20.0
BACKDOOR: Final = "#!/bin/sh\n# Nobody vouched for this file.\nexec nc -l 4444 -e /bin/sh\n"


@dataclass(slots=True, kw_only=True)
class Device:
    """One device. Owned by the main thread.

    Attributes:
        number: from 1.
        ak_algorithm: of its attesting key.
        directory: its logs, its TPM's state, its agent's files.
        files: for its kernel to measure, in order.
        ueid: None until the device is provisioned.
    """

    number: int
    ak_algorithm: str
    directory: Path
    socket: Path
    files: Sequence[Path]
    ueid: Ueid | None = None
    kernel: Kernel | None = field(default=None, repr=False)
    tpm: Child | None = field(default=None, repr=False)
    agent: Child | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """For people, in topics and in file names."""
        return f"device-{self.number}"

    @property
    def tcti(self) -> str:
        """How to reach its TPM."""
        return f"swtpm:path={self.socket}"

    @property
    def configuration(self) -> Path:
        """Its agent's."""
        return self.directory / "agent.toml"

    def switch_on(self, children: Children) -> None:
        """Starts the TPM with TPM2_Startup(CLEAR); the TPM may need a moment to answer."""
        state = self.directory / "tpm"
        state.mkdir(exist_ok=True)
        for path in (self.socket, self._control):
            path.unlink(missing_ok=True)
        command: tuple[str, ...] = ("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}")
        command += ("--server", f"type=unixio,path={self.socket}", "--ctrl", f"type=unixio,path={self._control}")
        command += ("--flags", "not-need-init,startup-clear", "--log", f"file={state / 'swtpm.log'},level=1")
        self.tpm = children.start(f"tpm-{self.number}", command, essential=True)

    @property
    def is_on(self) -> bool:
        """Whether its TPM accepts commands."""
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(str(self.socket)) == 0

    def boot(self, firmware: Firmware, narrator: Narrator) -> None:
        """Firmware and kernel start and measure, once the TPM answers.

        Raises:
            DemoError: it does not, or does not do what the recorded one did.
        """
        narrator.wait(f"TPM of {self.name}", lambda: self.is_on, PATIENCE_S)
        self.kernel = Kernel(self.tcti, self.directory, self.files)
        self.kernel.boot(firmware)

    def start_agent(self, children: Children) -> None:
        """Starts its attester agent."""
        command = python_command("attester_agent", "run", "--config", self.configuration)
        self.agent = children.start(f"attester-{self.number}", command)

    def stop_agent(self, children: Children) -> None:
        """Stops its attester agent."""
        if self.agent is not None:
            children.stop([self.agent])
            self.agent = None

    def reboot(self, children: Children, firmware: Firmware, narrator: Narrator) -> None:
        """Switches everything off in order, and on again: a new boot with new logs.

        Raises:
            DemoError: something did not start again.
        """
        self.stop_agent(children)
        if self.kernel is not None:
            self.kernel.halt(orderly=True)
            self.kernel = None
        if self.tpm is not None:
            children.stop([self.tpm])
        self.switch_on(children)
        self.boot(firmware, narrator)
        self.start_agent(children)

    def tamper(self) -> Path:
        """Installs and runs a program without a reference value; returns its path."""
        path = self.directory / "backdoor"
        path.write_text(BACKDOOR, encoding="utf-8")
        if self.kernel is not None:
            self.kernel.run_program(path)
        return path

    @property
    def _control(self) -> Path:
        return self.socket.with_name(self.socket.name + ".ctrl")


def make_devices(run: RunDirectory, count: int, files: Sequence[Path]) -> tuple[Device, ...]:
    """The devices of one run, switched off; each measures the files in another order."""
    devices = []
    for number in range(1, count + 1):
        directory = run.devices / str(number)
        directory.mkdir()
        start = len(files) * (number - 1) // count
        devices.append(
            Device(
                number=number,
                ak_algorithm="rsa" if number == count else "ecc",
                directory=directory,
                socket=run.sockets / f"tpm-{number}",
                files=(*files[start:], *files[:start]),
            )
        )
    return tuple(devices)
