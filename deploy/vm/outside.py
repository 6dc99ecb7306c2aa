"""Everything around the machine, on this host's loopback: broker, TSA, handle distributor, endorser, verifier.

Each runs as the process that an operator would start, with its own configuration file. ``heard`` holds the messages
that any subscriber receives, with the times of receipt: the raw material of recorded fixtures.
"""

import os
import queue
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.demo import broker
from deploy.demo.configuration import toml
from deploy.demo.embedded_tsa import ROOT_FILE, create_authority
from deploy.demo.layout import RunDirectory
from deploy.demo.narrator import Narrator
from deploy.demo.problem import DemoError
from deploy.demo.processes import Children, python_command
from deploy.vm.machine import Machine
from endorser.reference_sets import from_attester, from_packages, sign, write_learned
from endorser.signed_files import publish_files, statement
from relying_party.result_board import Standing
from relying_party.settings import Settings
from relying_party.terminal.feed import ResultFeed
from runtime import clock
from runtime.audit_log.signer import generate_audit_log_key
from runtime.keys import generate_key_pair
from runtime.mqtt import Message, MqttConnection, MqttSettings, Session
from schemas import media_types
from schemas.codecs import cmw
from schemas.identifiers import Ueid
from schemas.media_types import Indicator
from schemas.messages.evidence import Evidence, parse_evidence
from schemas.topics import TopicKind

