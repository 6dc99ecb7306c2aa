"""Proofs from a real tiled audit log: the facts that they prove, and that no changed proof passes."""

import contextlib
import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relying_party.__main__ import main
from relying_party.audit.proof_check import check_proof
from relying_party.audit.proof_verdict import Verdict
from runtime.audit_log.log_reader import cosignatures_path
from schemas.audit.entry import START, ObjectEntry, parse_entry
from schemas.audit.proof import AuditProof, encode_proof, parse_proof
from schemas.codecs import cbor
from schemas.errors import PeerError
from schemas.identifiers import Ueid, ueid_text
from schemas.media_types import AUDIT_PROOF
from schemas.reasons import Reason
from schemas.tlog.checkpoint import cosign_checkpoint, verify_checkpoint
from schemas.tlog.signed_note import COSIGNATURE_V1, note_key
from schemas.transitions import TransitionKind
from tests.fakes.log_store import LOG_KEY
from tests.worlds.proven_log import Proven, ProvenLog, go_on, iso, run_of
from tests.worlds.recorded_verifier import POLICY


def test_a_good_device_is_proven_to_have_been_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at_end: ExitStack
) -> None:
    proven = run_of(at_end, tmp_path)
    proof = proven.prove()
    assert proven.check(proof) == 0
    told = capsys.readouterr().out
    assert "PROVEN, YES" in told
    assert "SAME BOOT" in told
    assert "was not reset" in told
    answer = proven.log.check(proof.read_bytes())
    assert answer.before is not None
    assert answer.after is not None
    assert answer.before.stamped_us is not None
    assert answer.before.stamped_us <= proven.at_us <= answer.after.after_us
    assert (answer.after.listing.files, answer.after.listing.listed) == (2, 2)
    assert answer.after.listing.registers == answer.after.listing.registers_listed == 10


def test_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str], at_end: ExitStack) -> None:
    proven = run_of(at_end, tmp_path)
    proof = proven.prove()
    capsys.readouterr()
    assert proven.check(proof, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["answer"], told["missing"], told["after"]["files"]) == ("yes", [], 2)


def test_a_bad_device_is_proven_to_have_been_bad(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at_end: ExitStack
) -> None:
    proven = run_of(at_end, tmp_path, evil_before=True)
    assert proven.check(proven.prove()) == 1
    told = capsys.readouterr().out
    assert "PROVEN, NO" in told
    assert "not listed: /tmp/evil" in told


def test_what_became_bad_later_says_nothing_about_before(tmp_path: Path, at_end: ExitStack) -> None:
    """Nor that it was good: the logs do not state when within the gap it ran."""
    proven = run_of(at_end, tmp_path, evil_after=True)
    answer = proven.log.check(proven.prove().read_bytes())
    assert answer.verdict is Verdict.UNKNOWN


def test_a_reboot_in_between_leaves_the_time_open(tmp_path: Path, at_end: ExitStack) -> None:
    proven = run_of(at_end, tmp_path, reboot=True)
    answer = proven.log.check(proven.prove().read_bytes())
    assert answer.verdict is Verdict.UNKNOWN
    assert not answer.same_boot
    assert any("different boots" in each for each in answer.missing)


@pytest.mark.parametrize("side", ["before", "after"])
def test_one_side_alone_says_what_it_does_not_show(tmp_path: Path, side: str, at_end: ExitStack) -> None:
    proven = run_of(at_end, tmp_path)
    made = parse_proof(proven.prove().read_bytes())
    alone = replace(made, before=None) if side == "before" else replace(made, after=None)
    answer = proven.log.check(encode_proof(alone))
    assert answer.verdict is Verdict.UNKNOWN
    assert any(f"no evidence from {side}" in each for each in answer.missing)


