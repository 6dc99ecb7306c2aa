"""Go's notes and Merkle trees, and openssl, agree with our check of a proof."""

import hashlib
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cbor2
import pytest

from tests.builders.damage import flipped
from tests.worlds.proven_log import run_of

PROGRAM = Path(__file__).resolve().parents[2] / "programs" / "go" / "checkproof.go"


def content_of(proof: bytes) -> Any:  # noqa: ANN401 decoded CBOR
    """Without our own code: the media type, the content, its SHA-256."""
    _, content, checksum = cbor2.loads(proof)
    assert hashlib.sha256(content).digest() == checksum
    return cbor2.loads(content)


@pytest.mark.needs("go")
def test_go_finds_every_entry_in_the_signed_tree(tmp_path: Path, at_end: ExitStack) -> None:
    if not Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("golang-golang-x-mod-dev is not installed")
    (tmp_path / "made").mkdir()
    proven = run_of(at_end, tmp_path / "made")
    content = content_of(proven.prove().read_bytes())
    vkey = (proven.log.folder / "audit.vkey").read_text().strip()
    environment = {
        **os.environ,
        "GOPATH": "/usr/share/gocode",
        "GO111MODULE": "off",
        "GOCACHE": str(tmp_path / "cache"),
    }
    judged, lines, command = [], list[str](), list[str]()
    for head, (note, _, _) in enumerate(content[3]):
        folder = tmp_path / f"head-{head}"
        folder.mkdir()
        (folder / "checkpoint").write_bytes(note)
        lines = []
        for index, of_head, path, entry in map(cbor2.loads, content[5]):
            if of_head == head:
                (folder / f"leaf-{index}").write_bytes(entry)  # a short entry is its own leaf
                lines.append(f"{index} leaf-{index} {path.hex()}\n")
        (folder / "entries").write_text("".join(lines))
        command = ["go", "run", str(PROGRAM), str(folder), vkey]
        judged.append(subprocess.run(command, capture_output=True, text=True, env=environment, check=False))
        assert judged[-1].returncode == 0, judged[-1].stderr
        assert judged[-1].stdout.startswith(f"{len(lines)} entries are in the tree of ")
    assert len(judged) == 3
    changed = tmp_path / "head-2" / lines[0].split()[1]
    changed.write_bytes(flipped(changed.read_bytes()))
    assert subprocess.run(command, capture_output=True, env=environment, check=False).returncode == 1


@pytest.mark.needs("openssl")
def test_openssl_verifies_the_stamps(tmp_path: Path, at_end: ExitStack) -> None:
    proven = run_of(at_end, tmp_path)
    content = content_of(proven.prove().read_bytes())
    for head, (note, token, _) in enumerate(content[3]):
        (tmp_path / "note").write_bytes(note)
        (tmp_path / "token").write_bytes(token)

        def verify() -> subprocess.CompletedProcess[str]:
            stamp = ["-token_in", "-in", str(tmp_path / "token"), "-data", str(tmp_path / "note")]
            command = ["openssl", "ts", "-verify", *stamp, "-CAfile", str(proven.log.folder / "tsa.pem")]
            # The audit log of this test is of 2027; its certificates outlive any clock here.
            return subprocess.run([*command, "-no_check_time"], capture_output=True, text=True, check=False)

        assert "Verification: OK" in verify().stdout, (head, verify().stderr)
        (tmp_path / "note").write_bytes(note.replace(b"\n", b"\r", 1))
        assert "Verification: OK" not in verify().stdout
