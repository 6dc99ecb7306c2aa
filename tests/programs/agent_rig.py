"""One device on real parts: the agent as a process, swtpm, Mosquitto, openssl's TSA, and a listener."""

import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy.demo.embedded_tsa import answer, create_authority
from deploy.demo.machine.measuring import MeasuringTpm
from runtime.mqtt import Message, MqttConnection, MqttSettings, Session
from schemas.boot_log.records import parse_event, split_records
from schemas.hashes import SHA256
from schemas.identifiers import Ueid, parse_ueid_text
from schemas.messages.evidence import Evidence
from schemas.topics import TopicKind, Topics
from tests.builders.log_bytes import FIRMWARE, ima_ng
from tests.fakes.attester import HandleMint, read_payload
from tests.programs.mosquitto import Mosquitto, running_mosquitto
from tests.programs.swtpm import Swtpm, require_tool, running_swtpm
from tests.programs.waiting import PATIENCE_S

ROOT: Final = Path(__file__).resolve().parents[2]


TOPICS: Final = Topics()


@dataclass
class AgentRig:
    """One device in its folder, and someone who listens on the broker."""

    directory: Path
    tpm: Swtpm
    broker: Mosquitto
    mint: HandleMint
    heartbeat_s: float
    verifier = generate_private_key(SECP256R1())
    evidence: "queue.SimpleQueue[tuple[str, bytes]]" = field(default_factory=queue.SimpleQueue)
    status: "queue.SimpleQueue[bytes]" = field(default_factory=queue.SimpleQueue)
    measured: int = 0
    listener: MqttConnection | None = None

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        assert self.listener is not None
        assert self.listener.publish(topic, payload, retain=retain) is not None

    @property
    def config(self) -> Path:
        return self.directory / "agent.toml"

    @property
    def ima(self) -> Path:
        return self.directory / "binary_runtime_measurements"

    def write_config(self, tsa_root: Path, algorithm: str, **more: dict[str, object]) -> None:
        for name, key in (("distributor", self.mint.key), ("verifier", self.verifier)):
            pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            (self.directory / f"{name}.pub").write_bytes(pem)
        tables: dict[str, dict[str, object]] = {
            "mqtt": {"host": self.broker.host, "port": self.broker.port},
            "tpm": {"tcti": self.tpm.tcti, "ak_algorithm": algorithm},
            "evidence": {"pcrs": "sha256:0-10", "heartbeat_s": self.heartbeat_s, "log_poll_s": 0.1},
            "logs": {"ima": self.ima.name, "tcg2": "binary_bios_measurements"},
            "trust": {
                "distributor_keys": ["distributor.pub"],
                "verifier_keys": ["verifier.pub"],
                "tsa_roots": [str(tsa_root)],
            },
            **more,
        }
        lines = ['name = "device-1"', 'state = "agent.db"']
        for table, values in tables.items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        self.config.write_text("\n".join(lines), encoding="utf-8")

    def measure(self, count: int = 1) -> None:
        """As the kernel: the record first, then the PCR."""
        for _ in range(count):
            record = ima_ng(b"/usr/bin/%d" % self.measured, b"%d" % self.measured)
            with self.ima.open("ab") as file:
                file.write(record)
            digest = SHA256.digest(record[28 + len(b"ima-ng") + 4 :]).hex()
            command = [require_tool("tpm2_pcrextend"), "-Q", "-T", self.tpm.tcti, f"10:sha256={digest}"]
            subprocess.run(command, check=True)
            self.measured += 1

    def boot(self) -> int:
        """Extends the recorded boot into the TPM and puts its log in place; returns the number of entries."""
        raw = (FIRMWARE / "binary_bios_measurements").read_bytes()
        split = split_records(raw)
        firmware = MeasuringTpm(self.tpm.tcti)
        for number, record in enumerate(split.records):
            event = parse_event(record, split.format if number else None)
            digests = dict(event.digests)
            if event.extended and SHA256.tpm_id in digests:
                firmware.extend(event.pcr_index, {SHA256: digests[SHA256.tpm_id]})
        firmware.close()
        (self.directory / "binary_bios_measurements").write_bytes(raw)
        return len(split.records)

    def received(self, message: Message) -> None:
        if TOPICS.kind_of(message.topic) is TopicKind.EVIDENCE:
            self.evidence.put((message.topic, message.payload))
        else:
            self.status.put(message.payload)

    def next(self) -> Evidence:
        return read_payload(self.evidence.get(timeout=PATIENCE_S)[1])

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "attester_agent", *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=False,
            capture_output=True,
            text=True,
        )

    def provision(self) -> Ueid:
        done = self.command("provision", "--config", str(self.config), "--out", str(self.directory))
        assert done.returncode == 0, done.stderr
        return parse_ueid_text((self.directory / "attester.ueid").read_text().strip())

    @contextmanager
    def running_agent(self, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
        with (self.directory / "agent.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "attester_agent", "run", "--config", str(self.config), *options],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def openssl_stamp(directory: Path) -> Callable[[bytes, int], bytes]:
    """Asks the embedded TSA as a client of RFC 3161 does, with openssl's tools."""

    def stamp(imprint: bytes, _time_us: int) -> bytes:
        query = subprocess.run(
            ["openssl", "ts", "-query", "-digest", imprint.hex(), "-sha256", "-cert"], check=True, capture_output=True
        ).stdout
        return subprocess.run(
            ["openssl", "ts", "-reply", "-in", "/dev/stdin", "-token_out"],
            input=answer(directory, query),
            check=True,
            capture_output=True,
        ).stdout

    return stamp


@contextmanager
def agent_rig(
    directory: Path, *, heartbeat_s: float, algorithm: str = "ecc", **more: dict[str, object]
) -> Iterator[AgentRig]:
    for name in ("tpm", "broker", "tsa"):
        (directory / name).mkdir()
    root = create_authority(directory / "tsa")
    with running_swtpm(directory / "tpm") as tpm, running_mosquitto(directory / "broker") as broker:
        made = AgentRig(directory, tpm, broker, HandleMint(openssl_stamp(directory / "tsa")), heartbeat_s)
        made.write_config(root, algorithm, **more)
        listener = MqttConnection(
            MqttSettings(host=broker.host, port=broker.port),
            Session(client_id="listener", subscriptions=(TOPICS.all_evidence, TOPICS.all_status), persistent=True),
            on_message=made.received,
        )
        listener.start()
        try:
            assert listener.wait_subscribed(PATIENCE_S)
            made.listener = listener
            yield made
        finally:
            listener.stop()


def publish_handle(device: AgentRig) -> bytes:
    payload = device.mint.payload(time.time_ns() // 1000)
    device.publish(TOPICS.handles("distributor-1"), payload, retain=True)
    assert device.mint.previous is not None
    return device.mint.previous
