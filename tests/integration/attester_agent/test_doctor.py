"""``attester-agent doctor`` on a real TPM and a real broker: what it says where something is missing, and where not."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attester_agent.__main__ import main as agent
from attester_agent.doctor_checks import _missing_banks
from endorser.__main__ import main as endorser
from runtime import clock
from schemas import media_types
from schemas.codecs import cmw
from schemas.hashes import SHA256
from schemas.identifiers import parse_ueid_text
from schemas.media_types import Indicator
from schemas.topics import Topics
from schemas.tpm.pcr import parse_selection_text
from tests.builders.log_bytes import FIRMWARE
from tests.fakes.attester import HandleMint
from tests.programs.mosquitto import Mosquitto, running_mosquitto
from tests.programs.mqtt_client import listening
from tests.programs.swtpm import Swtpm, running_swtpm

pytestmark = pytest.mark.needs("swtpm", "mosquitto")
TOPICS = Topics()


class Device:
    """A folder with a configuration, a TPM and a broker."""

    def __init__(self, folder: Path, tpm: Swtpm, broker: Mosquitto) -> None:
        self.folder, self.tpm, self.broker, self.mint = folder, tpm, broker, HandleMint()
        pem = self.mint.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "distributor.pub").write_bytes(pem)
        (folder / "root.pem").write_bytes(self.mint.authority.root.pem)
        (folder / "boot").write_bytes((FIRMWARE / "binary_bios_measurements").read_bytes())
        assert endorser(["keygen", "--out", str(folder / "endorser.key")]) == 0
        self.configure()

    def configure(self, **changes: str) -> None:
        values = {"tcti": self.tpm.tcti, "port": str(self.broker.port), "pcrs": "sha256:0-10", "tcg2": "boot"} | changes
        (self.folder / "agent.toml").write_text(
            f'state = "agent.db"\n[mqtt]\nport = {values["port"]}\n[tpm]\ntcti = "{values["tcti"]}"\n'
            f'[evidence]\npcrs = "{values["pcrs"]}"\n[logs]\ntcg2 = "{values["tcg2"]}"\n'
            '[trust]\ndistributor_keys = ["distributor.pub"]\ntsa_roots = ["root.pem"]\n'
            'verifier_keys = ["endorser.pub"]\n'
        )

    def publish_handle(self, time_us: int) -> None:
        with listening(self.broker.port, TOPICS.all_handles) as client:
            payload = cmw.wrap(media_types.HANDLE, self.mint.raw(time_us), Indicator.HANDLE)
            client.publish(f"{TOPICS.root}/handles/distributor-1", payload, retain=True)

    def enrol_by_hand(self) -> None:
        out = self.folder / "provisioned"
        assert agent(["provision", "--config", str(self.folder / "agent.toml"), "--out", str(out)]) == 0
        endorsement = self.folder / "device.endorsement"
        command = ["endorse", "--key", str(self.folder / "endorser.key"), "--ueid", str(out / "attester.ueid")]
        assert endorser([*command, "--ak-public", str(out / "ak.tpmt_public"), "--out", str(endorsement)]) == 0
        ueid = parse_ueid_text((out / "attester.ueid").read_text().strip())
        with listening(self.broker.port, TOPICS.all_handles) as client:
            payload = cmw.wrap(media_types.SIGNED_CORIM, endorsement.read_bytes(), Indicator.ENDORSEMENTS)
            client.publish(TOPICS.endorsements(ueid), payload, retain=True)

    def doctor(self, *options: str) -> int:
        return agent(["doctor", "--config", str(self.folder / "agent.toml"), *options])


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with ExitStack() as stack:
        for name in ("broker", "tpm", "device"):
            (tmp_path / name).mkdir()
        broker = stack.enter_context(running_mosquitto(tmp_path / "broker"))
        tpm = stack.enter_context(running_swtpm(tmp_path / "tpm"))
        yield Device(tmp_path / "device", tpm, broker)


def test_a_device_that_is_ready(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    device.publish_handle(clock.utc_us())
    device.enrol_by_hand()
    capsys.readouterr()
    assert device.doctor("--endorser-key", str(device.folder / "endorser.pub")) == 0
    said = capsys.readouterr().out
    assert "fail" not in said
    assert "warn" not in said
    for check in (
        "keys and roots",
        "state",
        "log tcg2",
        "tpm",
        "attesting key",
        "broker",
        "handle",
        "clock",
        "enrolment",
    ):
        assert f"ok    {check}: " in said


@pytest.mark.parametrize(("pcr", "grade"), [(14, "ok  "), (16, "warn"), (23, "warn")])
def test_a_log_of_a_pcr_that_can_be_reset_is_named(
    device: Device, capsys: pytest.CaptureFixture[str], pcr: int, grade: str
) -> None:
    config, measured = device.folder / "agent.toml", device.folder / "app.conf"
    config.write_text(config.read_text() + '[logs.cel]\napp = "app.cel"\n')
    measured.write_text("listen = 443\n")
    named = ["--pcr", str(pcr), "--type", "app.config", "--file", str(measured)]
    assert agent(["measure", "--config", str(config), *named]) == 0
    capsys.readouterr()
    device.doctor()
    said = capsys.readouterr().out
    assert f"{grade}  log cel/app: 1 entries" in said
    assert ("resettable = true" in said) is (grade == "warn")


def test_a_new_device_is_told_to_enrol_and_no_key_is_made(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    device.publish_handle(clock.utc_us())
    for _ in range(2):  # the second time as the first
        assert device.doctor() == 1
        said = capsys.readouterr().out
        assert "fail  attesting key: none at 0x81020000" in said
        assert "attester-agent enrol" in said


@pytest.mark.parametrize(
    ("changes", "finding", "todo"),
    [
        ({"tcti": "device:/dev/no-such-tpm"}, "fail  tpm: /dev/no-such-tpm does not exist", "firmware's settings"),
        ({"port": "1"}, "fail  broker: 127.0.0.1:1", "firewall"),
        ({"tcg2": "missing"}, "fail  log tcg2: the file does not exist", "securityfs"),
        ({}, "fail  handle: none on the broker", "handle-distributor"),
    ],
)
def test_each_finding_says_what_to_do(
    device: Device, capsys: pytest.CaptureFixture[str], changes: dict[str, str], finding: str, todo: str
) -> None:
    device.configure(**changes)
    assert device.doctor() == 1
    said = capsys.readouterr().out
    assert finding in said
    assert todo in said


def test_a_bank_that_the_tpm_has_not_allocated_is_named() -> None:
    assert _missing_banks(parse_selection_text("sha256:0+sha384:0"), {SHA256}) == ["sha384"]


def test_a_clock_that_is_behind_is_told_from_handles_that_stopped(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    device.publish_handle(clock.utc_us() + 3_600_000_000)
    assert device.doctor() == 1
    assert "fail  clock: stamped 3600 s after" in capsys.readouterr().out.replace("3599 s", "3600 s")
    device.publish_handle(clock.utc_us() - 86_400_000_000)
    assert device.doctor() == 1
    assert "fail  handle: stamped 86400 s before" in capsys.readouterr().out.replace("86401 s", "86400 s")