@pytest.mark.parametrize(("offset_s", "side"), [(-4000, "before"), (100, "after")])
def test_for_a_time_without_evidence_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], offset_s: int, side: str, at_end: ExitStack
) -> None:
    proven = run_of(at_end, tmp_path)
    kept, at = proven.prove(), iso(proven.at_us + offset_s * 1_000_000)
    capsys.readouterr()
    raw = kept.read_bytes()
    log = ["--audit-log", str(proven.log.log), "--attester", proven.log.ueid, "--at", at]
    for out in (kept, tmp_path / "new"):
        assert main(["audit", "prove", *log, "--out", str(out)]) == 1
        told = capsys.readouterr()
        assert f"no evidence of this device from {side} " in told.err
        assert told.out == ""
    assert kept.read_bytes() == raw
    assert not (tmp_path / "new").exists()


def test_without_a_stamp_before_the_time_it_is_the_verifiers_word(tmp_path: Path, at_end: ExitStack) -> None:
    proven = run_of(at_end, tmp_path)
    first = next(size for size in proven.log.rig.reader.stamped())
    (proven.log.log / f"stamps/{first}.tst").unlink()
    answer = proven.log.check(proven.prove().read_bytes())
    assert answer.verdict is Verdict.UNKNOWN
    assert any("verifier's word alone" in each for each in answer.missing)


def test_another_key_another_root(tmp_path: Path, at_end: ExitStack) -> None:
    proven, other = run_of(at_end, tmp_path), tmp_path / "other"
    other.mkdir()
    stranger = run_of(at_end, other)
    proof = proven.prove()
    files = {"--log-key": proven.log.folder / "audit.vkey", "--tsa-root": stranger.log.folder / "tsa.pem"}
    options = [part for name, file in files.items() for part in (name, str(file))]
    assert main(["audit", "check", str(proof), *options]) == 1


def test_no_flipped_bit_passes(tmp_path: Path, at_end: ExitStack) -> None:
    """If the file still parses, its checksum is wrong."""
    proven = run_of(at_end, tmp_path)
    raw = proven.prove().read_bytes()
    passed, reasons = [], set()
    for place in range(len(raw)):
        for bit in range(8) if place % 16 == 0 else (place % 8,):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            try:
                proven.log.check(bytes(changed))
                passed.append((place, bit))
            except PeerError as error:
                reasons.add(error.reason)
    assert passed == []
    refused = {Reason.AUDIT_PROOF_INVALID, Reason.MALFORMED}
    assert refused <= reasons <= {*refused, Reason.TOO_LARGE}, "signatures are random, so a flip may hit a length"


def resealed(content: bytes) -> bytes:
    """A proof with the right checksum over changed content."""
    return cbor.encode([AUDIT_PROOF, content, hashlib.sha256(content).digest()])


def test_no_flipped_bit_passes_under_a_new_checksum_but_in_the_question(tmp_path: Path, at_end: ExitStack) -> None:
    """A changed time is another question, and changed indices are other sides: the answer is still true."""
    proven = run_of(at_end, tmp_path)
    raw = proven.prove().read_bytes()
    outer: Any = cbor.decode(raw, "proof", max_bytes=len(raw))
    content = outer[1]
    asked = content.index((proven.at_us).to_bytes(8, "big"))
    question = {*range(asked, asked + 8), *range(len(content) - 4, len(content))}
    reasons = set()
    for place in (*range(64), *range(64, len(content), 23), *sorted(question)):
        for bit in range(8) if place in question else (place % 8,):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            try:
                answer = proven.log.check(resealed(bytes(changed)))
            except PeerError as error:
                reasons.add(error.reason)
                continue
            assert place in question, (place, bit)
            assert answer.before is not None
            assert answer.after is not None
            assert answer.before.stamped_us is not None
            within = answer.before.stamped_us <= answer.proof.at_us <= answer.after.after_us
            if place < asked + 8:  # other sides may be of evidence that does not show that the boot went on
                assert (answer.verdict is Verdict.YES) == within
            assert within or answer.verdict is not Verdict.YES
    assert {Reason.AUDIT_PROOF_INVALID, Reason.AUDIT_CHECKPOINT_INVALID, Reason.AUDIT_STAMP_INVALID} <= reasons


