"""Enrolment by the commands themselves: endorser and agent processes, a real broker, real TPMs; kill -9 in between."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from attester_agent.__main__ import main as agent
from endorser.__main__ import main as endorser
from endorser.adapters.registry import Registry
from runtime.keys import load_public_keys
from schemas import media_types
from schemas.codecs import cmw
from schemas.identifiers import Ueid, parse_ueid_text
from schemas.media_types import Indicator
from schemas.messages.endorsement import Endorsement, Genuine, verify_endorsement
from schemas.messages.status import parse_unverified_status
from schemas.topics import Role, Topics
from tests.programs.mosquitto import running_mosquitto
from tests.programs.mqtt_client import Listener, listening
from tests.programs.vendor_tpm import make_vendor, vendor_tpm
from tests.programs.waiting import PATIENCE_S, stop_process

pytestmark = pytest.mark.needs("swtpm", "swtpm_setup", "swtpm_localca", "mosquitto")

ROOT = Path(__file__).resolve().parents[3]
TOPICS = Topics()


class Stage:
    """A broker, an endorser's files, two devices of one vendor."""

    def __init__(self, folder: Path, port: int, client: Listener) -> None:
        self.folder, self.client = folder, client
        self._port = port
        self._served = 0
        self._serving: subprocess.Popen[bytes] | None = None
        self.config = str(folder / "endorser.toml")
        self.ueids: list[str] = []
        assert endorser(["keygen", "--out", str(folder / "endorser.key")]) == 0
        self.keys = load_public_keys([folder / "endorser.pub"])

    def configure(self, approve: str = "") -> None:
        (self.folder / "endorser.toml").write_text(
            'signing_key = "endorser.key"\nregistry = "registry.db"\ngroup = "plant-7"\n'
            '[vendors]\nintermediates = ["vendor/issuer.pem"]\n'
            '[vendors.roots]\nswtpm = "vendor/swtpm-localca-rootca-cert.pem"\n'
            f"{approve}\n[mqtt]\nport = {self._port}\n"
        )

    def add_device(self, number: int, tcti: str) -> None:
        (self.folder / f"agent{number}.toml").write_text(
            f'state = "agent{number}.db"\n[mqtt]\nport = {self._port}\n[tpm]\ntcti = "{tcti}"\nek = "rsa"\n'
            '[trust]\ndistributor_keys = ["none.pub"]\ntsa_roots = ["none.pem"]\n'
        )
        out = self.folder / f"provisioned{number}"
        assert agent(["provision", "--config", str(self.folder / f"agent{number}.toml"), "--out", str(out)]) == 0
        self.ueids.append((out / "attester.ueid").read_text().strip())

    def serve(self) -> None:
        with (self.folder / "endorser.log").open("ab") as log:
            self._serving = subprocess.Popen(
                [sys.executable, "-m", "endorser", "serve", "--config", self.config],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stderr=log,
                stdout=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        self._served += 1
        self.client.wait_for(lambda _: self.times_online() == self._served, "the endorser's status")

    def answers(self) -> int:
        return sum(topic == TOPICS.enrolment(self.ueid()) for topic, _ in self.client.messages)

    def times_online(self) -> int:
        return sum(
            parse_unverified_status(cmw.unwrap(payload, media_types.STATUS, None)).online
            for topic, payload in self.client.messages
            if topic == TOPICS.status(Role.ENDORSER, "endorser")
        )

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._serving is not None:
            stop_process(self._serving, how, 10.0)
            self._serving = None

    def enrol(self, *options: str, number: int = 0, patience: str = "20") -> int:
        config = str(self.folder / f"agent{number}.toml")
        key = str(self.folder / "endorser.pub")
        return agent(["enrol", "--config", config, "--endorser-key", key, "--patience", patience, *options])

    def ueid(self, number: int = 0) -> Ueid:
        return parse_ueid_text(self.ueids[number])

    def endorsements(self, number: int = 0) -> list[Endorsement]:
        """What verifiers have heard of a device."""
        return [
            verify_endorsement(cmw.unwrap(payload, media_types.SIGNED_CORIM, Indicator.ENDORSEMENTS), self.keys)
            for topic, payload in self.client.messages
            if topic == TOPICS.endorsements(self.ueid(number))
        ]

    def wait_for_endorsements(self, count: int, number: int = 0) -> list[Endorsement]:
        self.client.wait_for(
            lambda _: len(self.endorsements(number)) >= count,
            f"{count} endorsements\n{(self.folder / 'endorser.log').read_text()[-2000:]}",
        )
        return self.endorsements(number)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        (tmp_path / "broker").mkdir()
        broker = stack.enter_context(running_mosquitto(tmp_path / "broker"))
        client = stack.enter_context(
            listening(broker.port, TOPICS.all_endorsements, TOPICS.all_status, f"{TOPICS.root}/enrolment/+")
        )
        stage = Stage(tmp_path, broker.port, client)
        stack.callback(stage.end)
        vendor = make_vendor(tmp_path / "vendor")
        for number in range(2):
            stage.add_device(number, stack.enter_context(vendor_tpm(tmp_path / f"tpm{number}", vendor)).tcti)
        yield stage


AUTOMATIC = '[approve]\nroots = ["swtpm"]'


def test_from_an_unboxed_device_to_what_verifiers_believe(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.configure(AUTOMATIC)
    stage.serve()
    assert stage.enrol("--name", "device-0") == 0
    assert "genuine TPM by ek-certificate" in capsys.readouterr().out
    (endorsement,) = stage.wait_for_endorsements(1)
    assert (endorsement.genuine, endorsement.group) == (Genuine.EK_CERTIFICATE, "plant-7")
    assert stage.enrol("--name", "device-0", number=1) == 1
    assert "name-taken" in capsys.readouterr().err
    assert endorser(["decommission", "--config", stage.config, stage.ueids[0], "--why", "sold"]) == 0
    ended = stage.wait_for_endorsements(2)[-1]
    assert ended.version > endorsement.version
    assert ended.not_after_s < ended.version
    assert stage.enrol() == 1
    assert "attester-decommissioned" in capsys.readouterr().err
    assert endorser(["record", "--config", stage.config]) == 0
    record = capsys.readouterr().out
    assert "by rule: root swtpm" in record
    assert "sold" in record


def test_an_operator_approves_while_the_device_waits(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.configure()
    stage.serve()
    assert stage.enrol("--name", "device-0", patience="8") == 1
    assert "enrolment-pending" in capsys.readouterr().err
    assert endorser(["pending", "--config", stage.config]) == 0
    assert stage.ueids[0] in capsys.readouterr().out
    assert endorser(["approve", "--config", stage.config, stage.ueids[0], "--by", "alice"]) == 0
    assert stage.wait_for_endorsements(1)[0].group == "plant-7"
    assert stage.enrol("--name", "device-0") == 0


def test_what_was_decided_survives_kill_9(stage: Stage) -> None:
    stage.configure(AUTOMATIC)
    stage.serve()
    assert stage.enrol() == 0
    stage.end(signal.SIGKILL)
    version = stage.endorsements()[-1].version if stage.endorsements() else 0
    assert endorser(["revoke", "--config", stage.config, stage.ueids[0]]) == 0
    stage.serve()
    stage.client.wait_for(lambda _: any(each.version > version for each in stage.endorsements()), "the last version")
    ended = max(stage.endorsements(), key=lambda each: each.version)
    assert ended.not_after_s < ended.version
    assert stage.enrol() == 1


def test_an_endorser_that_is_killed_at_every_answer_enrols_all_the_same(stage: Stage) -> None:
    stage.configure(AUTOMATIC)
    stage.serve()
    command = [sys.executable, "-m", "attester_agent", "enrol", "--config", str(stage.folder / "agent0.toml")]
    command += ["--endorser-key", str(stage.folder / "endorser.pub"), "--patience", "60"]
    with (stage.folder / "enrol.log").open("ab") as log:
        device = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
    try:
        for answers in (1, 2):
            stage.client.wait_for(lambda _, wanted=answers: stage.answers() >= wanted, f"answer {answers}")  # type: ignore[misc]  # bound now
            stage.end(signal.SIGKILL)
            stage.serve()
        assert device.wait(PATIENCE_S) == 0, (stage.folder / "enrol.log").read_text()
    finally:
        stop_process(device, signal.SIGTERM, 10.0)
    endorsements = stage.wait_for_endorsements(1)
    registry = Registry(stage.folder / "registry.db")
    (known,) = registry.devices()
    registry.close()
    stage.client.wait_for(
        lambda _: max(each.version for each in stage.endorsements()) == known.version, "the newest version"
    )
    assert len({each.version for each in endorsements}) <= 2


def test_noise_on_the_request_topic_harms_nobody(stage: Stage) -> None:
    stage.configure(AUTOMATIC)
    stage.serve()
    victim = TOPICS.enrol(stage.ueid(1))
    noise = [b"", b"x", bytes(40_000), cmw.wrap(media_types.ENROLMENT_REQUEST, b"\xa0", None)]
    noise += [cmw.wrap(media_types.ENROLMENT_ACTIVATION, b"\xa0", None), cmw.wrap("text/plain", b"", None)]
    for payload in noise:
        stage.client.publish(victim, payload)
        stage.client.publish(f"{TOPICS.root}/enrol/nobody", payload)
    assert stage.enrol() == 0


def test_a_device_without_a_network_enrols_by_files(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.configure()
    folder = stage.folder
    steps = [folder / name for name in ("request", "challenge", "activation", "outcome")]
    request, challenge, activation, outcome = map(str, steps)
    assert stage.enrol("--out", request) == 0
    assert endorser(["enrolment", "challenge", "--config", stage.config, "--in", request, "--out", challenge]) == 0
    assert stage.enrol("--request", request, "--in", challenge, "--out", activation) == 0
    accept = ["enrolment", "accept", "--config", stage.config, "--in", activation, "--out", outcome]
    assert endorser(accept) == 0
    assert stage.enrol("--request", request, "--in", outcome) == 1
    assert "enrolment-pending" in capsys.readouterr().err
    signed = folder / "device-0.endorsement"
    assert endorser(["approve", "--config", stage.config, stage.ueids[0], "--out", str(signed)]) == 0
    assert verify_endorsement(signed.read_bytes(), stage.keys).genuine is Genuine.EK_CERTIFICATE
    assert endorser(accept) == 1
    assert "activation-replayed" in capsys.readouterr().err
