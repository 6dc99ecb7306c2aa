"""Sets the whole system up, performs the steps of the scenario, and takes the system down.

The main thread owns everything. :meth:`Stage.take_down` leaves no process behind, whatever happened before.
"""

from pathlib import Path
from typing import Final

from deploy.demo import broker, configuration, endorsing
from deploy.demo.embedded_tsa import create_authority
from deploy.demo.layout import RunDirectory
from deploy.demo.machine.device import PATIENCE_S, Device, make_devices
from deploy.demo.machine.firmware_log import Firmware, parse_registers
from deploy.demo.narrator import Narrator
from deploy.demo.problem import DemoError
from deploy.demo.processes import Child, Children, python_command
from deploy.demo.reference_files import choose_files, digests_of
from deploy.demo.scenario.observer import Observer, newer_clock, replayable
from deploy.demo.scenario.outcomes import History
from deploy.demo.scenario.plan import Action, Step
from relying_party.settings import Settings
from relying_party.terminal.feed import ResultFeed
from runtime.audit_log.signer import generate_audit_log_key
from runtime.keys import generate_key_pair
from runtime.mqtt import MqttSettings
from schemas.topics import TopicKind

FIRMWARE: Final = Path(__file__).with_name("firmware")
PROVISIONING_S: Final = 120.0
_PORT_ATTEMPTS: Final = 5


