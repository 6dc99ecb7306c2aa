"""Passport and background check with a real broker, software TPM, agent and verifier; and the examples in docs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from attester_agent.ports import Identity
from relying_party import Results
from relying_party.background_check import submit
from runtime.keys import generate_key_pair, public_path
from runtime.mqtt import MqttSettings
from schemas import media_types
from schemas.codecs.cmw import unwrap
from schemas.errors import PeerError, WorldError
from schemas.media_types import Indicator
from schemas.messages import result_token
from schemas.messages.evidence import Evidence
from schemas.messages.result_token import ResultFormat
from schemas.reasons import Reason
from schemas.verdicts import Freshness
from tests.programs import passport_rig
from tests.programs.mosquitto import running_mosquitto
from tests.programs.mqtt_client import Listener, listening
from tests.programs.swtpm import running_swtpm
from tests.programs.verifier_rig import ROOT, VerifierRig, verifier_rig
from tests.programs.waiting import PATIENCE_S

EXAMPLES = ROOT / "docs" / "examples"
CHALLENGE = bytes(range(32)).hex()
SHORT_WAIT_S = 1.0


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Runs a command of this tree."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )


def last_line(ended: subprocess.CompletedProcess[str]) -> str:
    """The last line of a command's output, after its log lines."""
    return ended.stderr.splitlines()[-1]


# -- background check --------------------------------------------------------------------------------------------------


@dataclass
class Desk:
    """A relying party with a broker and a verifier; ``rig.devices`` give it evidence."""

    rig: VerifierRig
    client: Listener

    @property
    def mqtt(self) -> MqttSettings:
        return MqttSettings(port=self.rig.port)

    @property
    def results(self) -> Results:
        return Results.from_files(self.rig.folder / "verifier.pub")

    def submit(self, evidence: Evidence, wait_s: float = PATIENCE_S, results: Results | None = None) -> object:
        return submit(self.mqtt, results or self.results, self.rig.payload(evidence), wait_s=wait_s)

    def save(self, evidence: Evidence) -> Path:
        path = self.rig.folder / "evidence.bin"
        path.write_bytes(self.rig.payload(evidence))
        return path


@pytest.fixture(name="desk")
def a_desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "broker").mkdir()
    with (
        running_mosquitto(tmp_path / "broker") as broker,
        verifier_rig(tmp_path, broker.port, devices=2) as rig,
        listening(broker.port, rig.topics.all_results, rig.topics.all_status) as client,
    ):
        rig.publish_trust(client)
        rig.start()
        client.wait_for(bool, "the verifier's status")
        yield Desk(rig, client)


@pytest.mark.needs("mosquitto")
def test_evidence_handed_over_gets_its_result(desk: Desk) -> None:
    device = desk.rig.devices[0]
    evidence = device.push()
    attestation = submit(desk.mqtt, desk.results, desk.rig.payload(evidence), ueid=device.ueid, wait_s=PATIENCE_S)
    assert attestation.affirming
    assert attestation.result.evidence == evidence.body_digest


@pytest.mark.needs("mosquitto")
def test_the_same_evidence_gets_its_result_again(desk: Desk) -> None:
    evidence = desk.rig.devices[0].push()
    assert desk.submit(evidence) is not None
    again = submit(desk.mqtt, desk.results, desk.rig.payload(evidence), wait_s=PATIENCE_S)
    assert again.result.evidence == evidence.body_digest


@pytest.mark.needs("mosquitto")
def test_refused_evidence_ends_in_a_clear_message(desk: Desk) -> None:
    first, second = desk.rig.devices[0].push(), desk.rig.devices[0].push(elapsed_ms=1)
    desk.submit(first)
    desk.submit(second)
    with pytest.raises(WorldError) as missing:
        desk.submit(first, wait_s=SHORT_WAIT_S)
    assert missing.value.reason == Reason.RESULT_MISSING
    assert "no result about push 0" in missing.value.detail
    assert "received a result about push 1 of this attester" in missing.value.detail


@pytest.mark.needs("mosquitto")
def test_evidence_of_another_attester_is_not_even_sent(desk: Desk) -> None:
    alice, bob = desk.rig.devices
    with pytest.raises(PeerError) as refused:
        submit(desk.mqtt, desk.results, desk.rig.payload(bob.push()), ueid=alice.ueid, wait_s=SHORT_WAIT_S)
    assert refused.value.reason == Reason.RESULT_OF_ANOTHER_ATTESTER


@pytest.mark.needs("mosquitto")
def test_a_verifier_that_is_not_trusted_gives_no_answer(desk: Desk) -> None:
    generate_key_pair(desk.rig.folder / "other.key")
    strangers = Results.from_files(desk.rig.folder / "other.pub")
    with pytest.raises(WorldError, match="a result that does not verify"):
        desk.submit(desk.rig.devices[0].push(), wait_s=SHORT_WAIT_S, results=strangers)


@pytest.mark.needs("mosquitto")
def test_a_result_that_stays_pending_is_the_answer_in_the_end(desk: Desk) -> None:
    device = desk.rig.devices[0]
    device.sync(desk.rig.make_handle())  # which the verifier does not have
    attestation = submit(desk.mqtt, desk.results, desk.rig.payload(device.push()), wait_s=SHORT_WAIT_S)
    assert attestation.result.freshness is Freshness.PENDING
    assert not attestation.affirming


