"""Sub-commands that need no broker: show, --version, and settings that hold."""

from pathlib import Path

import pytest

from attester_agent import claim_collection
from attester_agent.__main__ import main
from attester_agent.claims import Collector
from attester_agent.commands.claims import describe_claims
from attester_agent.commands.provision import next_steps, write_identity
from attester_agent.core.handle_gate import AcceptedHandle
from attester_agent.push_maker import PushMaker
from attester_agent.settings import ClaimSettings, EvidenceSettings, Settings, TpmSettings, TrustSettings
from schemas.errors import ConfigError
from schemas.hashes import SHA256
from schemas.identifiers import HandleId, ueid_text
from schemas.tpm.pcr import parse_selection_text
from tests.builders.log_bytes import ima_ng
from tests.fakes.attester import MemoryLog, SoftTpm, state_of


def test_show_prints_evidence_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tpm, ima = SoftTpm(), MemoryLog()
    ima.measure(tpm, ima_ng(b"/bin/sh", b"x"), b"not its digest".ljust(32))
    handle = AcceptedHandle(id=HandleId(b"h" * 32), time_us=1, expires_us=2)
    maker = PushMaker(tpm, [ima], selection=parse_selection_text("sha256:0,10"), max_bytes=10_000)
    path = tmp_path / "evidence.cbor"
    path.write_bytes(maker.make(state_of(tpm), handle, {"os": "x"}).payload)
    assert main(["show", str(path)]) == 0
    shown = capsys.readouterr().out
    for expected in (
        "NOT VERIFIED",
        ueid_text(tpm.identity.ueid),
        "0 (full)",
        "os = 'x'",
        "ima from entry 0",
        "68" * 32,
    ):
        assert expected in shown


@pytest.mark.parametrize("content", [b"", b"\xff" * 50])
def test_show_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    path = tmp_path / "evidence.cbor"
    path.write_bytes(content)
    assert main(["show", str(path)]) == 1
    assert "malformed" in capsys.readouterr().err


def test_show_of_no_file_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "no-such-file"]) == 2
    assert "no-such-file: No such file" in capsys.readouterr().err


def test_claims_are_shown_with_what_else_speaks_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collectors = {
        "command-line": Collector(collect=lambda: "quiet", measured_in="boot log: PCR 8"),
        "hours": Collector(collect=lambda: 5, by_name_only=True),
    }
    monkeypatch.setattr(claim_collection, "load_collectors", lambda: collectors)
    (tmp_path / "web.container").write_bytes(b"image")
    settings = Settings(
        state=tmp_path / "state.db",
        name="device-1",
        trust=TrustSettings(distributor_keys=(Path("d.pem"),), tsa_roots=(Path("t.pem"),)),
        claims=ClaimSettings(containers=(tmp_path / "web.container",)),
    )
    assert describe_claims(settings).splitlines() == [
        "label = 'device-1'",
        "command-line = 'quiet'  (also in the boot log: PCR 8)",
        f"containers/web.container = 'sha256:{SHA256.digest(b'image').hex()}'",
        "not selected: hours",
    ]


def test_provisioning_writes_what_the_endorser_needs(tmp_path: Path) -> None:
    identity = SoftTpm().identity
    write_identity(identity, tmp_path / "new" / "folder")
    written = {path.name: path.read_bytes() for path in (tmp_path / "new" / "folder").iterdir()}
    assert written["attester.ueid"] == ueid_text(identity.ueid).encode() + b"\n"
    assert written["ak.tpmt_public"] == identity.public
    assert written["ak.pem"].startswith(b"-----BEGIN PUBLIC KEY-----")
    assert "endorse" in next_steps(identity, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--out"):
        write_identity(identity, tmp_path / "file" / "folder")


@pytest.mark.parametrize(
    ("settings", "values", "named"),
    [
        (TpmSettings, {"hierarchy": "platform"}, "hierarchy: 'platform'"),
        (TpmSettings, {"ek": "dsa"}, "ek: 'dsa'"),
        (TpmSettings, {"tcti": ""}, "tcti"),
        (TpmSettings, {"ak_handle": 0x8101_0001}, "ak_handle: 0x81010001"),  # where the TCG has endorsement keys
        (EvidenceSettings, {"pcrs": "sha256:none"}, "pcrs"),
        (EvidenceSettings, {"max_evidence_bytes": 100}, "max_evidence_bytes: 100"),
        (EvidenceSettings, {"spool_max_bytes": 1000}, "spool_max_bytes: 1000"),
        (EvidenceSettings, {"baseline_every": -1}, "baseline_every: -1"),
        (EvidenceSettings, {"solicit_burst": 0}, "solicit_burst"),
        (TrustSettings, {"distributor_keys": (), "tsa_roots": (Path("x"),)}, "distributor_keys"),
        (TrustSettings, {"distributor_keys": (Path("x"),), "tsa_roots": ()}, "tsa_roots"),
        (
            TrustSettings,
            {"distributor_keys": (Path("x"),), "tsa_roots": (Path("x"),), "clock": "maybe"},
            "clock: 'maybe'",
        ),
    ],
)
def test_settings_that_cannot_work_are_named(settings: type, values: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**values)
    assert named in caught.value.detail
