"""A verifier process on a real broker: strangers, garbage, kill -9 at any moment, a broker that dies."""

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from relying_party.__main__ import main as relying_party
from runtime.audit_log.any_log import read_entries
from runtime.audit_log.signer import generate_audit_log_key
from schemas import media_types
from schemas.audit.entry import ObjectEntry, parse_entry
from schemas.codecs import cmw
from schemas.media_types import Indicator
from schemas.messages.result import AttestationResult
from schemas.messages.trust_objects import TRUST_OBJECTS
from schemas.reasons import Reason
from schemas.topics import Role
from schemas.verdicts import Freshness, Tier
from tests.programs.mosquitto import Mosquitto, running_mosquitto
from tests.programs.mqtt_client import Listener, listening
from tests.programs.verifier_rig import VerifierRig, verifier_rig
from tests.programs.waiting import PATIENCE_S
from verifier_worker.__main__ import main as verifier

pytestmark = pytest.mark.needs("mosquitto")


class Stage:
    """Broker, verifier and a client that hears results and solicits."""

    def __init__(self, broker: Mosquitto, rig: VerifierRig, client: Listener) -> None:
        self.broker, self.rig, self.client = broker, rig, client

    def push(self, number: int = 0, **how: object) -> bytes:
        """The next push of a device, published; returns its payload."""
        device = self.rig.devices[number]
        payload = self.rig.payload(device.push(elapsed_ms=1, **how))  # type: ignore[arg-type]  # push's own options
        self.client.publish(self.rig.topics.evidence(device.ueid), payload)
        return payload

    def heard(self, number: int = 0) -> list[AttestationResult]:
        """Results about a device so far."""
        return self.rig.results(self.client.messages, self.rig.devices[number].ueid)

    def wait_for_sequence(self, sequence: int, number: int = 0, seconds: float = PATIENCE_S) -> AttestationResult:
        """The result about one push of a device."""
        ueid = self.rig.devices[number].ueid

        def there(messages: list[tuple[str, bytes]]) -> bool:
            return any(result.sequence == sequence for result in self.rig.results(messages, ueid))

        self.client.wait_for(there, f"the result of push {sequence}\n{self.rig.log()[-2000:]}", seconds)
        return next(result for result in self.heard(number) if result.sequence == sequence)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Two endorsed devices, a running verifier."""
    (tmp_path / "broker").mkdir()
    with (
        running_mosquitto(tmp_path / "broker") as broker,
        verifier_rig(tmp_path, broker.port, devices=2) as rig,
        listening(broker.port, rig.topics.all_results, f"{rig.topics.root}/solicit/+", rig.topics.all_status) as client,
    ):
        rig.publish_trust(client)
        rig.start()
        client.wait_for(bool, "the verifier's status")
        yield Stage(broker, rig, client)


def test_any_jwt_library_verifies_a_result_with_the_public_key_file(stage: Stage) -> None:
    stage.push()
    result = stage.wait_for_sequence(0)
    assert (result.status, result.handle) == (Tier.AFFIRMING, stage.rig.handle.id)
    payload = next(payload for topic, payload in stage.client.messages if "/results/" in topic)
    token = cmw.unwrap(payload, media_types.RESULT, Indicator.ATTESTATION_RESULTS)
    claims = jwt.decode(token, (stage.rig.folder / "verifier.pub").read_text(), algorithms=["ES256"])
    assert claims["eat_profile"] == "tag:ietf.org,2026:rats/ear#04"
    assert claims["ear_status"] == "affirming"


def test_a_retained_result_greets_a_late_subscriber(stage: Stage) -> None:
    stage.push()
    stage.wait_for_sequence(0)
    with listening(stage.broker.port, stage.rig.topics.all_results) as late:
        late.wait_for(lambda messages: len(messages) == 1, "the retained result")


def test_strangers_never_get_an_affirming_result(stage: Stage) -> None:
    """Replayed, reordered, bit-flipped and cross-published evidence; the device's own results stay affirming."""
    topics = [stage.rig.topics.evidence(device.ueid) for device in stage.rig.devices]
    captured = [stage.push() for _ in range(5)]
    stage.wait_for_sequence(4)
    count = len(stage.heard())
    dice = random.Random(7)
    for payload in captured[:-1]:
        stage.client.publish(topics[0], payload)
        stage.client.publish(topics[1], payload)
    for _ in range(60):
        flipped = bytearray(dice.choice(captured))
        flipped[dice.randrange(len(flipped))] ^= 1 << dice.randrange(8)
        stage.client.publish(topics[dice.randrange(2)], bytes(flipped))
    for size in (0, 1, 1000, 262_144, 300_000):
        stage.client.publish(topics[0], dice.randbytes(size))
    stage.client.publish(topics[0] + "x", captured[0])
    stage.push()
    result = stage.wait_for_sequence(5)
    assert result.status is Tier.AFFIRMING
    assert result.rejections is not None
    assert result.rejections.count >= 30
    since = stage.heard()[count:]  # a copy of the last push with another total is that push: its result comes again
    assert {each.sequence for each in since} <= {4, 5}
    assert all(each.status is Tier.AFFIRMING for each in since)
    assert stage.heard(1) == []
    assert stage.rig.running()