@pytest.mark.needs("mosquitto")
def test_the_command_submits(desk: Desk) -> None:
    saved = desk.save(desk.rig.devices[0].push())
    trust = ["--verifier-key", desk.rig.folder / "verifier.pub", "--port", desk.rig.port]
    ended = run("-m", "relying_party", "submit", saved, *trust, "--policy", "test/1", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["status"]) == (0, "affirming")
    ended = run("-m", "relying_party", "submit", saved, *trust, "--policy", "mine/1")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: result-policy-unknown: attestation result: by policy 'test/1'")


@pytest.mark.needs("mosquitto")
def test_the_example_of_a_background_check(desk: Desk) -> None:
    saved = desk.save(desk.rig.devices[0].push())
    ended = run(EXAMPLES / "background_check.py", saved, desk.rig.folder / "verifier.pub", desk.rig.port)
    assert (ended.returncode, ended.stdout) == (0, "welcome ()\n"), ended.stderr


# -- passport ----------------------------------------------------------------------------------------------------------


@dataclass
class Border:
    """A device with a result about it on the broker."""

    rig: VerifierRig
    identity: Identity
    config: Path

    def passport(self, *options: object) -> subprocess.CompletedProcess[str]:
        return run("-m", "attester_agent", "passport", "--config", self.config, *options)

    def check(self, *options: object) -> subprocess.CompletedProcess[str]:
        return run("-m", "relying_party", "check", *options, "--verifier-key", self.rig.folder / "verifier.pub")


@pytest.fixture(name="border", params=ResultFormat)
def a_border(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Border]:
    for name in ("broker", "tpm", "agent"):
        (tmp_path / name).mkdir()
    with (
        running_mosquitto(tmp_path / "broker") as broker,
        running_swtpm(tmp_path / "tpm") as tpm,
        verifier_rig(tmp_path, broker.port) as rig,
        listening(broker.port, rig.topics.all_results, rig.topics.all_status) as client,
    ):
        (tmp_path / "policy.toml").write_text(passport_rig.POLICY)
        settings = (tmp_path / "verifier.toml").read_text()
        (tmp_path / "verifier.toml").write_text(f'result_format = "{request.param}"\n{settings}')
        identity = passport_rig.tpm_identity(tpm)
        passport_rig.publish_trust(rig, client, identity)
        rig.start()
        client.wait_for(bool, "the verifier's status")
        config = passport_rig.write_agent_config(tmp_path / "agent", rig, tpm)
        topic = rig.topics.results(identity.ueid)
        with passport_rig.running_agent(config):
            client.wait_for(lambda messages: any(heard == topic for heard, _ in messages), "a result", PATIENCE_S)
            payload = next(payload for heard, payload in client.messages if heard == topic)
            expected = media_types.RESULT if request.param == ResultFormat.JWT else media_types.RESULT_CWT
            assert result_token.format_of(unwrap(payload, expected, Indicator.ATTESTATION_RESULTS)) == request.param
            yield Border(rig, identity, config)


@pytest.mark.needs("mosquitto", "swtpm")
def test_a_device_shows_its_result_and_proves_that_it_is_its_own(border: Border, tmp_path: Path) -> None:
    token, proof = tmp_path / "token", tmp_path / "proof"
    made = border.passport("--out", token, "--challenge", CHALLENGE, "--proof", proof)
    assert made.returncode == 0, made.stderr
    assert "affirming, by verifier-1" in made.stdout
    checked = border.check(token, "--challenge", CHALLENGE, "--proof", proof, "--max-age", 300, "--json")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["status"] == "affirming"
    stale = border.check(token, "--challenge", "00" * 32, "--proof", proof)
    assert (stale.returncode, stale.stderr[:27]) == (1, "error: result-proof-invalid")
    example = run(EXAMPLES / "passport.py", border.config, border.rig.folder / "verifier.pub")
    assert (example.returncode, example.stdout.splitlines()[-1]) == (0, "welcome ()"), example.stderr


@pytest.mark.needs("mosquitto", "swtpm")
def test_a_thief_with_the_token_and_another_tpm_is_found_out(border: Border, tmp_path: Path) -> None:
    token, proof = tmp_path / "token", tmp_path / "proof"
    (tmp_path / "thief").mkdir()
    assert border.passport("--out", token).returncode == 0
    assert border.check(token).returncode == 0  # without a challenge a copy is as good as the original
    with running_swtpm(tmp_path / "thief") as other:
        config = passport_rig.write_agent_config(tmp_path / "thief", border.rig, other)
        nothing = run("-m", "attester_agent", "passport", "--config", config, "--out", proof, "--wait", 1)
        assert (nothing.returncode, last_line(nothing)[:21]) == (1, "error: result-missing")
        forged = passport_rig.forged_proof(other, token.read_bytes(), bytes.fromhex(CHALLENGE))
    proof.write_bytes(forged)
    checked = border.check(token, "--challenge", CHALLENGE, "--proof", proof)
    assert (checked.returncode, checked.stderr[:27]) == (1, "error: result-proof-invalid")


@pytest.mark.needs("mosquitto", "swtpm")
def test_a_device_does_not_show_what_it_would_not_believe(border: Border, tmp_path: Path) -> None:
    public = public_path(tmp_path / "other.key")
    generate_key_pair(tmp_path / "other.key")
    settings = border.config.read_text().replace(str(border.rig.folder / "verifier.pub"), str(public))
    border.config.with_name("other.toml").write_text(settings)
    ended = run("-m", "attester_agent", "passport", "--config", border.config.with_name("other.toml"))
    assert (ended.returncode, last_line(ended)[:31]) == (1, "error: result-signature-invalid")
    assert border.passport("--challenge", CHALLENGE).returncode == 2
    assert border.passport("--challenge", "00", "--proof", tmp_path / "proof").returncode == 2
