"""Proofs from a real tiled log: what they prove, what they do not, and that no change of one passes."""

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relying_party.__main__ import main
from relying_party.proof_check import Verdict
from schemas.errors import PeerError
from tests.fakes.proven_log import ProvenLog

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(time_us: int) -> str:
    return (EPOCH + timedelta(microseconds=time_us)).isoformat()


@dataclass
class Proven:
    """A log and the time to ask about: between two stamped checkpoints and handles."""

    log: ProvenLog
    at_us: int

    def prove(self, at_us: int | None = None, name: str = "proof") -> Path:
        out = self.log.folder / name
        files = ["--audit-log", str(self.log.log), "--attester", self.log.ueid, "--out", str(out)]
        assert main(["audit", "prove", *files, "--at", iso(at_us or self.at_us)]) == 0
        return out

    def check(self, proof: Path, *more: str) -> int:
        files = ["--log-key", str(self.log.folder / "audit.vkey"), "--tsa-root", str(self.log.folder / "tsa.pem")]
        return main(["audit", "check", str(proof), *files, *more])


def run_of(folder: Path, *, evil_before: bool = False, evil_after: bool = False, reboot: bool = False) -> Proven:
    """Evidence, a stamped checkpoint, the time asked for, a handle, evidence, a stamped checkpoint."""
    log = ProvenLog(folder)
    device = log.recording.device
    device.sync(log.recording.new_handle())
    log.recording.pass_s(3600)
    device.sync(log.recording.new_handle())
    log.recording.deliver(log.recording._made())
    log.recording.pass_s(1)
    device.run(b"/usr/bin/true", b"true")
    if evil_before:
        device.run(b"/tmp/evil", b"evil")
    log.recording.deliver(log.recording._made())
    log.recording.pass_s(1)
    log.publish()
    log.recording.pass_s(20)
    at_us = log.recording.now_us
    log.recording.pass_s(20)
    if reboot:
        device.reboot()
    if evil_after:
        device.run(b"/tmp/evil", b"evil")
    device.run(b"/usr/bin/cat", b"cat")
    device.sync(log.recording.new_handle())
    log.recording.pass_s(1)
    log.recording.deliver(log.recording._made())
    log.recording.pass_s(1)
    log.publish()
    return Proven(log=log, at_us=at_us)


def test_a_good_device_is_proven_to_have_been_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proven = run_of(tmp_path)
    proof = proven.prove()
    assert proven.check(proof) == 0
    told = capsys.readouterr().out
    assert "PROVEN, YES" in told
    assert "SAME BOOT" in told
    assert "had not been reset" in told
    answer = proven.log.check(proof.read_bytes())
    assert answer.before is not None
    assert answer.after is not None
    assert answer.before.stamped_us is not None
    assert answer.before.stamped_us <= proven.at_us <= answer.after.after_us
    assert (answer.after.listing.files, answer.after.listing.listed) == (2, 2)
    assert answer.after.listing.registers == answer.after.listing.registers_listed == 10


def test_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proven = run_of(tmp_path)
    proof = proven.prove()
    capsys.readouterr()
    assert proven.check(proof, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["answer"], told["missing"], told["after"]["files"]) == ("yes", [], 2)


def test_a_bad_device_is_proven_to_have_been_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proven = run_of(tmp_path, evil_before=True)
    assert proven.check(proven.prove()) == 1
    told = capsys.readouterr().out
    assert "PROVEN, NO" in told
    assert "not listed: /tmp/evil" in told


def test_what_became_bad_later_says_nothing_about_before(tmp_path: Path) -> None:
    """Nor that it was good: the logs do not say when within the gap it ran."""
    proven = run_of(tmp_path, evil_after=True)
    answer = proven.log.check(proven.prove().read_bytes())
    assert answer.verdict is Verdict.UNKNOWN


def test_a_reboot_in_between_leaves_the_time_open(tmp_path: Path) -> None:
    proven = run_of(tmp_path, reboot=True)
    answer = proven.log.check(proven.prove().read_bytes())
    assert answer.verdict is Verdict.UNKNOWN
    assert not answer.same_boot
    assert any("different boots" in each for each in answer.missing)


@pytest.mark.parametrize(("offset_s", "wanting"), [(-4000, "no evidence from before"), (100, "no evidence from after")])
def test_one_side_alone_says_what_it_does_not_show(tmp_path: Path, offset_s: int, wanting: str) -> None:
    proven = run_of(tmp_path)
    answer = proven.log.check(proven.prove(proven.at_us + offset_s * 1_000_000).read_bytes())
    assert answer.verdict is Verdict.UNKNOWN
    assert any(wanting in each for each in answer.missing)


def test_without_a_stamp_before_the_time_it_is_the_verifiers_word(tmp_path: Path) -> None:
    proven = run_of(tmp_path)
    first = next(size for size in proven.log.rig.reader.stamped())
    (proven.log.log / f"stamps/{first}.tst").unlink()
    answer = proven.log.check(proven.prove().read_bytes())
    assert answer.verdict is Verdict.UNKNOWN
    assert any("verifier's word alone" in each for each in answer.missing)


def test_another_key_another_root(tmp_path: Path) -> None:
    proven, other = run_of(tmp_path), tmp_path / "other"
    other.mkdir()
    stranger = run_of(other)
    proof = proven.prove()
    files = {"--log-key": proven.log.folder / "audit.vkey", "--tsa-root": stranger.log.folder / "tsa.pem"}
    options = [part for name, file in files.items() for part in (name, str(file))]
    assert main(["audit", "check", str(proof), *options]) == 1


def flips(raw: bytes, step: int = 1) -> list[tuple[int, int]]:
    return [(place, bit) for place in range(0, len(raw), step) for bit in range(8)]


def test_no_flipped_bit_passes(tmp_path: Path) -> None:
    """The checksum finds each of them."""
    proven = run_of(tmp_path)
    raw = proven.prove().read_bytes()
    passed = []
    for place in range(len(raw)):
        for bit in range(8) if place % 16 == 0 else (place % 8,):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            with contextlib.suppress(PeerError):
                proven.log.check(bytes(changed))
                passed.append((place, bit))
    assert passed == []
