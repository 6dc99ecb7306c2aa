"""Proofs from an audit log whose own key lies: a valid tree and stamp over arbitrary entries."""

import hashlib
import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from relying_party.audit.proof_check import Answer, check_proof
from relying_party.audit.proof_verdict import Verdict
from schemas.audit.proof import AuditProof, ProvenEntry, ProvenHead, parse_proof
from schemas.codecs import cbor
from schemas.errors import PeerError
from schemas.tlog.checkpoint import Checkpoint, sign_checkpoint
from schemas.tlog.merkle import leaf_hash, node_hash, prove_inclusion, root_of
from tests.fakes.log_store import KEY, ORIGIN
from tests.fuzz.cbor_tree import mutate_cbor
from tests.worlds.proven_log import Proven, run_of

TRIES = 150


def relogged(proven: Proven, made: AuditProof, entries: Sequence[bytes]) -> AuditProof:
    """A proof with these entries instead of its own, under one new checkpoint of the same audit log, stamped early."""
    leaves = [leaf_hash(entry) for entry in entries]

    def read(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[index]
        return node_hash(read(level - 1, 2 * index), read(level - 1, 2 * index + 1))

    size = len(leaves)
    note = sign_checkpoint(Checkpoint(origin=ORIGIN, size=size, root=root_of(size, read)), KEY)
    authority = proven.log.recording.mint.authority
    stamp = authority.token(hashlib.sha256(note).digest(), proven.at_us - 2_000_000)
    places = {each.index: place for place, each in enumerate(made.entries)}
    return replace(
        made,
        heads=(ProvenHead(note=note, stamp=stamp, cosignatures=b""),),
        consistency=(),
        entries=tuple(
            ProvenEntry(index=index, head=0, path=prove_inclusion(index, size, read), entry=entry)
            for index, entry in enumerate(entries)
        ),
        before=places[made.before] if made.before is not None else None,
        after=places[made.after] if made.after is not None else None,
    )


def checked(proven: Proven, made: AuditProof, entries: Sequence[bytes]) -> Answer | None:
    try:
        return check_proof(relogged(proven, made, entries), proven.log.trust)
    except PeerError:
        return None


def test_whatever_stands_in_a_log_it_ends_in_an_answer_or_a_reason(tmp_path: Path, at_end: ExitStack) -> None:
    proven = run_of(at_end, tmp_path)
    made = parse_proof(proven.prove().read_bytes())
    entries = [each.entry for each in made.entries]
    assert checked(proven, made, entries) is not None
    dice = random.Random(5)
    taken = 0
    for _ in range(TRIES):
        place = dice.randrange(len(entries))
        changed = [*entries]
        changed[place] = mutate_cbor(entries[place], dice)
        taken += checked(proven, made, changed) is not None
    assert taken < TRIES // 2


def test_nothing_inside_an_entry_can_be_changed_by_who_has_the_logs_key(tmp_path: Path, at_end: ExitStack) -> None:
    """Entries are signed by others: a changed byte in one is found without the tree."""
    proven = run_of(at_end, tmp_path, evil_before=True)
    made = parse_proof(proven.prove().read_bytes())
    entries = [each.entry for each in made.entries]
    honest = checked(proven, made, entries)
    assert honest is not None
    assert honest.verdict is Verdict.NO
    dice = random.Random(6)
    for _ in range(TRIES):
        place = dice.randrange(len(entries))
        fields: Any = cbor.decode(entries[place], "entry", max_bytes=1 << 20)
        key = 8 if 7 in fields else dice.choice((4, 6))
        content = bytearray(fields[key])
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        fields[key] = bytes(content)
        if key == 6:
            fields[5] = hashlib.sha256(content).digest()
        changed = [*entries]
        changed[place] = cbor.encode(fields)
        answer = checked(proven, made, changed)
        assert answer is None or answer.verdict is not Verdict.YES