GOLDEN: Final = "golden"
HANDLE_EVERY_S: Final = 15
HANDLE_LIFETIME_S: Final = 120
HEARTBEAT_S: Final = 2.0
DEADLINE_S: Final = 20.0
PATIENCE_S: Final = 60.0
_DAYS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One message on the broker; ``received_us`` is UTC of this host."""

    topic: str
    payload: bytes
    received_us: int


def parse_push(heard: Heard) -> Evidence:
    """The evidence in a message, unverified."""
    return parse_evidence(cmw.unwrap(heard.payload, media_types.EVIDENCE, Indicator.EVIDENCE))


class Outside:
    """Owned by the main thread."""

    def __init__(self, run: RunDirectory, children: Children, narrator: Narrator) -> None:
        """Starts nothing."""
        self.run: Final = run
        self.heard: Final[list[Heard]] = []
        self.port = 0
        self._children = children
        self._narrator = narrator
        self._arrived: queue.Queue[Heard] = queue.Queue()
        self._ear: MqttConnection | None = None
        self._feed: ResultFeed | None = None

    def start(self, machine: Machine) -> None:
        """Starts all but the verifier, which needs a policy.

        Raises:
            DemoError: something did not start.
        """
        self.run.make()
        for name in ("endorser", "distributor", "verifier"):
            generate_key_pair(self.run.private_key(name))
        generate_audit_log_key(self.run.private_key("audit"))
        self._start_broker()
        create_authority(self.run.tsa)
        tsa_port = broker.free_port()
        self._start("tsa", python_command("deploy.demo.embedded_tsa", "--directory", self.run.tsa, "--port", tsa_port))
        self._narrator.wait("Time Stamp Authority", lambda: broker.accepts(tsa_port), PATIENCE_S)
        path = self._write(
            self.run.distributor / "distributor.toml",
            {
                "": {
                    "name": "clock",
                    "signing_key": str(self.run.private_key("distributor")),
                    "state_file": "handle.cose",
                    "interval_s": HANDLE_EVERY_S,
                    "lifetime_s": HANDLE_LIFETIME_S,
                },
                "tsa": {"urls": [f"http://{broker.HOST}:{tsa_port}/"], "roots": [str(self.run.tsa / ROOT_FILE)]},
            },
        )
        self._start("handle-distributor", python_command("handle_distributor", "run", "--config", path))
        path = self._write(
            self.run.signed / "endorser.toml",
            {
                "": {"signing_key": str(self.run.private_key("endorser")), "registry": "registry.db", "group": "vm"},
                "vendors": {"intermediates": [str(machine.vendor_issuer)]},
                "vendors.roots": {"maker": str(machine.vendor_root)},
                "approve": {"roots": ["maker"]},
            },
        )
        self._start("endorser", python_command("endorser", "serve", "--config", path))
        self.wait_heard("first handle", lambda each: self.kind(each) is TopicKind.HANDLES)

    def start_verifier(self, pcrs: str) -> None:
        """Starts the verifier worker: logs must explain PCRs 0 to 10, and be good."""
        (self.run.verifier / "policy.toml").write_text(
            toml(
                {
                    "": {
                        "id": "vm",
                        "version": 1,
                        "pcrs": pcrs,
                        "reference_values": [GOLDEN],
                        "deadline_s": DEADLINE_S,
                        "result_lifetime_s": 120,
                        "max_age_s": 2 * HANDLE_LIFETIME_S,
                        "drift_ppm": 150_000,
                    },
                    "logs": {"tcg2": list(range(10)), "ima": [10]},
                }
            ),
            encoding="utf-8",
        )
        path = self._write(
            self.run.verifier / "verifier.toml",
            {
                "": {
                    "name": "verifier-1",
                    "signing_key": str(self.run.private_key("verifier")),
                    "database": "state.db",
                    "audit_log": "audit",
                    "policy": "policy.toml",
                },
                "audit": {"signing_key": str(self.run.private_key("audit"))},
                "trust": {
                    "endorser_keys": [str(self.run.public_key("endorser"))],
                    "distributor_keys": [str(self.run.public_key("distributor"))],
                    "tsa_roots": [str(self.run.tsa / ROOT_FILE)],
                },
            },
        )
        self._start("verifier", python_command("verifier_worker", "run", "--config", path))

    def publish_golden(self, ueid: Ueid, image: Path, pcrs: str) -> int:
        """Learns what is good, from the device's own evidence and the image's packages, and publishes it.

        Args:
            ueid: of the device.
            image: folder of the image, whose packages are as they should be.
            pcrs: which registers to learn.

        Returns:
            how many files are acceptable.
        """
        public, signed = self.run.public_key("endorser"), self.run.signed
        evidence = signed / "evidence"
        evidence.mkdir(exist_ok=True)
        topic = MqttSettings().topics.evidence(ueid)
        for number, each in enumerate(heard for heard in self.heard if heard.topic == topic):
            (evidence / f"{number:05}").write_bytes(each.payload)
        endorsement = next(each for each in self.heard if self.kind(each) is TopicKind.ENDORSEMENTS)
        raw = cmw.unwrap(endorsement.payload, media_types.SIGNED_CORIM, Indicator.ENDORSEMENTS)
        (signed / "device.endorsement").write_bytes(raw)
        learned = from_attester(ueid, [evidence], signed / "device.endorsement", [public], pcrs)
        write_learned(learned, signed / "device.txt")
        packaged = image / "packages.txt"
        if not packaged.exists():  # made elsewhere: another run may write the same file at the same time
            write_learned(from_packages(image / "root", []), signed / packaged.name)
            own = packaged.with_name(f".{packaged.name}.{os.getpid()}")
            shutil.copyfile(signed / packaged.name, own).replace(packaged)
        made = sign(
            statement("endorser", "auto", _DAYS),
            GOLDEN,
            [signed / "device.txt", packaged],
            key=self.run.private_key("endorser"),
            file_keys=[],
            overlap=None,
            max_bytes=16_000_000,
            out=signed / f"{GOLDEN}.corim",
        )
        publish_files(self._mqtt, [public], [path for _, path, _ in made])
        return sum(not line.startswith(("#", "sha")) for line in packaged.read_text(encoding="utf-8").splitlines())

    @property
    def _mqtt(self) -> MqttSettings:
        return MqttSettings(host=broker.HOST, port=self.port)

    def kind(self, heard: Heard) -> TopicKind | None:
        """The kind of a message's topic."""
        return self._mqtt.topics.kind_of(heard.topic)

    def listen(self) -> None:
        """Takes in what arrived since the last time."""
        while not self._arrived.empty():
            self.heard.append(self._arrived.get_nowait())

    def wait_heard(self, what: str, wanted: Callable[[Heard], bool], patience_s: float = PATIENCE_S) -> Heard:
        """The first message from now on, or of before, that is wanted."""
        found: list[Heard] = []

        def heard() -> bool:
            self.listen()
            found.extend(each for each in self.heard if wanted(each))
            return bool(found)

        self._narrator.wait(what, heard, patience_s)
        return found[0]

    def wait_result(self, what: str, wanted: Callable[[Standing], bool], patience_s: float = PATIENCE_S) -> Standing:
        """The next result that is wanted.

        Raises:
            DemoError: none came in time; with what came instead.
        """
        if self._feed is None:
            raise DemoError("the broker was not started")
        feed, found = self._feed, list[Standing]()
        last: list[Standing] = []

        def came() -> bool:
            self.listen()
            self._children.revive()
            for standing in feed.drain(0.0):
                last[:] = [standing]
                if wanted(standing):
                    found.append(standing)
            return bool(found)

        try:
            self._narrator.wait(what, came, patience_s)
        except DemoError as error:
            said = "no result at all"
            if last:
                shown = last[0]
                said = f"{shown.status}, {shown.freshness}, {', '.join(shown.reasons)} {shown.result.unexpected[:5]}"
            raise DemoError(f"{error}; the last result: {said}") from error
        return found[-1]

    def stop(self) -> None:
        """Disconnects; the processes are the children's to stop."""
        for connection in (self._feed, self._ear):
            if connection is not None:
                connection.stop()

    def _start_broker(self) -> None:
        self.port = broker.free_port()
        path = broker.write_configuration(self.run.broker, self.port)
        self._children.start("mosquitto", ("mosquitto", "-c", str(path)), essential=True)
        self._narrator.wait("broker", lambda: broker.accepts(self.port), PATIENCE_S)
        topics = self._mqtt.topics
        filters = (
            topics.all_handles,
            topics.all_evidence,
            topics.all_endorsements,
            f"{topics.root}/reference-values/+",
        )
        session = Session(client_id="ear", subscriptions=filters)
        self._ear = MqttConnection(self._mqtt, session, on_message=self._hear)
        self._ear.start()
        self._feed = ResultFeed(Settings(verifier_keys=(self.run.public_key("verifier"),), mqtt=self._mqtt))
        self._feed.start()

    def _hear(self, message: Message) -> None:
        self._arrived.put(Heard(topic=message.topic, payload=message.payload, received_us=clock.utc_us()))

    def _start(self, name: str, command: tuple[str, ...]) -> None:
        self._children.start(name, command)

    def _write(
        self, path: Path, tables: Mapping[str, Mapping[str, str | int | float | bool | list[str] | list[int]]]
    ) -> Path:
        path.write_text(toml({**tables, "mqtt": {"host": broker.HOST, "port": self.port}}), encoding="utf-8")
        return path