def test_a_proof_without_one_of_its_entries_does_not_pass(tmp_path: Path, at_end: ExitStack) -> None:
    """Except entries that only add information, such as a start."""
    proven = run_of(at_end, tmp_path)
    made = parse_proof(proven.prove().read_bytes())
    spared = []
    for place, each in enumerate(made.entries):
        less = replace(made, entries=made.entries[:place] + made.entries[place + 1 :])
        try:
            answer = check_proof(less, proven.log.trust)
        except PeerError:
            continue
        if answer.verdict is Verdict.UNKNOWN:  # without the evidence that the boot continued
            continue
        entry = parse_entry(each.entry)
        spared.append(entry.kind if isinstance(entry, ObjectEntry) else "evidence")
    assert set(spared) <= {START}


Change = Callable[[AuditProof], AuditProof]
ATTACKS: dict[str, tuple[Change, Reason | None]] = {  # None: the proof verifies and proves nothing
    "sides exchanged": (lambda proof: replace(proof, before=proof.after, after=proof.before), None),
    "one side twice": (lambda proof: replace(proof, before=proof.after), None),
    "another device": (
        lambda proof: replace(proof, ueid=Ueid(b"\x01" + bytes(32))),
        Reason.AUDIT_PROOF_INVALID,
    ),
    "heads exchanged": (lambda proof: replace(proof, heads=proof.heads[::-1]), Reason.AUDIT_PROOF_INVALID),
    "the later stamp on the earlier head": (
        lambda proof: replace(proof, heads=(replace(proof.heads[0], stamp=proof.heads[1].stamp), *proof.heads[1:])),
        Reason.AUDIT_STAMP_INVALID,
    ),
    "no consistency": (lambda proof: replace(proof, consistency=()), Reason.AUDIT_PROOF_INVALID),
    "no stamps": (
        lambda proof: replace(proof, heads=tuple(replace(each, stamp=None) for each in proof.heads)),
        None,
    ),
    "another place": (
        lambda proof: replace(
            proof, entries=(*proof.entries[:-1], replace(proof.entries[-1], index=proof.entries[-1].index + 1))
        ),
        Reason.AUDIT_PROOF_INVALID,
    ),
    "an entry of somebody else": (
        lambda proof: replace(proof, entries=(*proof.entries[:-1], replace(proof.entries[-1], entry=b"\xa0"))),
        Reason.AUDIT_PROOF_INVALID,
    ),
    "asked for a side that is no evidence": (
        lambda proof: replace(proof, before=proof.entries[0].index),
        Reason.AUDIT_PROOF_INVALID,
    ),
}


@pytest.mark.parametrize(("change", "reason"), ATTACKS.values(), ids=ATTACKS.keys())
def test_what_a_dishonest_maker_tries(tmp_path: Path, change: Change, reason: Reason | None, at_end: ExitStack) -> None:
    proven = run_of(at_end, tmp_path)
    made = parse_proof(proven.prove().read_bytes())
    changed = parse_proof(encode_proof(change(made)))
    if reason is None:
        assert check_proof(changed, proven.log.trust).verdict is Verdict.UNKNOWN
        return
    with pytest.raises(PeerError) as caught:
        check_proof(changed, proven.log.trust)
    assert caught.value.reason is reason


