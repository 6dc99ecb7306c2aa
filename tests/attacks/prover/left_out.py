"""Proofs of a device that was bad at the time and is approved later: results, sets and policies are left out."""

from collections.abc import Callable
from dataclasses import replace

from relying_party.audit.proof_check import check_proof
from schemas.audit.entry import EvidenceEntry, ObjectEntry, parse_entry
from schemas.audit.proof import AuditProof, ProvenEntry, encode_proof, parse_proof
from schemas.errors import PeerError
from schemas.hashes import SHA256
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.messages.reference_values import sign_reference_values
from schemas.topics import TopicKind
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.prover.proofs import answered
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_error
from tests.worlds.device import make_references
from tests.worlds.proven_log import Proven, ProvenLog, go_on
from tests.worlds.recorded_verifier import POLICY, Recording

LATER = Kind(
    by=Attacker.PROVER, goal="have a proof say yes for a time at which the device was bad", layer=Layer.COMPONENT
)
EVIL = b"evil"


def push(recording: Recording) -> None:
    recording.deliver(recording._made())
    recording.pass_s(1)


def approve(recording: Recording) -> None:
    """A later set of reference values lists the file."""
    recording.versions["good"] += 1
    files = {**make_references(recording.device).files, SHA256.digest(EVIL): "/tmp/evil"}
    values = make_references(recording.device, version=recording.versions["good"], files=files)
    recording.take(TopicKind.REFERENCE_VALUES, "good", sign_reference_values(values, recording.endorser))
    recording.pass_s(1)


def exclude(recording: Recording) -> None:
    """A later policy excludes its path."""
    text = POLICY.replace('id = "test"\nversion = 1\n', 'id = "fleet"\n') + 'exclude = ["/tmp/*"]\n'
    policy = SignedPolicy(id="fleet", version=1, signer="endorser", not_before_s=0, not_after_s=2**40, text=text)
    recording.take(TopicKind.POLICIES, "fleet", sign_policy(policy, recording.endorser))
    recording.pass_s(1)
    recording.device.sent, recording.device.previous = {}, None


def bad_between(scene: Scene, later: Callable[[Recording], None], *, seen: bool = True) -> tuple[Proven, AuditProof]:
    """Good, then bad at the time, then approved, and good again."""
    log = scene.enter(ProvenLog(scene.folder()))
    recording, device = log.recording, log.recording.device
    device.sync(recording.new_handle())
    recording.pass_s(3600)
    device.sync(recording.new_handle())
    push(recording)
    log.publish()
    recording.pass_s(3)
    device.run(b"/tmp/evil", EVIL)
    if seen:
        push(recording)
    recording.pass_s(3)
    at_us = recording.now_us
    recording.pass_s(3)
    later(recording)
    device.sync(recording.new_handle())
    recording.pass_s(1)
    push(recording)
    log.publish()
    go_on(log)
    proven = Proven(log=log, at_us=at_us)
    return proven, parse_proof(proven.prove().read_bytes())


def check(proven: Proven, proof: AuditProof) -> Seen:
    try:
        return answered(check_proof(parse_proof(encode_proof(proof)), proven.log.trust))
    except PeerError as error:
        return of_error(error)


def without(proof: AuditProof, unwanted: Callable[[ProvenEntry], bool]) -> AuditProof:
    sides = {proof.before, proof.after}
    return replace(proof, entries=tuple(each for each in proof.entries if each.index in sides or not unwanted(each)))


@LATER.ways("no", moves=(approve, exclude))
def bad_result_in_between(scene: Scene, move: Callable[[Recording], None]) -> Seen:
    """The proof holds the bad result."""
    return check(*bad_between(scene, move))


@LATER.ways("not proven", moves=(approve, exclude))
def no_result_in_between(scene: Scene, move: Callable[[Recording], None]) -> Seen:
    """No push was made while the device was bad."""
    return check(*bad_between(scene, move, seen=False))


@LATER.ways("not proven", "refused", moves=(approve, exclude))
def results_left_out(scene: Scene, move: Callable[[Recording], None]) -> Seen:
    """All results between the two sides are left out."""
    proven, proof = bad_between(scene, move)

    def between(each: ProvenEntry) -> bool:
        inside = (proof.before or 0) < each.index < (proof.after or 0)
        return inside and isinstance(parse_entry(each.entry), EvidenceEntry)

    return check(proven, without(proof, between))


@LATER.ways("no", "not proven", "refused", moves=(approve, exclude))
def any_entry_left_out(scene: Scene, move: Callable[[Recording], None]) -> Seen:
    """Each entry is left out, one at a time."""
    proven, proof = bad_between(scene, move)
    seen = []
    for place in range(len(proof.entries)):
        less = proof.entries[:place] + proof.entries[place + 1 :]
        seen.append(check(proven, replace(proof, entries=less)))
    return best_for_the_attacker(seen)


@LATER.attack("refused", "not proven")
def earlier_set_left_out(scene: Scene) -> Seen:
    """The set that did not list the file is left out, and the bad result with it."""
    proven, proof = bad_between(scene, approve)

    def is_set(each: ProvenEntry) -> bool:
        entry = parse_entry(each.entry)
        return isinstance(entry, ObjectEntry) and entry.kind == TopicKind.REFERENCE_VALUES

    first = min(each.index for each in proof.entries if is_set(each))
    return check(proven, without(proof, lambda each: each.index == first))


@LATER.attack("refused")
def set_moved_to_the_front(scene: Scene) -> Seen:
    """The later set takes the place of the earlier one."""
    proven, proof = bad_between(scene, approve)
    sets = []
    for place, each in enumerate(proof.entries):
        entry = parse_entry(each.entry)
        if isinstance(entry, ObjectEntry) and entry.kind == TopicKind.REFERENCE_VALUES:
            sets.append(place)
    entries = list(proof.entries)
    entries[sets[0]] = replace(entries[sets[0]], entry=entries[sets[-1]].entry)
    return check(proven, replace(proof, entries=tuple(entries)))
