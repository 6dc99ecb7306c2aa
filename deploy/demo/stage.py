"""Sets the whole system up, does to it what the story says, and takes it down again.

Everything is owned by the main thread. Whatever happens between :meth:`Stage.set_up` and :meth:`Stage.take_down`, the
latter leaves no process behind.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.demo import broker, configuration, endorsing
from deploy.demo.device import PATIENCE_S, Device, make_devices
from deploy.demo.embedded_tsa import create_authority
from deploy.demo.firmware_log import Firmware, parse_registers
from deploy.demo.layout import RunDirectory
from deploy.demo.observer import Observer, newer_clock, replayable
from deploy.demo.outcomes import History
from deploy.demo.problem import DemoError
from deploy.demo.processes import Child, Children, python_command
from deploy.demo.progress import Progress
from deploy.demo.reference_files import choose_files, digests_of
from deploy.demo.scenario import Act, Deed
from relying_party.settings import Settings
from relying_party.watch import ResultFeed
from runtime.keys import generate_key_pair
from runtime.mqtt import MqttSettings
from schemas.evidence import encode_evidence

FIRMWARE: Final = Path(__file__).with_name("firmware")
PROVISIONING_S: Final = 120.0
_PORT_ATTEMPTS: Final = 5


class Stage:
    """One running system."""

    def __init__(self, run: RunDirectory, progress: Progress, *, attesters: int, port: int | None) -> None:
        """Starts nothing.

        Args:
            run: where files go.
            progress: where to say what is going on.
            attesters: how many devices.
            port: of the broker; None for a free one.
        """
        self.run: Final = run
        self.children: Final = Children(run.logs)
        self.devices: tuple[Device, ...] = ()
        self.port = port or 0
        self._fixed_port = port is not None
        self._progress = progress
        self._attesters = attesters
        self._firmware = Firmware(
            boot_log=(FIRMWARE / "binary_bios_measurements").read_bytes(),
            registers=parse_registers((FIRMWARE / "pcrs.txt").read_text(encoding="utf-8")),
        )
        self._feed: ResultFeed | None = None
        self._observer: Observer | None = None

    def set_up(self) -> None:
        """Starts everything; returns when all agents run.

        Raises:
            DemoError: something did not start.
            StoppedError: a stop was requested.
        """
        step = self._progress.step
        self.run.make()
        for name in ("endorser", "distributor", "verifier"):
            generate_key_pair(self.run.private_key(name))
        with step("Broker (mosquitto)"):
            self._start_broker()
        with step("Time Stamp Authority and handle distributor"):
            self._start_distributor()
        with step("Reference values: recorded firmware, and real files of this machine"):
            self._publish_reference_values()
        with step("Verifier"):
            self._start_verifier()
        with step(f"{self._attesters} devices: TPM (swtpm), recorded firmware, kernel"):
            self._boot_devices()
        with step("Attesting keys in the TPMs, and their endorsements"):
            self._provision()
        with step("Attester agents"):
            for device in self.devices:
                device.start_agent(self.children)

    def take_down(self) -> None:
        """Stops everything that was started."""
        for connection in (self._feed, self._observer):
            if connection is not None:
                connection.stop()
        for device in self.devices:
            device.stop_agent(self.children)
        for device in self.devices:
            if device.kernel is not None:
                device.kernel.halt(orderly=False)
        self.children.stop_all()

    @property
    def feed(self) -> ResultFeed:
        """The results topic."""
        return _started(self._feed)

    @property
    def observer(self) -> Observer:
        """Counts of the other topics."""
        return _started(self._observer)

    def look_after(self) -> list[str]:
        """Starts again what somebody killed; returns the names.

        Raises:
            DemoError: something ended that should not have.
        """
        for device in self.devices:
            if device.kernel is not None and device.kernel.failure is not None:
                raise DemoError(f"{device.name}: {device.kernel.failure}")
        return self.children.revive()

    def perform(self, act: Act, history: History) -> bool:
        """Does what the story says.

        Args:
            act: what to do.
            history: of its device; what was done is noted there by the caller.

        Returns:
            False when it cannot be done yet, because there is no evidence to replay.
        """
        device = self.devices[act.device - 1]
        match act.deed:
            case Deed.TAMPER:
                history.planted = str(device.tamper())
            case Deed.REBOOT:
                device.reboot(self.children, self._firmware, self._progress)
            case Deed.SILENCE:
                device.stop_agent(self.children)
            case Deed.REPLAY | Deed.FORGE | Deed.CROSS:
                return self._publish_as_stranger(act.deed, device)
        return True

    def _start_broker(self) -> None:
        for _ in range(1 if self._fixed_port else _PORT_ATTEMPTS):
            if not self._fixed_port:
                self.port = broker.free_port()
            if broker.accepts(self.port):
                continue
            path = broker.write_configuration(self.run.broker, self.port)
            child = self.children.start("mosquitto", ("mosquitto", "-c", str(path)))
            self._progress.wait("broker", lambda: self._answers(child, self.port), PATIENCE_S)
            break
        else:
            raise DemoError(f"port {self.port} of {broker.HOST} is taken; choose another one with --port")
        settings = MqttSettings(host=broker.HOST, port=self.port)
        self._observer = Observer(settings)
        self._observer.start()
        self._feed = ResultFeed(Settings(verifier_keys=(self.run.public_key("verifier"),), mqtt=settings))
        self._feed.start()

    def _start_distributor(self) -> None:
        create_authority(self.run.tsa)
        tsa_port = broker.free_port()
        command = python_command("deploy.demo.embedded_tsa", "--directory", self.run.tsa, "--port", tsa_port)
        child = self.children.start("tsa", command)
        self._progress.wait("Time Stamp Authority", lambda: self._answers(child, tsa_port), PATIENCE_S)
        path = configuration.write_distributor(self.run, self.port, f"http://{broker.HOST}:{tsa_port}/")
        self.children.start("handle-distributor", python_command("handle_distributor", "run", "--config", path))
        self._progress.wait("first handle", lambda: self.observer.counts().get("handles", 0) > 0, PATIENCE_S)

    def _publish_reference_values(self) -> None:
        files = choose_files()
        self.devices = make_devices(self.run, self._attesters, files)
        endorsing.publish_reference_values(self.run, self.port, FIRMWARE / "pcrs.txt", digests_of(files))

    def _start_verifier(self) -> None:
        path = configuration.write_verifier(self.run, self.port)
        self.children.start("verifier", python_command("verifier_worker", "run", "--config", path))

    def _boot_devices(self) -> None:
        for device in self.devices:
            device.switch_on(self.children)
        for device in self.devices:
            self._progress.wait(f"TPM of {device.name}", lambda device=device: device.is_on, PATIENCE_S)
            device.boot(self._firmware)

    def _provision(self) -> None:
        commands = {}
        for device in self.devices:
            path = configuration.write_device(self.run, device, self.port)
            arguments = ("provision", "--config", path, "--out", device.directory)
            commands[f"provision-{device.number}"] = python_command("attester_agent", *arguments)
        children = [self.children.start(name, command) for name, command in commands.items()]
        self._progress.wait("attesting keys", lambda: self.children.all_ended(children), PROVISIONING_S)
        endorsing.publish_endorsements(self.run, self.port, self.devices)

    def _answers(self, child: Child, port: int) -> bool:
        self.children.check(child)
        return broker.accepts(port)

    def _publish_as_stranger(self, deed: Deed, device: Device) -> bool:
        victim, other = device.ueid, self.devices[device.number % len(self.devices)].ueid
        if victim is None or other is None:
            return False
        old = replayable(self.observer.evidence_of(other if deed is Deed.CROSS else victim))
        if old is None:
            return False
        return self.observer.publish_as(victim, newer_clock(old) if deed is Deed.FORGE else old)
