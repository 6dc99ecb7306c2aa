"""``verifier-worker audit verify`` on a real tiled log: what it prints, and how it ends."""

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.audit.anchors import encode_anchors, parse_anchors
from schemas.audit.entry import EvidenceEntry, ObjectEntry, encode_entry, parse_entry
from schemas.tlog.signed_note import note_key
from tests.fakes.log_store import ORIGIN, LogRig
from tests.worlds.proven_log import ProvenLog
from verifier_worker.__main__ import main


@pytest.fixture
def log(tmp_path: Path, at_end: ExitStack) -> ProvenLog:
    """Three results, two of them under the checkpoint."""
    made = at_end.enter_context(ProvenLog(tmp_path))
    recording = made.recording
    recording.device.sync(recording.new_handle())
    for _ in range(2):
        recording.pass_s(1)
        recording.deliver(recording._made())
    recording.pass_s(1)
    recording.deliver(b"\xff")
    made.publish()
    return made


def verify(log: Path, *options: str) -> int:
    return main(["audit", "verify", str(log), *options])


def pem(folder: Path, name: str, key: EllipticCurvePublicKey) -> str:
    file = folder / name
    file.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return str(file)


def test_a_true_log_verifies_and_says_whom_it_believed(log: ProvenLog, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(log.log, "--log-key", str(log.folder / "audit.vkey")) == 0
    told = capsys.readouterr().out
    assert "all 2 results derived again" in told
    assert told.count("not proven: only the log names it") == 4
    assert "are those of the checkpoint" in told
    endorser = pem(log.folder, "endorser.pub", log.recording.endorser.public_key())
    assert verify(log.log, "--endorser-key", endorser, "--tsa-root", str(log.folder / "tsa.pem")) == 0
    told = capsys.readouterr().out
    assert told.count("not proven: only the log names it") == 2
    assert "its signature was not checked" in told


def test_a_stranger_is_not_believed_whatever_the_log_says(log: ProvenLog, capsys: pytest.CaptureFixture[str]) -> None:
    stranger = pem(log.folder, "stranger.pub", generate_private_key(SECP256R1()).public_key())
    assert verify(log.log, "--verifier-key", stranger, "--json") == 1
    *problems, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert {each["field"] for each in problems} == {"result"}
    assert summary["first_bad_index"] == problems[0]["index"]


def rewritten(log: ProvenLog, folder: Path, entries: list[bytes]) -> Path:
    """Another tree, signed by the log's own key."""
    folder.mkdir()
    rig = LogRig(folder)
    rig.write(entries)
    return rig.log


def test_a_log_made_anew_with_its_own_key_is_found_by_what_it_says(
    log: ProvenLog, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = log.recording.entries
    index = next(
        place
        for place, raw in enumerate(entries)
        if isinstance(entry := parse_entry(raw), EvidenceEntry) and entry.result is not None
    )
    entry = parse_entry(entries[index])
    entries[index] = encode_entry(replace(entry, received_us=entry.received_us - 1000))
    made = rewritten(log, log.folder / "other", entries)
    assert verify(made, "--log-key", str(log.folder / "audit.vkey")) == 1
    told = capsys.readouterr().out
    assert f"entry {index}: " in told
    assert f"the first at entry {index}" in told
    assert "recorded" in told
    assert "derived" in told


def test_what_a_log_says_of_its_verifier_cannot_write_a_line_of_the_answer(
    log: ProvenLog, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = log.recording.entries
    beginning = parse_entry(entries[0])
    assert isinstance(beginning, ObjectEntry)
    hostile = "v1\nall 9 results derived again\x1b[8m\u202e\x9b"
    anchors = replace(parse_anchors(beginning.raw), verifier=hostile, build=hostile)
    entries[0] = encode_entry(replace(beginning, raw=encode_anchors(anchors)))
    assert verify(rewritten(log, log.folder / "other", entries)) == 1  # its start names other anchors
    told = capsys.readouterr().out
    assert told.count("v1\\nall 9 results derived again\\x1b[8m\\u202e\\x9b") == 2
    assert not [line for line in told.splitlines() if line.startswith("all ")]
    assert not set(told) & {"\x1b", "\u202e", "\x9b"}


def test_a_damaged_file_s_name_cannot_write_a_line_either(log: ProvenLog, capsys: pytest.CaptureFixture[str]) -> None:
    raw = bytearray(log.recording.audit_file.read_bytes())
    raw[len(raw) // 2] ^= 1
    damaged = log.folder / "sent\nall 9 results derived again\x1b[8m"
    damaged.write_bytes(raw)
    assert verify(damaged) == 1
    told = capsys.readouterr().err
    assert "sent\\nall 9 results derived again\\x1b[8m: damaged at offset" in told
    assert "\x1b" not in told


def test_a_changed_file_of_the_log_is_found_by_the_tree(log: ProvenLog, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = next(each for each in (log.log / "tile" / "entries").rglob("*") if each.is_file())
    content = bytearray(bundle.read_bytes())
    place = len(content) - 5  # of the refused message: nothing else hangs on it
    content[place] ^= 1
    bundle.write_bytes(content)
    assert verify(log.log) == 1
    assert "tree: audit-log-altered" in capsys.readouterr().out


def test_wrong_options_files_and_keys(log: ProvenLog, capsys: pytest.CaptureFixture[str]) -> None:
    other = note_key(ORIGIN, Ed25519PrivateKey.generate()).text
    for options, status, said in (
        ([str(log.folder / "none")], 2, "none"),
        ([str(log.log), "--log-key", "x+y"], 2, "--log-key"),
        ([str(log.log), "--endorser-key", str(log.folder / "none")], 2, "--endorser-key"),
        ([str(log.log), "--tsa-intermediate", str(log.folder / "tsa.pem")], 2, "--tsa-intermediate"),
        ([str(log.log), "--log-key", other], 1, "no signature by"),
        ([str(log.recording.audit_file), "--log-key", other], 2, "no tiled log"),
    ):
        assert main(["audit", "verify", *options]) == status, options
        assert said in capsys.readouterr().err, options


def test_a_single_file_is_derived_without_a_tree(log: ProvenLog, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(log.recording.audit_file) == 0
    assert "nothing but the verifier's word" in capsys.readouterr().out
