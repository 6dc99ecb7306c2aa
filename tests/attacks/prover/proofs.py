"""A proof from an audit log is bent, or made over a history that a device's owner has bent."""

import functools
import hashlib
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from relying_party.audit.proof_check import Answer, ProofTrust, check_proof
from relying_party.audit.proof_verdict import Verdict
from schemas.audit.proof import AuditProof, encode_proof, parse_proof
from schemas.codecs import cbor
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.media_types import AUDIT_PROOF
from schemas.reasons import Reason
from schemas.transitions import TransitionKind
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_error
from tests.worlds.proven_log import Proven, ProvenLog, go_on, run_of

BUNDLE = Kind(
    by=Attacker.PROVER, goal="have a proof say yes for a device or a time that it does not show", layer=Layer.COMPONENT
)
HISTORY = Kind(
    by=Attacker.ROOT, goal="have a true proof say yes for a time at which the device was bad", layer=Layer.COMPONENT
)
_WORDS: Final = {Verdict.YES: "YES", Verdict.NO: "no", Verdict.UNKNOWN: "not proven"}


def answered(answer: Answer) -> Seen:
    return Seen(verdict=_WORDS[answer.verdict], detail="; ".join(answer.missing))


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A true proof, and whom its reader trusts."""

    raw: bytes
    trust: ProofTrust

    @property
    def proof(self) -> AuditProof:
        return parse_proof(self.raw)

    def check(self, raw: bytes) -> Seen:
        """The answer to a proof."""
        try:
            return answered(check_proof(parse_proof(raw), self.trust))
        except PeerError as error:
            return of_error(error)


@functools.cache
def proof_of(*, evil_before: bool = False, evil_after: bool = False, reboot: bool = False) -> Made:
    """Made once: no attack changes it."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as at_end:
        proven = run_of(at_end, Path(folder), evil_before=evil_before, evil_after=evil_after, reboot=reboot)
        return Made(raw=proven.prove().read_bytes(), trust=proven.log.trust)


def sides_exchanged(proof: AuditProof) -> AuditProof:
    """Earlier and later side are exchanged."""
    return replace(proof, before=proof.after, after=proof.before)


def one_side_twice(proof: AuditProof) -> AuditProof:
    """The later side is named for both."""
    return replace(proof, before=proof.after)


def later_stamp_on_the_earlier_head(proof: AuditProof) -> AuditProof:
    """The later stamp is put on the earlier checkpoint."""
    return replace(proof, heads=(replace(proof.heads[0], stamp=proof.heads[1].stamp), *proof.heads[1:]))


def heads_exchanged(proof: AuditProof) -> AuditProof:
    """The checkpoints are exchanged."""
    return replace(proof, heads=proof.heads[::-1])


def no_stamps(proof: AuditProof) -> AuditProof:
    """All stamps are left out."""
    return replace(proof, heads=tuple(replace(each, stamp=None) for each in proof.heads))


def no_consistency(proof: AuditProof) -> AuditProof:
    """The proof that one checkpoint continues the other is left out."""
    return replace(proof, consistency=())


def another_device(proof: AuditProof) -> AuditProof:
    """Another device is named."""
    return replace(proof, ueid=Ueid(b"\x01" + bytes(32)))


def entry_of_somebody_else(proof: AuditProof) -> AuditProof:
    """The last entry is exchanged for another."""
    return replace(proof, entries=(*proof.entries[:-1], replace(proof.entries[-1], entry=b"\xa0")))


def another_place(proof: AuditProof) -> AuditProof:
    """The last entry is given another place in the log."""
    last = proof.entries[-1]
    return replace(proof, entries=(*proof.entries[:-1], replace(last, index=last.index + 1)))


def side_that_is_no_evidence(proof: AuditProof) -> AuditProof:
    """A handle is named as the earlier side."""
    return replace(proof, before=proof.entries[0].index)


def asked_an_hour_later(proof: AuditProof) -> AuditProof:
    """The time is moved beyond the later side."""
    return replace(proof, at_us=proof.at_us + 3_600_000_000)


def asked_two_hours_earlier(proof: AuditProof) -> AuditProof:
    """The time is moved before the earlier side."""
    return replace(proof, at_us=proof.at_us - 7_200_000_000)


@BUNDLE.ways(
    "refused",
    "not proven",
    moves=(
        sides_exchanged,
        one_side_twice,
        later_stamp_on_the_earlier_head,
        heads_exchanged,
        no_stamps,
        no_consistency,
        another_device,
        entry_of_somebody_else,
        another_place,
        side_that_is_no_evidence,
        asked_an_hour_later,
        asked_two_hours_earlier,
    ),
)
def changed_proof(scene: Scene, move: Callable[[AuditProof], AuditProof]) -> Seen:
    """A true proof of a good device is changed."""
    made = proof_of()
    assert made.check(made.raw).verdict == "YES"
    return made.check(encode_proof(move(made.proof)))


