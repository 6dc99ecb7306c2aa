"""``run --check-config`` and ``audit``: what is wrong is named, nothing is changed, a running service does not mind."""

from pathlib import Path

import pytest

from attester_agent.__main__ import main as agent
from runtime.audit_log.frames import FrameFile
from runtime.audit_log.signer import generate_audit_log_key
from runtime.keys import generate_key_pair
from schemas.errors import ConfigError
from tests.builders.token_forge import ForgedAuthority
from verifier_worker.__main__ import main as verifier
from verifier_worker.adapters.state_store import SqliteStateStore

AGENT = """
state = "state/agent.db"
[trust]
distributor_keys = ["key.pub"]
tsa_roots = ["tsa.pem"]
[logs]
ima = "ima.log"
"""
VERIFIER = """
name = "v"
signing_key = "key.pem"
database = "state/state.db"
audit_log = "state/audit"
[audit]
signing_key = "audit.key"
[trust]
endorser_keys = ["key.pub"]
distributor_keys = ["key.pub"]
tsa_roots = ["tsa.pem"]
"""


@pytest.fixture(name="folder")
def folder_of_files(tmp_path: Path) -> Path:
    generate_key_pair(tmp_path / "key.pem")
    generate_audit_log_key(tmp_path / "audit.key")
    (tmp_path / "tsa.pem").write_bytes(ForgedAuthority.make().root.pem)
    (tmp_path / "ima.log").write_bytes(b"")
    (tmp_path / "state").mkdir()
    (tmp_path / "agent.toml").write_text(AGENT)
    (tmp_path / "verifier.toml").write_text(VERIFIER)
    return tmp_path


def test_a_right_configuration_is_right_and_leaves_no_trace(folder: Path) -> None:
    assert verifier(["run", "--config", str(folder / "verifier.toml"), "--check-config"]) == 0
    assert agent(["run", "--config", str(folder / "agent.toml"), "--check-config"]) == 0
    assert list((folder / "state").iterdir()) == []


def test_the_verifiers_configuration_can_be_checked_while_it_runs(folder: Path) -> None:
    store = SqliteStateStore(folder / "state" / "state.db")
    assert verifier(["run", "--config", str(folder / "verifier.toml"), "--check-config"]) == 0
    with pytest.raises(ConfigError, match=r"database: .*state\.db"):
        SqliteStateStore(folder / "state" / "state.db")
    store.close()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"state/state.db"', '"none/state.db"', "database: "),
        ('"state/audit"', '"key.pem/audit"', "audit_log: "),
        ('"state/audit"', '"ima.log"', "audit_log: "),
        ('signing_key = "audit.key"', "", "audit.signing_key: missing; an audit log is signed by a key of its own"),
        ('signing_key = "audit.key"', 'signing_key = "key.pem"', "audit.signing_key: "),
        ('signing_key = "audit.key"', 'signing_key = "audit.key"\norigin = "a b"', "audit.origin: "),
        ('signing_key = "audit.key"', 'signing_key = "audit.key"\ncheckpoint_interval_s = 0', "audit.checkpoint_inter"),
        ('signing_key = "audit.key"', 'signing_key = "audit.key"\nstore = "ftp://x"', "audit.store: "),
        ("[trust]", '[audit.tsa]\nurls = ["ftp://tsa/"]\n[trust]', "audit.tsa.urls: "),
        ('signing_key = "key.pem"', 'signing_key = "key.pub"', "signing_key: "),
        ('name = "v"', 'name = "v"\nresult_format = "xml"', "result_format: 'xml', expected jwt or cwt"),
        ('endorser_keys = ["key.pub"]', 'endorser_keys = ["none"]', "trust.endorser_keys: "),
        ('tsa_roots = ["tsa.pem"]', 'tsa_roots = ["key.pem"]', "trust.tsa_roots: "),
    ],
)
def test_the_verifier_names_file_and_field(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, words: str
) -> None:
    path = folder / "verifier.toml"
    path.write_text(VERIFIER.replace(old, new))
    assert verifier(["run", "--config", str(path), "--check-config"]) == 2
    assert f"{path}: {words}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"state/agent.db"', '"none/agent.db"', "state: "),
        ('"ima.log"', '"none.log"', "logs.ima: "),
        ('ima = "ima.log"', 'cel = { app = "none/app.cel" }', "logs.cel.app: "),
        ('["key.pub"]', '["tsa.pem"]', "trust.distributor_keys: "),
        ("[logs]", '[sync_stamp]\nurls = ["http://tsa/"]\n[logs]', "sync_stamp.roots: empty"),
        ("[logs]", '[sync_stamp]\nroots = ["tsa.pem"]\n[logs]', "sync_stamp.urls: empty"),
        ("[logs]", '[sync_stamp]\nurls = ["ftp://tsa/"]\nroots = ["tsa.pem"]\n[logs]', "sync_stamp.urls: 'ftp"),
        ("[logs]", '[sync_stamp]\nurls = ["http://t/"]\nroots = ["none"]\n[logs]', "sync_stamp.roots, "),
        (
            "[logs]",
            '[sync_stamp]\nurls = ["https://t/"]\nroots = ["tsa.pem"]\ntls_ca_file = "none"\n[logs]',
            "sync_stamp.tls_ca_file: ",
        ),
        (
            "[logs]",
            '[sync_stamp]\nurls = ["http://t/"]\nroots = ["tsa.pem"]\ntimeout_s = 60\n[logs]',
            "sync_stamp.timeout_s: ",
        ),
        ("[trust]", 'handle_file = "state"\n[trust]', "handle_file: "),
        ("[logs]", '[tpm]\ntcti = "devise:/dev/tpmrm0"\n[logs]', "tpm.tcti: "),
    ],
)
def test_the_agent_names_file_and_field(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, words: str
) -> None:
    path = folder / "agent.toml"
    path.write_text(AGENT.replace(old, new))
    assert agent(["run", "--config", str(path), "--check-config"]) == 2
    assert f"{path}: {words}" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"x", b"some text that is longer than the head of a frame\n" * 9, b"\0" * 64])
def test_what_is_no_audit_log_is_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(content)
    assert verifier(["audit", "show", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "not an audit log, or damaged at offset 0" in captured.err


def test_a_torn_tail_is_said_after_the_entries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "audit.log"
    log = FrameFile(path)
    assert verifier(["audit", "show", str(path)]) == 0
    log.append([(1, b"one"), (2, b"two")])
    log.close()
    assert verifier(["audit", "show", str(path)]) == 0
    capsys.readouterr()
    path.write_bytes(path.read_bytes()[:-1])
    assert verifier(["audit", "show", str(path)]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert "offset 19" in captured.err
