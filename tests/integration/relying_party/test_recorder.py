"""A recorder process beside a verifier on a real broker records every valid message once, even across kill -9."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relying_party.__main__ import main
from runtime.audit_log.any_log import read_entries
from runtime.audit_log.signer import generate_audit_log_key
from schemas.audit.entry import EvidenceEntry, ObjectEntry, parse_entry
from schemas.errors import ConfigError, WorldError
from tests.programs.mosquitto import running_mosquitto
from tests.programs.mqtt_client import Listener, listening
from tests.programs.verifier_rig import ROOT, VerifierRig, verifier_rig
from tests.programs.waiting import stop_process, wait_until
from tests.worlds.device import FakeDevice

pytestmark = pytest.mark.needs("mosquitto")

SETTINGS = """\
name = "recorder-1"
audit_log = "recorded"
evidence_wait_s = {wait_s}
result_wait_s = 1.0
[audit]
signing_key = "recorder.key"
checkpoint_interval_s = 0.2
[mqtt]
port = {port}
[trust]
verifier_keys = ["verifier.pub"]
endorser_keys = ["endorser.pub"]
distributor_keys = ["distributor.pub"]
tsa_roots = ["tsa.pem"]
"""


class Recording:
    """The recorder's process and its audit log."""

    def __init__(self, rig: VerifierRig, *, wait_s: float = 30.0) -> None:
        self.rig, self.log = rig, rig.folder / "recorded"
        self.settings = rig.folder / "recorder.toml"
        self.settings.write_text(SETTINGS.format(port=rig.port, wait_s=wait_s))
        generate_audit_log_key(rig.folder / "recorder.key")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "relying_party", "audit", "record", "--config", str(self.settings)]
        with (self.rig.folder / "recorder.log").open("ab") as out:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment
            )

    def end(self, how: signal.Signals) -> int:
        assert self.process is not None
        process, self.process = self.process, None
        stop_process(process, how, 20.0)
        return process.returncode

    def text(self) -> str:
        return (self.rig.folder / "recorder.log").read_text()

    def entries(self) -> list[EvidenceEntry | ObjectEntry]:
        read: list[EvidenceEntry | ObjectEntry] = []
        try:
            for _, raw in read_entries(self.log):
                read.append(parse_entry(raw))
        except (ConfigError, WorldError):  # not created yet, or being written
            pass
        return read

    def evidence(self) -> list[EvidenceEntry]:
        return [each for each in self.entries() if isinstance(each, EvidenceEntry)]


@pytest.fixture(name="broker_and_rig")
def _broker_and_rig(tmp_path: Path) -> Iterator[tuple[Listener, VerifierRig]]:
    (tmp_path / "broker").mkdir()
    with (
        running_mosquitto(tmp_path / "broker") as broker,
        verifier_rig(tmp_path, broker.port) as rig,
        listening(broker.port, rig.topics.all_results, rig.topics.all_status) as client,
    ):
        rig.publish_trust(client)
        yield client, rig


@pytest.fixture(name="recording")
def _recording(broker_and_rig: tuple[Listener, VerifierRig]) -> Iterator[Recording]:
    recording = Recording(broker_and_rig[1])
    yield recording
    if recording.process is not None:
        recording.end(signal.SIGKILL)


def test_a_recorder_writes_what_was_judged_once_also_over_kill_9(
    broker_and_rig: tuple[Listener, VerifierRig], recording: Recording
) -> None:
    client, rig = broker_and_rig
    device, payloads = rig.devices[0], []
    recording.start()
    wait_until(lambda: len(recording.entries()) >= 3, "the retained objects are recorded")
    rig.start()
    client.wait_for(bool, "the verifier's status")
    for number in range(12):
        payloads.append(rig.payload(device.push(elapsed_ms=1)))
        client.publish(rig.topics.evidence(device.ueid), payloads[-1])
        if number in {3, 7}:
            recording.end(signal.SIGKILL)
        if number in {5, 9}:
            recording.start()

    def recorded() -> set[bytes]:
        return {each.payload for each in recording.evidence() if each.payload is not None}

    wait_until(lambda: recorded() == set(payloads), f"all pushes\n{recording.text()[-2000:]}")
    assert recording.end(signal.SIGTERM) == 0
    with_evidence = [each.payload for each in recording.evidence() if each.payload is not None]
    assert sorted(with_evidence) == sorted(payloads)
    assert all(each.result is not None for each in recording.evidence())
    kinds = [each.kind for each in recording.entries() if isinstance(each, ObjectEntry)]
    assert sorted(kinds) == ["endorsements", "handles", "reference-values", "statements"]
    log = ["audit", "fsck", str(recording.log), "--log-key", str(rig.folder / "recorder.vkey")]
    assert main(log) == 0


def test_what_nobody_signed_or_answered_is_not_recorded(
    broker_and_rig: tuple[Listener, VerifierRig],
) -> None:
    client, rig = broker_and_rig
    device = rig.devices[0]
    recording = Recording(rig, wait_s=0.5)
    recording.start()
    try:
        wait_until(lambda: len(recording.entries()) >= 3, "the retained objects are recorded")
        stranger = FakeDevice(label=b"stranger")
        stranger.sync(rig.handle)
        unanswered = rig.payload(stranger.push(elapsed_ms=1))  # no result is about it
        client.publish(rig.topics.evidence(stranger.ueid), unanswered)
        client.publish(rig.topics.results(device.ueid), b"nonsense")
        client.publish(rig.topics.policies("fleet"), b"nonsense")
        wait_until(lambda: recording.text().count("message-refused") == 2, "both are refused")
        rig.start()
        client.wait_for(lambda heard: any("/status/" in topic for topic, _ in heard), "the verifier's status")
        answered = rig.payload(device.push(elapsed_ms=1))
        client.publish(rig.topics.evidence(device.ueid), answered)
        wait_until(lambda: bool(recording.evidence()), "the answered push is recorded")
        assert {each.payload for each in recording.evidence()} <= {answered, None}
    finally:
        assert recording.end(signal.SIGTERM) == 0


def test_a_wrong_setting_is_named(
    broker_and_rig: tuple[Listener, VerifierRig], recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    text = recording.settings.read_text()
    check = ["audit", "record", "--config", str(recording.settings), "--check-config"]
    assert main(check) == 0
    for old, new, words in (
        ("[mqtt]", "[mqtt]\nreceive_maximum = 100", "waiting_max: 500, expected 1 to 99"),
        ('"verifier.pub"', '"none.pub"', "trust.verifier_keys: "),
        ('"recorder.key"', '"none.key"', "audit.signing_key: "),
        ('name = "recorder-1"', 'name = "a/b"', "name: "),
    ):
        recording.settings.write_text(text.replace(old, new))
        assert main(check) == 2
        assert words in capsys.readouterr().err
