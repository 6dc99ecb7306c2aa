"""A log written by the real writer, judged by others: Go's implementation of notes and trees, and ``openssl ts``."""

import os
import subprocess
from pathlib import Path

import pytest

from relying_party.__main__ import main
from runtime.audit_log.log_reader import AuditLogReader
from runtime.audit_log.settings import AuditSettings, AuditTsaSettings
from runtime.audit_log.signer import generate_audit_log_key
from runtime.audit_log.writer import AuditPlace, AuditWriter
from tests.fakes.log_store import made_entries
from tests.programs.tsa import misbehaving_tsa, refusing, running_tsa
from tests.programs.waiting import wait_until

PROGRAM = Path(__file__).resolve().parents[2] / "programs" / "go" / "checklog.go"
ENTRIES = made_entries(600, large=(3, 550))


def place(folder: Path, *urls: str, root: Path | None = None) -> AuditPlace:
    key = folder / "audit.key"
    if not key.exists():
        generate_audit_log_key(key, "log.example/audit")
    return AuditPlace(
        folder=folder / "log",
        settings=AuditSettings(
            signing_key=key, checkpoint_interval_s=0.05, tsa=AuditTsaSettings(urls=urls, timeout_s=10)
        ),
        made_by="keygen",
        tsa_roots=(root,) if root is not None else (),
    )


def write(where: AuditPlace, *sizes: int) -> AuditLogReader:
    """Writes entries with a pause at each of these sizes, for a checkpoint, and stops in order."""
    writer = AuditWriter(where)
    reader = AuditLogReader(where.store())
    writer.start()
    done = writer.last_number()
    for size in sizes:
        writer.append(list(enumerate(ENTRIES, 1))[done:size])
        done = size
        wait_until(lambda size=size: reader.unverified_size() == size, f"a checkpoint of {size}")  # type: ignore[misc]  # mypy does not infer defaults
    writer.close()
    return reader


def go(folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "GOPATH": "/usr/share/gocode",
        "GO111MODULE": "off",
        "GOCACHE": str(cache),
    }
    vkey = (folder / "audit.vkey").read_text().strip()
    command = ["go", "run", str(PROGRAM), str(folder / "log"), vkey]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.needs("go")
def test_go_s_implementation_finds_the_same_roots_and_proofs(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if not Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("golang-golang-x-mod-dev is not installed")
    write(place(tmp_path), 1, 256, 300, 600)
    cache = tmp_path_factory.mktemp("gocache")
    judged = go(tmp_path, cache)
    assert judged.stdout == "600 entries, 4 checkpoints hold\n", judged.stderr
    tile = tmp_path / "log" / "tile" / "0" / "001"
    content = bytearray(tile.read_bytes())
    content[5] ^= 1
    tile.write_bytes(content)
    assert go(tmp_path, cache).returncode == 1


@pytest.mark.needs("openssl")
def test_openssl_verifies_the_stamps_of_checkpoints(tmp_path: Path) -> None:
    with running_tsa(tmp_path / "tsa") as tsa:
        reader = write(place(tmp_path, tsa.url, root=tsa.root_file), 5, 40)
    assert reader.checkpoints()[-1] == 40
    assert reader.stamped()[-1] == 40
    for size in reader.stamped():
        files = {
            "-in": f"stamps/{size}.tst",
            "-data": f"checkpoints/{size}",
            "-CAfile": str(tsa.root_file),
        }
        command = ["openssl", "ts", "-verify", "-token_in", *(part for each in files.items() for part in each)]
        done = subprocess.run(command, cwd=tmp_path / "log", capture_output=True, text=True, check=False)
        assert "Verification: OK" in done.stdout, done.stderr
    key = str(tmp_path / "audit.vkey")
    assert main(["audit", "fsck", str(tmp_path / "log"), "--log-key", key, "--tsa-root", str(tsa.root_file)]) == 0


@pytest.mark.needs("openssl")
def test_a_tsa_that_refuses_holds_up_nothing_and_another_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_tsa(tmp_path / "tsa") as tsa, misbehaving_tsa(refusing) as refused:
        reader = write(place(tmp_path, refused, root=tsa.root_file), 5, 40)
        assert reader.checkpoints()[-1] == 40
        assert reader.stamped() == ()
        reader = write(place(tmp_path, refused, tsa.url, root=tsa.root_file))
        assert reader.stamped() == (40,)