@BUNDLE.attack("refused", "not proven")
def entries_left_out(scene: Scene) -> Seen:
    """Each of the entries that matter is left out, one at a time."""
    made, seen = proof_of(), []
    proof = made.proof
    for place, each in enumerate(proof.entries):
        less = replace(proof, entries=proof.entries[:place] + proof.entries[place + 1 :])
        answer = made.check(encode_proof(less))
        if answer.verdict == "YES" and _only_adds(each.entry):
            continue
        seen.append(answer)
    return best_for_the_attacker(seen)


def _only_adds(raw: bytes) -> bool:
    """A start entry says which versions ran; no answer rests on it."""
    return b"start" in raw[:64]


@BUNDLE.attack("no", "refused", "not proven")
def bits_under_a_new_checksum(scene: Scene) -> Seen:
    """The proof of a bad device: one bit is flipped, at every 97th place, and the checksum mended."""
    made = proof_of(evil_before=True)
    outer = cbor.decode(made.raw, "proof", max_bytes=len(made.raw))
    assert isinstance(outer, list)
    content, seen = outer[1], []
    assert isinstance(content, bytes)
    for place in range(0, len(content), 97):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        seen.append(made.check(cbor.encode([AUDIT_PROOF, bytes(changed), hashlib.sha256(changed).digest()])))
    return best_for_the_attacker(seen)


@HISTORY.attack("no")
def bad_before_the_time(scene: Scene) -> Seen:
    """An unknown file ran before the time."""
    made = proof_of(evil_before=True)
    return made.check(made.raw)


@HISTORY.attack("not proven")
def bad_after_the_first_side(scene: Scene) -> Seen:
    """An unknown file ran between the two sides."""
    made = proof_of(evil_after=True)
    return made.check(made.raw)


@HISTORY.attack("not proven")
def rebooted_in_between(scene: Scene) -> Seen:
    """The device was rebooted between the two sides, which empties its PCRs."""
    made = proof_of(reboot=True)
    return made.check(made.raw)


def _between(scene: Scene) -> tuple[ProvenLog, int]:
    """A log with a good earlier side, and the time asked for; what follows is the attack."""
    log = scene.enter(ProvenLog(scene.folder()))
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
    return log, at_us


def _later_side(log: ProvenLog, at_us: int) -> Seen:
    recording = log.recording
    recording.pass_s(1)
    recording.deliver(recording._made())
    recording.pass_s(1)
    log.publish()
    go_on(log)
    try:
        return answered(log.check(Proven(log=log, at_us=at_us).prove().read_bytes()))
    except PeerError as error:
        return of_error(error)


@HISTORY.attack("not proven")
def tpm_restart_in_between(scene: Scene) -> Seen:
    """A TPM Restart under one reset count empties the PCRs, reported as a suspend."""
    log, at_us = _between(scene)
    device = log.recording.device
    device.run(b"/tmp/evil", b"evil")
    device.restart_count += 1
    device.previous = None
    device.boot()
    device.tell(TransitionKind.SUSPEND)
    device.sync(log.recording.new_handle())
    return _later_side(log, at_us)


@HISTORY.attack("not proven", "refused")
def cleared_and_counted_up(scene: Scene) -> Seen:
    """The TPM is cleared and restarted until its reset count is the old one; its clock is set to fit."""
    log, at_us = _between(scene)
    device, count = log.recording.device, log.recording.device.reset_count
    device.run(b"/tmp/evil", b"evil")
    device.reboot()
    device.reset_count = count
    device.clock_set_ms = device.clock_ms - 5_000
    device.sync(log.recording.new_handle())
    return _later_side(log, at_us)


@HISTORY.attack("not proven", "refused")
def proof_of_synchronisation_of_the_bad_boot(scene: Scene) -> Seen:
    """As before, with the proof of synchronisation of the boot in which the device was bad."""
    log, at_us = _between(scene)
    device = log.recording.device
    device.sync(log.recording.new_handle())
    count, proof = device.reset_count, device.proof
    device.reboot()
    device.reset_count, device.proof = count, proof
    device.clock_set_ms = device.clock_ms - 2_000  # the next TPM2_GetTime says: powered for two seconds
    return _later_side(log, at_us)


@HISTORY.attack("not proven")
def quoted_before_and_sent_after(scene: Scene) -> Seen:
    """A good push is made before the time under a clock set ahead, and sent after it."""
    log = scene.enter(ProvenLog(scene.folder()))
    recording, device = log.recording, log.recording.device
    device.sync(recording.new_handle())
    recording.deliver(recording._made())
    recording.pass_s(1)
    log.publish()
    device.set_clock(100_000)
    payload = recording._made()
    device.run(b"/tmp/evil", b"evil")
    recording.pass_s(30)
    at_us = recording.now_us
    recording.pass_s(90)
    recording.deliver(payload)
    log.publish()
    return answered(log.check(Proven(log=log, at_us=at_us).prove().read_bytes()))


@BUNDLE.attack("refused", code=Reason.AUDIT_CHECKPOINT_INVALID)
def log_of_another_key(scene: Scene) -> Seen:
    """The whole log is the prover's own, by a key of his."""
    made = proof_of()
    heads = made.proof.heads
    forged = tuple(replace(each, note=each.note.replace(each.note[-20:-4], b"A" * 16)) for each in heads)
    return made.check(encode_proof(replace(made.proof, heads=forged)))
