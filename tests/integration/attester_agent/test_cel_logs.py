"""Files measured on a software TPM, from the command line to the verdict: agent, broker and verifier as processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tpm2_pytss import ESAPI
from tpm2_pytss.constants import ESYS_TR
from tpm2_pytss.types import TPML_DIGEST_VALUES, TPMT_HA, TPMU_HA

from attester_agent.logs.cel_file import CelFile
from attester_agent.logs.cel_journal import Pending, read_journal, write_journal
from attester_agent.ports import PcrLifetime
from attester_agent.settings import TpmSettings
from attester_agent.tpm.device import TpmDevice
from schemas import media_types
from schemas.cel.in_cbor import encode_record, parse_record
from schemas.cel.records import ApplicationContent, application_record
from schemas.codecs import cmw
from schemas.hashes import SHA1, SHA256
from schemas.identifiers import Ueid, parse_ueid_text
from schemas.media_types import Indicator
from schemas.messages.endorsement import Endorsement, sign_endorsement
from schemas.messages.reference_values import ReferenceValues, sign_reference_values
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.tpm.public import parse_public
from schemas.transitions import TransitionKind
from schemas.verdicts import Tier
from tests.programs.mosquitto import running_mosquitto
from tests.programs.mqtt_client import Listener, listening
from tests.programs.swtpm import Swtpm, running_swtpm
from tests.programs.verifier_rig import VerifierRig, verifier_rig

pytestmark = pytest.mark.needs("swtpm", "mosquitto")

ROOT: Final = Path(__file__).resolve().parents[3]
GOOD: Final = (b"good config", b"enter-initrd")
POLICY: Final = """\
id = "cel"
version = 1
pcrs = "sha256:0-16"
reference_values = ["good"]
deadline_s = 600.0
max_age_s = 600.0
[logs]
cel = { app = { pcrs = [16], resettable = true }, systemd = [11, 15] }
"""


class Stage:
    """One device with a software TPM, its agent, a verifier, and someone who listens."""

    def __init__(self, folder: Path, tpm: Swtpm, rig: VerifierRig, client: Listener) -> None:
        self.folder, self.tpm, self.rig, self.client = folder, tpm, rig, client
        (folder / "policy.toml").write_text(POLICY)
        self.systemd = folder / "tpm2-measure.log"
        self.write_config()
        self.command("provision", "--config", str(self.config), "--out", str(folder))
        self.ueid: Ueid = parse_ueid_text((folder / "attester.ueid").read_text().strip())

    @property
    def config(self) -> Path:
        return self.folder / "agent.toml"

    def write_config(self) -> None:
        tables: dict[str, dict[str, object]] = {
            "mqtt": {"port": self.rig.port},
            "tpm": {"tcti": self.tpm.tcti},
            "evidence": {"pcrs": "sha256:0-16", "heartbeat_s": 0.5, "log_poll_s": 0.1},
            "logs.cel": {"app": "app.cel", "systemd": self.systemd.name},
            "trust": {
                "distributor_keys": ["distributor.pub"],
                "verifier_keys": ["verifier.pub"],
                "tsa_roots": ["tsa.pem"],
            },
        }
        lines = ['state = "agent.db"']
        for table, values in tables.items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        self.config.write_text("\n".join(lines), encoding="utf-8")

    def command(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "attester_agent", *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert (done.returncode != 0) is fails, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr if fails else done.stdout

    def measure(self, content: bytes, *more: str, pcr: int = 16, fails: bool = False) -> str:
        path = self.folder / "app.conf"
        path.write_bytes(content)
        wanted = ("--pcr", str(pcr), "--type", "app.config", "--file", str(path), *more)
        return self.command("measure", "--config", str(self.config), *wanted, fails=fails)

    def measure_as_systemd(self, text: str, pcr: int) -> None:
        """Extends, then logs."""
        digest = SHA256.digest(text.encode())
        with TpmDevice(TpmSettings(tcti=self.tpm.tcti), pause=lambda _seconds: True).registers() as registers:
            registers.extend(pcr, {SHA256: digest})
        record = {
            "pcr": pcr,
            "digests": [{"hashAlg": "sha256", "digest": digest.hex()}],
            "content_type": "systemd",
            "content": {"string": text, "bootId": "0" * 32, "timestamp": 1, "eventType": "phase"},
        }
        with self.systemd.open("ab") as file:
            file.write(b"\x1e" + json.dumps(record).encode() + b"\n")

    def publish_trust(self) -> None:
        """Handle, reference values for the good files, the endorsement of the real key."""
        self.rig.publish_trust(self.client)
        files = {SHA256.digest(content): content.decode() for content in GOOD}
        values = ReferenceValues(
            name="good", version=2, signer="endorser", not_before_s=0, not_after_s=2**40, files=files
        )
        signed = sign_reference_values(values, self.rig.endorser)
        wrapped = cmw.wrap(media_types.SIGNED_CORIM, signed, Indicator.REFERENCE_VALUES)
        self.client.publish(self.rig.topics.reference_values("good"), wrapped, retain=True)
        raw = (self.folder / "ak.tpmt_public").read_bytes()
        vouched = Endorsement(
            ueid=self.ueid,
            attesting_key=parse_public(raw),
            version=1,
            signer="endorser",
            not_before_s=0,
            not_after_s=2**40,
        )
        signed = sign_endorsement(vouched, raw, self.rig.endorser)
        wrapped = cmw.wrap(media_types.SIGNED_CORIM, signed, Indicator.ENDORSEMENTS)
        self.client.publish(self.rig.topics.endorsements(self.ueid), wrapped, retain=True)

    @contextmanager
    def running_agent(self) -> Iterator[None]:
        with (self.folder / "agent.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "attester_agent", "run", "--config", str(self.config)],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def wait_for(self, wanted: Callable[[AttestationResult], bool], what: str) -> AttestationResult:
        """The first result that is as wanted."""

        def found(messages: list[tuple[str, bytes]]) -> list[AttestationResult]:
            return [result for result in self.rig.results(messages, self.ueid) if wanted(result)]

        self.client.wait_for(lambda messages: bool(found(messages)), what, 30.0)
        return found(self.client.messages)[0]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    for name in ("tpm", "broker"):
        (tmp_path / name).mkdir()
    with (
        running_swtpm(tmp_path / "tpm") as tpm,
        running_mosquitto(tmp_path / "broker") as broker,
        verifier_rig(tmp_path, broker.port) as rig,
        listening(broker.port, rig.topics.all_results) as client,
    ):
        yield Stage(tmp_path, tpm, rig, client)


def test_two_logs_from_the_command_line_to_the_verdict(stage: Stage) -> None:
    stage.measure(b"good config")
    stage.measure_as_systemd("enter-initrd", 11)
    stage.publish_trust()
    stage.rig.start()
    with stage.running_agent():
        first = stage.wait_for(lambda result: result.status is Tier.AFFIRMING, "affirming")
        assert first.logs == {"cel/app": 1, "cel/systemd": 1}
        said = stage.measure(b"good config", "--name", "again")
        assert "entry 1 of PCR 16 (sha1, sha256" in said
        stage.measure_as_systemd("enter-initrd", 15)
        again = stage.wait_for(lambda result: result.logs == {"cel/app": 2, "cel/systemd": 2}, "both logs grown")
        assert again.status is Tier.AFFIRMING
        stage.measure(b"evil config", "--name", "/etc/evil.conf")
        bad = stage.wait_for(lambda result: result.status is Tier.CONTRAINDICATED, "contraindicated")
        assert bad.reasons[0] == Reason.FILE_UNEXPECTED
        assert bad.unexpected == ("/etc/evil.conf (app.config, cel/app)",)


def test_a_suspend_is_reported_with_the_next_push(stage: Stage) -> None:
    """PCR 14 outlives the suspends; what became of a log of PCR 16 the next test shows."""
    (stage.folder / "policy.toml").write_text(POLICY.replace("{ pcrs = [16], resettable = true }", "[14]"))
    stage.measure(b"good config", pcr=14)
    stage.measure_as_systemd("enter-initrd", 11)
    stage.publish_trust()
    stage.rig.start()
    with stage.running_agent():
        stage.wait_for(lambda result: result.status is Tier.AFFIRMING, "affirming")
        stage.tpm.suspend_and_resume()
        stage.tpm.suspend_and_resume()
        resumed = stage.wait_for(lambda result: Reason.RESUMED in result.reasons, "resumed")
        assert resumed.status is Tier.AFFIRMING
        told = [(each.kind, each.restart_count) for each in resumed.transitions]
        assert told[-1] == (TransitionKind.SUSPEND, 2)
        stage.tpm.suspend_and_resume()
        stage.wait_for(lambda result: any(each.restart_count == 3 for each in result.transitions), "the third")
    results = stage.rig.results(stage.client.messages, stage.ueid)
    assert all(Reason.TRANSITION_UNREPORTED not in result.reasons for result in results)


def test_a_log_of_pcr_16_starts_anew_with_a_resume(stage: Stage) -> None:
    stage.measure(b"good config")
    stage.measure(b"good config")
    stage.measure_as_systemd("enter-initrd", 11)
    stage.publish_trust()
    stage.rig.start()
    with stage.running_agent():
        stage.wait_for(lambda result: result.logs.get("cel/app") == 2, "two entries")
        stage.tpm.suspend_and_resume()
        lost = stage.wait_for(lambda result: bool(result.transitions), "resumed")
        assert (lost.status, lost.reasons[0]) == (Tier.NONE, Reason.LOG_MISSING)
        stage.measure(b"good config")
        again = stage.wait_for(
            lambda result: result.logs.get("cel/app") == 1 and result.status is Tier.AFFIRMING, "measured again"
        )
        assert again.rejections is None
        assert "cannot share" in stage.measure(b"good config", pcr=14, fails=True)


def test_a_measurement_extends_every_bank_with_what_the_record_says(stage: Stage) -> None:
    stage.measure(b"x", "--name", "n")
    content = ApplicationContent(event_type="app.config", name="n", digest=SHA256.digest(b"x"))
    (raw,) = CelFile("app", stage.folder / "app.cel").read(0).records
    digests = dict(parse_record(raw).digests)
    esapi = ESAPI(stage.tpm.tcti)
    for bank in (SHA1, SHA256):
        assert digests[bank.tpm_id] == bank.digest(content.encode())
        _, _, (value,) = esapi.pcr_read(f"{bank.name}:16")
        assert bytes(value) == bank.digest(bytes(bank.size) + digests[bank.tpm_id])
    esapi.close()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--log", "nothing"), "--log nothing: expected one of app, systemd"),
        (("--type", "App Config"), "expected dotted words like app.config"),
        (("--file", "no-such-file"), "--file no-such-file: No such file"),
        (("--pcr", "10"), "--pcr 10: expected one of 8, 9, 11"),
        (("--log", "systemd"), "not a log that attester-agent measure writes"),
        (("--pcr", "11"), "--pcr 11: cel/systemd extends it already"),
    ],
)
def test_what_cannot_be_measured_says_what_can(stage: Stage, more: tuple[str, ...], said: str) -> None:
    stage.measure_as_systemd("enter-initrd", 11)
    assert said in stage.measure(b"x", *more, fails=True)
    assert not (stage.folder / "app.cel").exists() or (stage.folder / "app.cel").stat().st_size == 0


def extend_by_hand(stage: Stage, digest: bytes) -> None:
    esapi = ESAPI(stage.tpm.tcti)
    value = TPMT_HA(hashAlg=SHA256.tpm_id, digest=TPMU_HA(sha256=digest))
    esapi.pcr_extend(ESYS_TR(16), TPML_DIGEST_VALUES([value]))
    esapi.close()


@pytest.mark.parametrize("killed", ["before the entry", "within the entry", "before the extension", "after it", "torn"])
def test_a_measurement_that_was_killed_is_settled_by_the_next(stage: Stage, killed: str) -> None:
    stage.measure(b"one")
    log = stage.folder / "app.cel"
    journal = read_journal(log)
    assert journal is not None
    assert journal.counts == {16: 1}
    content = ApplicationContent(event_type="app.config", name="two", digest=SHA256.digest(b"two"))
    with TpmDevice(TpmSettings(tcti=stage.tpm.tcti), pause=lambda _seconds: True).registers() as registers:
        before = registers.read(16)
        record = application_record(16, content, [bank.tpm_id for bank in before], 1)
        raw = encode_record(record)
        pending = Pending(size=log.stat().st_size, record=raw, before=before)
        write_journal(log, replace(journal, pending=pending))
        written = {"before the entry": b"", "within the entry": raw[:20]}.get(killed, raw)
        with log.open("ab") as file:
            file.write(written)
        if killed == "after it":
            registers.extend(16, {bank: dict(record.digests)[bank.tpm_id] for bank in before})
    if killed == "torn":
        extend_by_hand(stage, bytes(32))
        assert "PCR 16 was then extended by something else" in stage.measure(b"three", fails=True)
        return
    said = stage.measure(b"three")
    assert ("it was finished first" in said) is (killed in {"before the extension", "after it"})
    records = [parse_record(each) for each in CelFile("app", log).read(0).records]
    expected = bytes(32)
    for each in records:
        expected = SHA256.digest(expected + dict(each.digests)[SHA256.tpm_id])
    esapi = ESAPI(stage.tpm.tcti)
    _, _, (value,) = esapi.pcr_read("sha256:16")
    esapi.close()
    assert bytes(value) == expected
    assert len(records) == (3 if written == raw else 2)


def test_a_log_of_another_boot_is_not_read_and_starts_anew(stage: Stage) -> None:
    stage.measure(b"one")
    log = CelFile("app", stage.folder / "app.cel")
    journal = read_journal(stage.folder / "app.cel")
    assert journal is not None
    assert log.is_current(PcrLifetime(reset_count=journal.reset_count, restart_count=0))
    stage.tpm.reboot(graceful=True)
    assert not log.is_current(PcrLifetime(reset_count=journal.reset_count + 1, restart_count=0))
    assert not log.has_grown()
    stage.measure(b"two")
    assert log.is_current(PcrLifetime(reset_count=journal.reset_count + 1, restart_count=0))
    assert len(CelFile("app", stage.folder / "app.cel").read(0).records) == 1