class Stage:
    """One running system."""

    def __init__(
        self, run: RunDirectory, narrator: Narrator, *, attesters: int, port: int | None, dashboard: bool = False
    ) -> None:
        """Starts nothing.

        Args:
            run: the folders.
            narrator: prints lines.
            attesters: how many devices.
            port: of the broker; None chooses a free one.
            dashboard: whether to serve the web page.
        """
        self.run: Final = run
        self.children: Final = Children(run.logs)
        self.devices: tuple[Device, ...] = ()
        self.port = port or 0
        self._fixed_port = port is not None
        self._narrator = narrator
        self._attesters = attesters
        self._with_dashboard = dashboard
        self.dashboard_url = ""
        self._firmware = Firmware(
            boot_log=(FIRMWARE / "binary_bios_measurements").read_bytes(),
            registers=parse_registers((FIRMWARE / "pcrs.txt").read_text(encoding="utf-8")),
        )
        self._tsa_url = ""
        self._feed: ResultFeed | None = None
        self._observer: Observer | None = None

    def set_up(self) -> None:
        """Starts everything; returns when all agents run.

        Raises:
            DemoError: something did not start.
            StoppedError: a stop was requested.
        """
        step = self._narrator.step
        self.run.make()
        for name in ("endorser", "distributor", "verifier"):
            generate_key_pair(self.run.private_key(name))
        generate_audit_log_key(self.run.private_key("audit"))
        with step("Broker (mosquitto)"):
            self._start_broker()
        with step("Time Stamp Authority and handle distributor"):
            self._start_distributor()
        with step("Reference values: recorded firmware, and real files of this machine"):
            self._publish_reference_values()
        with step("Verifier"):
            self._start_verifier()
        if self._with_dashboard:
            with step("Dashboard"):
                self._start_dashboard()
        with step(f"{self._attesters} devices: TPM (swtpm), recorded firmware, kernel"):
            self._boot_devices()
        with step("Attesting keys in the TPMs, and their endorsements"):
            self._provision()
        with step("Attester agents"):
            for device in self.devices:
                device.start_agent(self.children)

    def take_down(self) -> None:
        """Stops everything."""
        try:
            for connection in (self._feed, self._observer):
                if connection is not None:
                    connection.stop()
            self.children.stop([device.agent for device in self.devices if device.agent is not None])
            # Before the TSA: it must still stamp the verifier's last checkpoint.
            self.children.stop([child for child in self.children.running if child.name == "verifier"])
            for device in self.devices:
                if device.kernel is not None:
                    device.kernel.halt(orderly=False)
        finally:
            self.children.stop_all()

    @property
    def is_observing(self) -> bool:
        """Whether :attr:`feed` and :attr:`observer` exist."""
        return self._feed is not None and self._observer is not None

    @property
    def feed(self) -> ResultFeed:
        """The results topic; exists once the broker was started."""
        if self._feed is None:
            raise DemoError("the broker was not started")
        return self._feed

    @property
    def observer(self) -> Observer:
        """Watches the other topics; exists once the broker was started."""
        if self._observer is None:
            raise DemoError("the broker was not started")
        return self._observer

    def look_after(self) -> list[str]:
        """Restarts processes that somebody killed; returns their names.

        Raises:
            DemoError: a process ended unexpectedly.
        """
        for device in self.devices:
            if device.kernel is not None and device.kernel.failure is not None:
                raise DemoError(f"{device.name}: {device.kernel.failure}")
        return self.children.revive()

    def perform(self, step: Step, history: History) -> bool:
        """Performs one step of the scenario.

        Args:
            step: the step.
            history: of its device; the caller notes the action there.

        Returns:
            False if it is not possible yet, because there is no evidence to replay.
        """
        device = self.devices[step.device - 1]
        match step.action:
            case Action.TAMPER:
                history.planted = str(device.tamper())
            case Action.REBOOT:
                device.reboot(self.children, self._firmware, self._narrator)
            case Action.SILENCE:
                device.stop_agent(self.children)
            case Action.REPLAY | Action.FORGE | Action.CROSS:
                return self._publish_as_stranger(step.action, device)
        return True

    def _start_broker(self) -> None:
        for _ in range(1 if self._fixed_port else _PORT_ATTEMPTS):
            if not self._fixed_port:
                self.port = broker.free_port()
            if broker.accepts(self.port):
                continue
            path = broker.write_configuration(self.run.broker, self.port)
            child = self.children.start("mosquitto", ("mosquitto", "-c", str(path)))
            self._wait_until_it_answers("broker", child, self.port)
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
        self._tsa_url = f"http://{broker.HOST}:{tsa_port}/"
        command = python_command("deploy.demo.embedded_tsa", "--directory", self.run.tsa, "--port", tsa_port)
        child = self.children.start("tsa", command)
        self._wait_until_it_answers("Time Stamp Authority", child, tsa_port)
        path = configuration.write_distributor(self.run, self.port, self._tsa_url)
        self.children.start("handle-distributor", python_command("handle_distributor", "run", "--config", path))
        self._narrator.wait("first handle", lambda: self.observer.counts().get(TopicKind.HANDLES, 0) > 0, PATIENCE_S)

    def _publish_reference_values(self) -> None:
        files = choose_files()
        self.devices = make_devices(self.run, self._attesters, files)
        endorsing.publish_reference_values(self.run, self.port, FIRMWARE / "pcrs.txt", digests_of(files))

    def _start_verifier(self) -> None:
        path = configuration.write_verifier(self.run, self.port, self._tsa_url)
        self.children.start("verifier", python_command("verifier_worker", "run", "--config", path))

    def _start_dashboard(self) -> None:
        web_port = broker.free_port()
        path = configuration.write_dashboard(self.run, self.port, web_port)
        child = self.children.start("dashboard", python_command("relying_party", "dashboard", "--config", path))
        self._wait_until_it_answers("dashboard", child, web_port)
        self.dashboard_url = f"http://{broker.HOST}:{web_port}/"

    def _boot_devices(self) -> None:
        for device in self.devices:
            device.switch_on(self.children)
        for device in self.devices:
            device.boot(self._firmware, self._narrator)

    def _provision(self) -> None:
        children = []
        for device in self.devices:
            path = configuration.write_device(self.run, device, self.port)
            command = python_command("attester_agent", "provision", "--config", path, "--out", device.directory)
            children.append(self.children.start(f"provision-{device.number}", command))
        self._narrator.wait("attesting keys", lambda: self.children.all_ended(children), PROVISIONING_S)
        endorsing.publish_endorsements(self.run, self.port, self.devices)

    def _wait_until_it_answers(self, what: str, child: Child, port: int) -> None:
        def answers() -> bool:
            self.children.check(child)
            return broker.accepts(port)

        self._narrator.wait(what, answers, PATIENCE_S)

    def _publish_as_stranger(self, action: Action, device: Device) -> bool:
        victim, other = device.ueid, self.devices[device.number % len(self.devices)].ueid
        if victim is None or other is None:
            return False
        old = replayable(self.observer.evidence_of(other if action is Action.CROSS else victim))
        if old is None:
            return False
        return self.observer.publish_as(victim, newer_clock(old) if action is Action.FORGE else old)