def test_a_tpm_that_was_cleared_and_counted_up_again_proves_nothing(tmp_path: Path, at_end: ExitStack) -> None:
    """Good, then cleared and bad, then cleared and good again, with as many restarts: the counters are the same."""
    log = at_end.enter_context(ProvenLog(tmp_path))
    recording, device = log.recording, log.recording.device
    device.sync(recording.new_handle())
    recording.deliver(recording._made())
    recording.pass_s(1)
    log.publish()
    recording.pass_s(60)
    at_us = recording.now_us
    recording.pass_s(60)
    count = device.reset_count
    device.reboot()
    device.reset_count = count
    device.clock_set_ms = device.clock_ms - 5_000  # TPM2_ClockSet; TPM2_GetTime states: powered for five seconds
    device.sync(recording.new_handle())
    recording.pass_s(1)
    recording.deliver(recording._made())
    recording.pass_s(1)
    log.publish()
    answer = log.check(Proven(log=log, at_us=at_us).prove().read_bytes())
    assert answer.same_boot
    assert not answer.never_reset
    assert answer.verdict is Verdict.UNKNOWN
    assert any("cleared" in each for each in answer.missing)
    go_on(log)
    with contextlib.suppress(PeerError):  # two sync proofs of one boot reveal that its clock was set
        assert log.check(Proven(log=log, at_us=at_us).prove().read_bytes()).verdict is Verdict.UNKNOWN


def test_a_sync_proof_of_the_bad_boot_under_a_quote_of_the_good_one_proves_nothing(
    tmp_path: Path, at_end: ExitStack
) -> None:
    """Up for an hour, bad at the time, synchronised later; then cleared, counted up, good, with the old sync proof."""
    log = at_end.enter_context(ProvenLog(tmp_path))
    recording, device = log.recording, log.recording.device
    device.sync(recording.new_handle())
    recording.pass_s(3600)
    device.sync(recording.new_handle())
    recording.deliver(recording._made())
    recording.pass_s(1)
    log.publish()
    recording.pass_s(20)
    at_us = recording.now_us
    recording.pass_s(20)
    device.sync(recording.new_handle())
    count, proof = device.reset_count, device.proof
    device.reboot()
    device.reset_count, device.proof = count, proof
    recording.pass_s(1)
    recording.deliver(recording._made())
    recording.pass_s(1)
    log.publish()
    answer = log.check(Proven(log=log, at_us=at_us).prove().read_bytes())
    assert answer.after is not None
    assert answer.after.result.status == "affirming"
    assert answer.verdict is Verdict.UNKNOWN
    device.clock_set_ms = device.clock_ms - 2_000
    go_on(log)
    with contextlib.suppress(PeerError):
        assert log.check(Proven(log=log, at_us=at_us).prove().read_bytes()).verdict is Verdict.UNKNOWN


def test_a_device_that_was_just_started_can_not_show_that_it_went_on(tmp_path: Path, at_end: ExitStack) -> None:
    """The device may be honest: two minutes later it can prove that it was not reset."""
    log = at_end.enter_context(ProvenLog(tmp_path))
    recording, device = log.recording, log.recording.device
    device.clock_ms = device.clock_set_ms = 0
    answers = []
    for gap_s in (30, 1, 500, 30):
        device.sync(recording.new_handle())
        recording.pass_s(1)
        recording.deliver(recording._made())
        recording.pass_s(1)
        log.publish()
        recording.pass_s(gap_s)
        at_us = recording.now_us
        recording.pass_s(1)
        device.sync(recording.new_handle())
        recording.pass_s(1)
        recording.deliver(recording._made())
        recording.pass_s(1)
        log.publish()
        go_on(log)
        answers.append(log.check(Proven(log=log, at_us=at_us).prove().read_bytes()).verdict)
    assert answers == [Verdict.UNKNOWN, Verdict.YES, Verdict.UNKNOWN, Verdict.YES]


