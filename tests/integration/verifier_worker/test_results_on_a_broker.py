"""Endorser and relying party on a real broker."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from endorser.__main__ import main as endorser
from endorser.adapters.publisher import Publication, publish
from relying_party.settings import Settings
from relying_party.terminal.feed import ResultFeed
from runtime.keys import generate_key_pair, public_path
from runtime.mqtt import MqttSettings
from schemas.codecs import cose
from schemas.errors import WorldError
from schemas.reasons import Reason
from tests.fakes.relying_party import ALICE, BOB, STRANGERS_KEY, TOPICS, message_of, result_about
from tests.programs.mosquitto import Mosquitto, free_port, running_mosquitto
from tests.programs.waiting import PATIENCE_S

pytestmark = pytest.mark.needs("mosquitto")


def settings_of(broker: Mosquitto) -> MqttSettings:
    return MqttSettings(host=broker.host, port=broker.port)


def test_what_the_endorser_publishes_is_retained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, out = tmp_path / "endorser.key", tmp_path / "values.corim"
    assert endorser(["keygen", "--out", str(key)]) == 0
    made = ["reference-values", "--key", str(key), "--name", "rack", "--files", __file__, "--out", str(out)]
    assert endorser(made) == 0
    with running_mosquitto(tmp_path) as broker:
        where = ["--mqtt-port", str(broker.port), "--endorser-key", str(public_path(key))]
        assert endorser(["publish", *where, str(out)]) == 0
        topic = TOPICS.reference_values("rack")
        read = ["mosquitto_sub", "-p", str(broker.port), "-t", topic, "-C", "1", "-W", "15", "-F", "%r %t %l"]
        seen = subprocess.run(read, check=True, capture_output=True, text=True).stdout.split()
    assert seen[:2] == ["1", TOPICS.reference_values("rack")]
    assert int(seen[2]) > out.stat().st_size
    assert TOPICS.reference_values("rack") in capsys.readouterr().out


def test_an_absent_broker_is_said_so() -> None:
    nobody = MqttSettings(port=free_port())
    with pytest.raises(WorldError, match=Reason.BROKER_UNREACHABLE):
        publish(nobody, [Publication(topic=TOPICS.results(ALICE), payload=b"x")], patience_s=0.2)


def test_a_relying_party_sees_what_a_trusted_verifier_published(tmp_path: Path) -> None:
    verifier = generate_key_pair(tmp_path / "verifier.key")
    expires_s = 4_000_000_000
    good = message_of(result_about(ALICE, issued_s=1, expires_s=expires_s), verifier)
    forged = message_of(result_about(BOB, issued_s=1, expires_s=expires_s), STRANGERS_KEY)
    with running_mosquitto(tmp_path) as broker:
        messages = [(TOPICS.results(BOB), forged), (TOPICS.results(ALICE), good)]
        publish(settings_of(broker), [Publication(topic=topic, payload=payload) for topic, payload in messages])
        feed = ResultFeed(Settings(verifier_keys=(tmp_path / "verifier.pub",), mqtt=settings_of(broker)))
        feed.start()
        try:
            seen = feed.drain(PATIENCE_S)
            while not seen or not feed.refused:
                seen += feed.drain(PATIENCE_S)
        finally:
            feed.stop()
        assert [standing.result.ueid for standing in seen] == [ALICE]
        assert dict(feed.refused) == {Reason.RESULT_SIGNATURE_INVALID: 1}
        command = [sys.executable, "-m", "relying_party", "results", "--json", "--port", str(broker.port)]
        command += ["--verifier-key", str(tmp_path / "verifier.pub"), "--seconds", "2"]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert [json.loads(line)["status"] for line in ended.stdout.splitlines()] == ["affirming"]
    strangers, trusted = (cose.key_id(key.public_key()).hex() for key in (STRANGERS_KEY, verifier))
    assert f"1 result refused: signed by key {strangers!r}, which is not trusted; you trust {trusted}" in ended.stderr
