"""The agent as a process, on a real broker, a software TPM and openssl's Time Stamp Authority."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from runtime.durable import write_durable
from schemas.codecs import cmw
from schemas.hashes import SHA256
from schemas.identifiers import ueid_text
from schemas.media_types import SOLICIT, STATUS
from schemas.messages.evidence import Evidence
from schemas.messages.solicit import Solicit, sign_solicit
from schemas.messages.status import parse_unverified_status
from schemas.replay.log_replay import Quoted, Replay, ReplayState
from schemas.tpm.attest import QuoteInfo, parse_attest
from schemas.tpm.pcr import PcrValues
from schemas.tpm.public import check_attestation_key, parse_public
from tests.fakes.attester import read_payload
from tests.programs.agent_rig import ROOT, TOPICS, AgentRig, agent_rig, publish_handle
from tests.programs.swtpm import require_tool
from tests.programs.tsa import running_tsa
from tests.programs.waiting import PATIENCE_S

pytestmark = pytest.mark.needs("swtpm", "mosquitto", "openssl", "tpm2_checkquote", "tpm2_pcrextend")

HEARTBEAT_BUDGET_BYTES: Final = 700
MQTT_BYTES: Final = 1 + 2 + 2 + 2 + 1  # PUBLISH: type, remaining length, topic length, packet id, no properties


def check_quote(device: AgentRig, evidence: Evidence) -> None:
    """tpm2-tools, which share no code with us, accept quote and sync proof."""
    quote, signature = device.directory / "quote.attest", device.directory / "quote.signature"
    quote.write_bytes(evidence.quote)
    signature.write_bytes(evidence.signature)
    subprocess.run(
        [
            require_tool("tpm2_checkquote"),
            *("-u", str(device.directory / "ak.pem"), "-m", str(quote), "-s", str(signature)),
            *("-g", "sha256", "-q", evidence.body_digest.hex()),
        ],
        check=True,
        capture_output=True,
    )


class Replayer:
    """What a verifier keeps of logs and values."""

    def __init__(self) -> None:
        self.replay = ReplayState(banks=(SHA256,))
        self.values = PcrValues({})

    def reproduces(self, evidence: Evidence) -> bool:
        quoted = parse_attest(evidence.quote).attested
        assert isinstance(quoted, QuoteInfo)
        self.values = self.values.updated(PcrValues(evidence.unsigned_pcrs))
        increments = {name: each.records for name, each in evidence.unsigned_increments.items()}
        assert all(evidence.body.logs[name] == self.replay.next_index.get(name, 0) for name in increments)
        replayed = Replay(self.replay, increments)
        self.replay = replayed.whole.state
        selection = Quoted(selection=quoted.pcr_selection, digest=quoted.pcr_digest, algorithm=SHA256)
        return replayed.until(selection, self.values) is not None


def test_a_device_from_provisioning_to_heartbeats(tmp_path: Path) -> None:
    with agent_rig(tmp_path, heartbeat_s=0.5) as device:
        device.measure(3)
        ueid = device.provision()
        public = parse_public((tmp_path / "ak.tpmt_public").read_bytes())
        check_attestation_key(public)
        assert "logs.tcg2: " in device.command("run", "--config", str(device.config), "--check-config").stderr
        boot_log = tmp_path / "binary_bios_measurements"
        boot_log.touch()
        assert device.command("run", "--config", str(device.config), "--check-config").returncode == 0
        boot_log.unlink()  # a running agent waits for it
        handle = publish_handle(device)
        replayer = Replayer()
        with device.running_agent() as process:
            first = device.next()
            second_agent = device.command("run", "--config", str(device.config))
            assert (second_agent.returncode, "in use by another process" in second_agent.stderr) == (2, True)
            assert device.command("claims", "--config", str(device.config)).returncode == 0
            assert device.provision() == ueid
            check_quote(device, first)
            assert (first.body.ueid, first.body.environment, first.body.previous) == (ueid, public.name, None)
            assert first.body.claims["label"] == "device-1"
            assert parse_attest(first.body.sync.attest).extra_data == handle
            assert replayer.reproduces(first)
            device.measure(2)
            second = device.next()
            while replayer.reproduces(second) and replayer.replay.next_index["ima"] < 5:
                second = device.next()
            assert replayer.replay.next_index["ima"] == 5
            heartbeat, size = next_heartbeat(device)
            assert replayer.reproduces(heartbeat)
            check_quote(device, heartbeat)
            assert size <= HEARTBEAT_BUDGET_BYTES
            newer = publish_handle(device)
            while parse_attest(heartbeat.body.sync.attest).extra_data != newer:
                heartbeat = device.next()
            check_quote(device, heartbeat)
            assert stop(process) == 0
        online, offline = (
            parse_unverified_status(cmw.unwrap(device.status.get(timeout=PATIENCE_S), STATUS, None)) for _ in "ab"
        )
        assert (online.online, offline.online, online.name) == (True, False, "device-1")


def next_heartbeat(device: AgentRig) -> tuple[Evidence, int]:
    """The next push with nothing new in it, and its size on the wire."""
    while True:
        topic, payload = device.evidence.get(timeout=PATIENCE_S)
        evidence = read_payload(payload)
        if not evidence.unsigned_increments and evidence.body.previous is not None:
            return evidence, len(payload) + len(topic) + MQTT_BYTES


def stop(process: "subprocess.Popen[bytes]") -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=PATIENCE_S)


@pytest.mark.parametrize("algorithm", ["ecc", "rsa"])
def test_a_recorded_boot_is_pushed_bound_and_reproduces_the_quote(tmp_path: Path, algorithm: str) -> None:
    with agent_rig(tmp_path, heartbeat_s=60, algorithm=algorithm) as device:
        count = device.boot()
        device.measure(2)
        publish_handle(device)
        device.provision()
        with device.running_agent():
            evidence = device.next()
        check_quote(device, evidence)
        increment = evidence.unsigned_increments["tcg2"]
        assert increment.total == count
        assert evidence.body.increment_digests == {"tcg2": SHA256.digest(increment.records)}
        assert Replayer().reproduces(evidence)
        assert set(evidence.unsigned_pcrs[SHA256]) == {8}  # all others the logs explain


def test_in_two_sided_mode_openssl_confirms_the_stamp_over_the_sync_proof(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with (
        running_tsa(tmp_path / "second") as tsa,
        agent_rig(tmp_path, heartbeat_s=0.3, sync_stamp={"urls": [tsa.url], "roots": [str(tsa.root_file)]}) as device,
    ):
        device.provision()
        handle = publish_handle(device)
        with device.running_agent():
            first, second = device.next(), device.next()
            publish_handle(device)
            newer = device.next()
            while newer.body.sync == first.body.sync:
                newer = device.next()
    check_quote(device, first)
    assert parse_attest(first.body.sync.attest).extra_data == handle
    assert (second.body.sync, second.body.sync_stamp) == (first.body.sync, None)
    for evidence in (first, newer):
        assert evidence.body.sync_stamp is not None
        (tmp_path / "token").write_bytes(evidence.body.sync_stamp)
        (tmp_path / "attest").write_bytes(evidence.body.sync.attest)
        command = ["openssl", "ts", "-verify", "-token_in", "-in", str(tmp_path / "token")]
        command += ["-data", str(tmp_path / "attest"), "-CAfile", str(tsa.root_file)]
        assert "Verification: OK" in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_an_agent_that_no_brokers_handle_reaches_is_fed_by_a_file(tmp_path: Path) -> None:
    handles = tmp_path / "handles"
    handles.mkdir()
    with agent_rig(tmp_path, heartbeat_s=0.3) as device:
        device.provision()
        with device.running_agent("--handle-file", str(handles / "newest")):
            for _ in "ab":
                write_durable(handles / "newest", device.mint.raw(time.time_ns() // 1000))
                evidence = device.next()
                while parse_attest(evidence.body.sync.attest).extra_data != device.mint.previous:
                    evidence = device.next()
                check_quote(device, evidence)
                write_durable(handles / "newest", b"not a handle")
        log = (tmp_path / "agent.log").read_text()
    assert log.count("handle-accepted") == 2


def test_a_solicit_is_followed(tmp_path: Path) -> None:
    with agent_rig(tmp_path, heartbeat_s=60) as device:
        device.measure(4)
        publish_handle(device)
        ueid = device.provision()
        with device.running_agent():
            assert device.next().body.logs == {"ima": 0}
            asked = Solicit(ueid=ueid, verifier="v", issued_us=1, reason="sequence-gap", full=True, logs={"ima": 2})
            payload = cmw.wrap(SOLICIT, sign_solicit(asked, device.verifier), None)
            device.publish(TOPICS.solicit(ueid), payload)
            resent = device.next()
            check_quote(device, resent)
            assert (resent.body.previous, resent.body.logs) == (None, {"ima": 2})
            assert resent.unsigned_increments["ima"].total == 4
        assert ueid_text(ueid) in (tmp_path / "attester.ueid").read_text()


def test_the_chain_is_whole_however_often_the_agent_is_killed(tmp_path: Path) -> None:
    received: list[Evidence] = []
    with agent_rig(tmp_path, heartbeat_s=0.01) as device:
        publish_handle(device)
        for pushes in (1, 8, 3, 5, 2, 7):
            device.measure()
            with device.running_agent() as process:
                received += [device.next() for _ in range(pushes)]
                process.kill()
        with device.running_agent():
            last = received[-1].body.sequence
            while received[-1].body.sequence < last + 20:
                received.append(device.next())
    bodies: dict[int, Evidence] = {}
    for evidence in received:
        assert bodies.setdefault(evidence.body.sequence, evidence) == evidence
    chain = [bodies[number] for number in range(len(bodies))]
    assert [each.body.previous for each in chain] == [None, *(each.body_digest for each in chain[:-1])]
    replayer = Replayer()
    assert all(replayer.reproduces(each) for each in chain)
    assert replayer.replay.next_index == {"ima": 6}


def test_what_is_pushed_while_the_broker_is_away_arrives_in_order(tmp_path: Path) -> None:
    with agent_rig(tmp_path, heartbeat_s=0.05) as device:
        publish_handle(device)
        with device.running_agent():
            received = [device.next()]
            device.broker.kill()
            device.measure(2)
            device.broker.start()
            while received[-1].body.sequence < received[0].body.sequence + 30:
                received.append(device.next())
    numbers = [evidence.body.sequence for evidence in received]
    assert sorted(set(numbers)) == list(range(numbers[0], max(numbers) + 1))


def test_a_reboot_of_the_device_is_a_baseline(tmp_path: Path) -> None:
    with agent_rig(tmp_path, heartbeat_s=0.2) as device:
        device.measure(3)
        publish_handle(device)
        with device.running_agent():
            first = device.next()
            device.tpm.shut_down()
            device.ima.unlink()
            device.measured = 0
            device.tpm.start()
            device.measure(1)
            after = device.next()
            while after.body.previous is not None:
                after = device.next()
            check_quote_after_reboot(first, after)
            if after.unsigned_increments:
                assert Replayer().reproduces(after)


def check_quote_after_reboot(first: Evidence, after: Evidence) -> None:
    before_clock, clock = (parse_attest(each.quote).clock_info for each in (first, after))
    assert clock.reset_count == before_clock.reset_count + 1
    assert parse_attest(after.body.sync.attest).clock_info.reset_count == clock.reset_count
    assert after.body.sequence > first.body.sequence


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('nonsense = "x"', "nonsense"),
        ("[tpm]\nak_handle = 1", "tpm.ak_handle: 0x1"),
        ('[evidence]\npcrs = "sha256:99"', "evidence.pcrs"),
        ("[evidence]\nheartbeat_s = 0", "evidence.heartbeat_s"),
        ('[trust]\ndistributor_keys = ["no.pub"]\ntsa_roots = ["no.pem"]', "no.pub: No such file"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path: Path, line: str, named: str) -> None:
    trust = "" if "[trust]" in line else '\n[trust]\ndistributor_keys = ["a.pub"]\ntsa_roots = ["a.pem"]'
    path = tmp_path / "agent.toml"
    path.write_text(f'state = "agent.db"\n{line}{trust}', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "attester_agent", "run", "--check-config", "--config", str(path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
