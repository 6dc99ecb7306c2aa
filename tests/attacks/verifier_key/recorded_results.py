"""A verifier, or a thief of its key, records what does not follow from the evidence. An auditor derives it again."""

import json
import random
from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from schemas.audit.anchors import encode_anchors, parse_anchors, public_der
from schemas.audit.entry import ANCHORS, EvidenceEntry, ObjectEntry, encode_entry, parse_entry
from schemas.codecs import cose, jws
from schemas.messages import result_token
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker
from tests.worlds.audited_times import audited, bad, entries
from tests.worlds.recorded_verifier import Recording, rederived

LIE = Kind(by=Attacker.VERIFIER, goal="sign and record a result that the evidence does not give", layer=Layer.COMPONENT)
TIME = Kind(by=Attacker.VERIFIER, goal="claim a narrower time than the evidence proves", layer=Layer.COMPONENT)
FOUND, NOTHING = "found", "nothing found"


def _recording(scene: Scene) -> Recording:
    """A log with good and bad pushes, refusals, a reboot and a restart in it."""
    recording = scene.enter(Recording(scene.folder()))
    device, dice = recording.device, random.Random(7)
    device.sync(recording.new_handle())
    recording.deliver(recording._made())
    recording.pass_s(1)
    recording._garbage(dice)
    device.run(b"/tmp/evil", b"evil")
    recording.deliver(recording._made())
    recording.pass_s(1)
    recording.deliver(recording._made())
    recording.pass_s(1)
    recording._reboot(dice)
    recording.pass_s(1)
    recording._restart(dice)
    recording.deliver(recording._made())
    assert rederived(recording.entries).problems == []
    return recording


def _found(changed: list[bytes]) -> Seen:
    problems = rederived(changed).problems
    detail = f"entry {problems[0].index}: {problems[0].field}" if problems else ""
    return Seen(verdict=FOUND if problems else NOTHING, detail=detail)


def _pushes(recording: Recording) -> list[int]:
    return [
        index
        for index, raw in enumerate(recording.entries)
        if isinstance(entry := parse_entry(raw), EvidenceEntry) and entry.result is not None
    ]


def affirming(claims: str) -> str:
    """Every verdict becomes affirming."""
    return claims.replace("contraindicated", "affirming").replace('"none"', '"affirming"')


def other_paths(claims: str) -> str:
    """The bad path gets another name."""
    return claims.replace("/tmp/evil", "/usr/bin/true")


def fewer_refusals(claims: str) -> str:
    """The count of refused messages becomes smaller."""
    return claims.replace('"count": ', '"count": 1')


def later_expiry(claims: str) -> str:
    """The result lasts longer."""
    fields = json.loads(claims)
    fields["exp"] += 3600
    return json.dumps(fields)


@LIE.ways(FOUND, moves=(affirming, other_paths, fewer_refusals, later_expiry))
def result_signed_again(scene: Scene, move: Callable[[str], str]) -> Seen:
    """The results are changed and signed again with the verifier's key."""
    recording = _recording(scene)
    seen = []
    for index in _pushes(recording):
        changed = recording.entries
        entry = parse_entry(changed[index])
        assert isinstance(entry, EvidenceEntry)
        assert entry.result is not None
        before = json.dumps(result_token.unverified_claims(entry.result))
        if move(before) == before:
            continue
        token = jws.sign(json.loads(move(before)), recording.key, cose.key_id(recording.key.public_key()).hex())
        changed[index] = encode_entry(replace(entry, result=token))
        seen.append(_found(changed))
    assert seen
    return best_for_the_attacker(sorted(seen, key=lambda each: each.verdict == FOUND))


def _each_entry(scene: Scene, change: Callable[[list[bytes], int], list[bytes]], indices: list[int]) -> Seen:
    recording = _recording(scene)
    seen = [_found(change(recording.entries, index)) for index in indices or range(1, len(recording.entries))]
    return next((each for each in seen if each.verdict == NOTHING), seen[0])


@LIE.attack(FOUND)
def bad_push_left_out(scene: Scene) -> Seen:
    """The entry of the bad push is left out of the log."""
    recording = _recording(scene)
    index = _pushes(recording)[1]
    changed = recording.entries
    assert b"evil" in changed[index]
    del changed[index]
    return _found(changed)


@LIE.attack(FOUND)
def two_pushes_exchanged(scene: Scene) -> Seen:
    """The entries of the good and the bad push are exchanged."""
    recording = _recording(scene)
    first, second = _pushes(recording)[:2]
    changed = recording.entries
    changed[first], changed[second] = changed[second], changed[first]
    return _found(changed)