def test_garbage_on_every_other_topic_is_survived(stage: Stage) -> None:
    dice = random.Random(8)
    topics = stage.rig.topics
    for topic in (
        topics.handles("clock"),
        topics.endorsements(stage.rig.devices[0].ueid),
        topics.reference_values("x"),
    ):
        for size in (0, 1, 100, 70_000, 1_000_000):
            stage.client.publish(topic, dice.randbytes(size), retain=True)
    stage.rig.publish_trust(stage.client)
    stage.push()
    assert stage.wait_for_sequence(0).status is Tier.AFFIRMING
    assert stage.rig.running()
    assert f"reason={Reason.MALFORMED}" in stage.rig.log()


def test_kill_9_at_any_moment_loses_no_result_and_needs_no_baseline(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(9)
    stage.push()
    stage.wait_for_sequence(0)
    sequence = itertools.count(1)
    last = 0
    for _ in range(6):
        for _ in range(dice.randrange(1, 40)):
            if dice.random() < 0.3:
                stage.rig.devices[0].run(b"/usr/bin/cat", b"cat")
            stage.push()
            last = next(sequence)
        stage.rig.kill()
        for _ in range(dice.randrange(0, 10)):
            stage.push()
            last = next(sequence)
        stage.rig.start()
    stage.wait_for_sequence(last)
    heard = stage.heard()
    assert {result.sequence for result in heard} == set(range(last + 1))
    assert {result.status for result in heard} == {Tier.AFFIRMING}
    assert not [topic for topic, _ in stage.client.messages if "/solicit/" in topic]
    assert stage.rig.stop() == 0
    numbers = [number for number, _ in read_entries(stage.rig.folder / "audit")]
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= last + 1
    assert sorted(kinds(stage)) == ["endorsements", "endorsements", "handles", "reference-values", "statements"]
    assert audit_times(stage) == 0
    capsys.readouterr()
    log, key = stage.rig.folder / "audit", stage.rig.folder / "audit.vkey"
    assert verifier(["audit", "verify", str(log), "--log-key", str(key), "--json"]) == 0
    derived = json.loads(capsys.readouterr().out)
    assert (derived["results"], derived["underivable"], derived["problems"]) == (last + 1, 0, 0)


def test_an_audit_log_that_was_moved_away_begins_with_what_is_in_force(stage: Stage) -> None:
    stage.push()
    stage.wait_for_sequence(0)
    assert stage.rig.stop() == 0
    (stage.rig.folder / "before").mkdir()
    for name in ("audit", "audit.key", "audit.vkey", "audit.signed"):  # a key signs for one log
        (stage.rig.folder / name).rename(stage.rig.folder / "before" / name)
    generate_audit_log_key(stage.rig.folder / "audit.key")
    stage.rig.start()
    stage.push()
    stage.wait_for_sequence(1)
    assert stage.rig.stop() == 0
    assert sorted(kinds(stage)) == ["endorsements", "endorsements", "handles", "reference-values", "statements"]
    assert audit_times(stage) == 0


def kinds(stage: Stage) -> list[str]:
    """The signed objects in the audit log, in order."""
    parsed = [parse_entry(raw) for _, raw in read_entries(stage.rig.folder / "audit")]
    return [entry.kind for entry in parsed if isinstance(entry, ObjectEntry) and entry.kind in TRUST_OBJECTS]


def audit_times(stage: Stage) -> int:
    """What an auditor finds, with the public keys and the TSA's root alone."""
    folder = stage.rig.folder
    files = {
        "--audit-log": "audit",
        "--distributor-key": "distributor.pub",
        "--endorser-key": "endorser.pub",
        "--tsa-root": "tsa.pem",
    }
    return relying_party(
        ["audit", "times", *(part for each in files.items() for part in (each[0], str(folder / each[1])))]
    )


def test_a_broker_that_dies_and_comes_back_is_taken_up_again(stage: Stage) -> None:
    stage.push()
    stage.wait_for_sequence(0)
    stage.broker.kill()
    stage.broker.restart()
    stage.client.publish(stage.rig.topics.status(Role.ATTESTER, "probe"), b"\x80")
    stage.push()
    assert stage.wait_for_sequence(1).status is Tier.AFFIRMING


def test_a_queue_that_is_always_full_does_not_stand_still(tmp_path: Path) -> None:
    """Confirmations of results arrive while evidence fills the queue to the brim."""
    (tmp_path / "broker").mkdir()
    with (
        running_mosquitto(tmp_path / "broker", persistence=False) as broker,
        verifier_rig(tmp_path, broker.port, devices=2) as rig,
        listening(broker.port, rig.topics.all_results, rig.topics.all_status) as client,
    ):
        settings = (tmp_path / "verifier.toml").read_text()
        small = settings.replace("[mqtt]\n", "queue_max = 11\nbatch_max = 3\n[mqtt]\nreceive_maximum = 10\n")
        (tmp_path / "verifier.toml").write_text(small)
        rig.publish_trust(client)
        rig.start()
        client.wait_for(bool, "the verifier's status")
        stage = Stage(broker, rig, client)
        topic = rig.topics.evidence(rig.devices[0].ueid)
        for _ in range(500):
            client.publish_soon(topic, rig.payload(rig.devices[0].push(elapsed_ms=1)))
        assert stage.wait_for_sequence(499).status is Tier.AFFIRMING


def test_mqtt_3_1_1_will_do(tmp_path: Path) -> None:
    """Brokers without MQTT 5: the same but for results that expire on the broker."""
    (tmp_path / "broker").mkdir()
    with (
        running_mosquitto(tmp_path / "broker") as broker,
        verifier_rig(tmp_path, broker.port) as rig,
        listening(broker.port, rig.topics.all_results, rig.topics.all_status) as client,
    ):
        settings = (tmp_path / "verifier.toml").read_text()
        (tmp_path / "verifier.toml").write_text(settings.replace("[mqtt]\n", '[mqtt]\nprotocol = "3.1.1"\n'))
        rig.publish_trust(client)
        rig.start()
        client.wait_for(bool, "the verifier's status")
        stage = Stage(broker, rig, client)
        stage.push()
        stage.wait_for_sequence(0)
        rig.kill()
        stage.push()
        rig.start()
        assert stage.wait_for_sequence(1).status is Tier.AFFIRMING


def test_sigterm_ends_it_in_order(stage: Stage) -> None:
    stage.push()
    stage.wait_for_sequence(0)
    assert stage.rig.stop() == 0
    assert "verifier-stopped" in stage.rig.log()


def test_silence_becomes_stale_also_across_kill_9(tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    with (
        running_mosquitto(tmp_path / "broker") as broker,
        verifier_rig(tmp_path, broker.port, deadline_s=2.0) as rig,
        listening(broker.port, rig.topics.all_results, rig.topics.all_status) as client,
    ):
        rig.publish_trust(client)
        rig.start()
        client.wait_for(bool, "the verifier's status")
        stage = Stage(broker, rig, client)
        stage.push()
        stage.wait_for_sequence(0)
        rig.kill()
        rig.start()
        ueid = rig.devices[0].ueid

        def is_stale(messages: list[tuple[str, bytes]]) -> bool:
            return rig.results(messages, ueid)[-1].freshness is Freshness.STALE

        client.wait_for(is_stale, "a stale result")
        last = stage.heard()[-1]
        assert (last.status, last.reasons) == (Tier.NONE, ("evidence-overdue",))