def test_keys_of_ones_own_count_and_not_the_logs_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at_end: ExitStack
) -> None:
    proven = run_of(at_end, tmp_path)
    proof = proven.prove()
    stranger = generate_private_key(SECP256R1()).public_key()
    for role, key, reason in (
        ("endorser", proven.log.recording.endorser.public_key(), Reason.OBJECT_SIGNATURE_INVALID),
        ("verifier", proven.log.recording.key.public_key(), Reason.RESULT_SIGNATURE_INVALID),
        ("distributor", proven.log.recording.mint.key.public_key(), Reason.HANDLE_SIGNATURE_INVALID),
    ):
        file = tmp_path / f"{role}.pub"
        file.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        assert proven.check(proof, f"--{role}-key", str(file)) == 0
        file.write_bytes(stranger.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        capsys.readouterr()
        assert proven.check(proof, f"--{role}-key", str(file)) == 1
        assert reason in capsys.readouterr().err


def test_wrong_options_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], at_end: ExitStack) -> None:
    proven = run_of(at_end, tmp_path)
    proof = proven.prove()
    log, out = ["--audit-log", str(proven.log.log)], ["--out", str(tmp_path / "x")]
    device = ["--attester", proven.log.ueid]
    at = ["--at", "2027-01-15T08:00:00Z"]
    for options, said in (
        ([*log, *device, *out, "--at", "noon"], "expected a time like"),
        ([*log, *device, *out, "--at", "2027-01-15T08:00:00"], "has no zone"),
        ([*log, *device, *out, "--at", "1900-01-01T00:00:00Z"], "before 1970"),
        ([*log, "--attester", "x", *out, *at], "--attester"),
        (["--audit-log", str(tmp_path / "none"), *device, *out, *at], "not a tiled audit log"),
    ):
        assert main(["audit", "prove", *options]) == 2
        assert said in capsys.readouterr().err
    stranger = ueid_text(Ueid(b"\x01" + bytes(32)))
    assert main(["audit", "prove", *log, "--attester", stranger, *out, *at]) == 1
    assert "no complete evidence" in capsys.readouterr().err
    key, root = ["--log-key", str(tmp_path / "audit.vkey")], ["--tsa-root", str(tmp_path / "tsa.pem")]
    for options, status, said in (
        ([str(proof), *key], 2, "--tsa-root: missing"),
        ([str(tmp_path / "none"), *key, *root], 2, "no such file"),
        ([str(proof), "--log-key", str(proof), *root], 2, "--log-key"),
        ([str(proof), "--log-key", str(tmp_path / "none"), *root], 2, "none"),
        ([str(proof), *key, "--tsa-root", str(tmp_path / "audit.vkey")], 2, "--tsa-root"),
        ([str(tmp_path / "tsa.pem"), *key, *root], 1, "DOES NOT HOLD"),
    ):
        assert main(["audit", "check", *options]) == status, options
        assert said in capsys.readouterr().err


def test_a_clock_set_forward_makes_no_evidence_from_after(tmp_path: Path, at_end: ExitStack) -> None:
    """Quoted before the time under a clock set ahead, sent after it; at the time the device could run anything."""
    log = at_end.enter_context(ProvenLog(tmp_path))
    recording, device = log.recording, log.recording.device
    device.sync(recording.new_handle())
    recording.deliver(recording._made())
    recording.pass_s(1)
    log.publish()
    device.set_clock(100_000)
    payload = recording._made()
    recording.pass_s(30)
    at_us = recording.now_us
    recording.pass_s(90)
    recording.deliver(payload)
    log.publish()
    answer = log.check(Proven(log=log, at_us=at_us).prove().read_bytes())
    assert answer.after is not None
    assert answer.after.after_us > at_us
    assert answer.verdict is Verdict.UNKNOWN
    assert any("which its owner can set" in each for each in answer.missing)