@LIE.attack(FOUND)
def receipts_dated_back(scene: Scene) -> Seen:
    """The receipt of each entry is dated back by two minutes, one at a time."""

    def dated_back(entries_: list[bytes], index: int) -> list[bytes]:
        entry = parse_entry(entries_[index])
        entries_[index] = encode_entry(replace(entry, received_us=entry.received_us - 120_000_000))
        return entries_

    return _each_entry(scene, dated_back, [])


@LIE.attack(FOUND)
def evidence_changed(scene: Scene) -> Seen:
    """One byte of the bad push's recorded evidence is changed, and its digest mended."""
    recording = _recording(scene)
    index = _pushes(recording)[1]
    changed = recording.entries
    changed[index] = changed[index].replace(b"/tmp/evil", b"/tmp/good")
    return _found(changed)


@LIE.attack(FOUND)
def one_more_trusted_key(scene: Scene) -> Seen:
    """The log's list of trusted endorsers gets a key more."""
    recording = _recording(scene)
    changed = recording.entries
    for index, raw in enumerate(changed):
        entry = parse_entry(raw)
        if isinstance(entry, ObjectEntry) and entry.kind == ANCHORS:
            anchors = parse_anchors(entry.raw)
            more = (*anchors.endorsers, public_der(generate_private_key(SECP256R1()).public_key()))
            changed[index] = encode_entry(replace(entry, raw=encode_anchors(replace(anchors, endorsers=more))))
    return _found(changed)


@LIE.attack(FOUND)
def keys_that_the_auditor_does_not_know(scene: Scene) -> Seen:
    """The whole log is true under keys of the verifier's own; the auditor brings the true endorser's."""
    recording = _recording(scene)
    stranger = generate_private_key(SECP256R1()).public_key()
    problems = rederived(recording.entries, endorsers={cose.key_id(stranger): stranger}).problems
    return Seen(verdict=FOUND if problems else NOTHING)


@LIE.attack(FOUND)
def database_from_yesterday(scene: Scene) -> Seen:
    """The verifier's database is exchanged for an older one, so that it has forgotten the bad push."""
    folder = scene.folder()
    recording = scene.enter(Recording(folder))
    recording.device.sync(recording.new_handle())
    recording.deliver(recording._made())
    recording.restart()
    backup = (folder / "state.db").read_bytes()
    recording.pass_s(1)
    recording.device.run(b"/tmp/evil", b"evil")
    recording.deliver(recording._made())
    recording.store.close()
    recording.audit.close()
    for name in ("state.db-wal", "state.db-shm"):
        (folder / name).unlink(missing_ok=True)
    (folder / "state.db").write_bytes(backup)
    recording.pass_s(1)
    recording._open()
    recording.deliver(recording._made())
    return _found(recording.entries)


@TIME.attack(FOUND)
def bound_that_is_too_narrow(scene: Scene) -> Seen:
    """A result says that the quote was made a second later than its handle proves."""
    verifying = scene.verifier()
    verifying.pass_s(20)
    verifying.push()
    log = entries(verifying)
    assert bad(audited(verifying, log)) == []
    changed = []
    for number, raw in log:
        entry = parse_entry(raw)
        if isinstance(entry, EvidenceEntry) and entry.result is not None:
            claims = json.dumps(result_token.unverified_claims(entry.result))
            after_us = result_token.read_unverified(entry.result).made_after_us
            claims = claims.replace(str(after_us), str((after_us or 0) + 1_000_000))
            token = jws.sign(json.loads(claims), verifying.key, cose.key_id(verifying.key.public_key()).hex())
            raw = encode_entry(replace(entry, result=token))  # noqa: PLW2901 the entry with that result
        changed.append((number, raw))
    return Seen(verdict=FOUND if bad(audited(verifying, changed)) else NOTHING)


@TIME.attack(FOUND)
def handle_moved_behind_its_evidence(scene: Scene) -> Seen:
    """The entry of a handle is moved behind the evidence that is bound to it."""
    verifying = scene.verifier()
    log = entries(verifying)
    places = [at for at, (_, raw) in enumerate(log) if isinstance(parse_entry(raw), ObjectEntry)]
    log[places[-1]], log[-1] = log[-1], log[places[-1]]
    return Seen(verdict=FOUND if bad(audited(verifying, log)) else NOTHING)