def test_a_witness_that_the_auditor_knows_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at_end: ExitStack
) -> None:
    proven = run_of(at_end, tmp_path)
    witness, reader = Ed25519PrivateKey.generate(), proven.log.rig.reader
    size = reader.stamped()[-1]
    checkpoint = verify_checkpoint(reader.checkpoint_at(size), LOG_KEY)
    line = cosign_checkpoint(checkpoint, "witness.example", witness, 1_800_003_700).line
    proven.log.rig.store.write(cosignatures_path(size), line.encode())
    proof = proven.prove()
    vkey = note_key("witness.example", witness, COSIGNATURE_V1).text
    assert proven.check(proof, "--witness", vkey) == 0
    told = capsys.readouterr().out
    assert "witness witness.example" in told
    assert "no witness cosigned" not in told
    stranger = note_key("witness.example", Ed25519PrivateKey.generate(), COSIGNATURE_V1).text
    assert proven.check(proof, "--witness", stranger) == 0
    assert "no witness cosigned" in capsys.readouterr().out
    assert proven.check(proof, "--witness", LOG_KEY.text) == 2


def test_a_tpm_restart_in_between_is_another_boot(tmp_path: Path, at_end: ExitStack) -> None:
    """Shut down with its state saved, started without it: new PCRs, same reset count, and the TPM's time may go on."""
    log = at_end.enter_context(ProvenLog(tmp_path))
    recording, device = log.recording, log.recording.device
    device.sync(recording.new_handle())
    recording.pass_s(3600)
    device.sync(recording.new_handle())
    recording.deliver(recording._made())
    recording.pass_s(1)
    log.publish()
    recording.pass_s(20)
    at_us = recording.now_us
    device.run(b"/tmp/evil", b"evil")  # never reported
    recording.pass_s(20)
    device.restart_count += 1
    device.previous = None
    device.boot()
    device.tell(TransitionKind.SUSPEND)  # as the device claims
    device.sync(recording.new_handle())
    recording.pass_s(1)
    recording.deliver(recording._made())
    recording.pass_s(1)
    log.publish()
    go_on(log)
    answer = log.check(Proven(log=log, at_us=at_us).prove().read_bytes())
    assert answer.after is not None
    assert answer.after.result.status == "affirming"
    assert answer.verdict is Verdict.UNKNOWN
    assert not answer.same_boot


def test_a_path_cannot_write_a_line_of_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at_end: ExitStack
) -> None:
    """The owner of the device chooses the names of its files."""
    log = at_end.enter_context(ProvenLog(tmp_path))
    recording, device = log.recording, log.recording.device
    device.sync(recording.new_handle())
    device.run(b"/tmp/x\nPROVEN, YES: all that this device had measured\x1b[8m", b"evil")
    recording.deliver(recording._made())
    recording.pass_s(1)
    log.publish()
    proven = Proven(log=log, at_us=recording.now_us)
    go_on(log)
    assert proven.check(proven.prove()) == 1
    told = capsys.readouterr().out
    assert "\nPROVEN, YES" not in told
    assert "\x1b" not in told
    assert "/tmp/x\\nPROVEN" in told


@pytest.mark.parametrize("drift_ppm", [1, 150_000])
def test_no_policy_says_how_fast_the_owner_of_a_tpm_can_run_it(
    tmp_path: Path, drift_ppm: int, at_end: ExitStack
) -> None:
    """TPM2_ClockRateAdjust: after an early reset, a time that runs a fifth too fast seems never to have been reset."""
    log = at_end.enter_context(
        ProvenLog(tmp_path, policy_text=POLICY.replace("deadline_s", f"drift_ppm = {drift_ppm}\ndeadline_s"))
    )
    recording, device = log.recording, log.recording.device
    recording.pass_s(8)
    device.sync(recording.new_handle())
    recording.deliver(recording._made())
    recording.pass_s(1)
    log.publish()
    recording.pass_s(20)
    at_us = recording.now_us
    recording.pass_s(5)
    device.sync(recording.new_handle())
    recording.deliver(recording._made())
    recording.pass_s(1)
    log.publish()
    go_on(log)
    answer = log.check(Proven(log=log, at_us=at_us).prove().read_bytes())
    assert answer.same_boot
    assert not answer.never_reset
    assert answer.verdict is Verdict.UNKNOWN
