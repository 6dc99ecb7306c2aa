"""Checks a proof: was this device running only approved software at that time, and who vouches for it? Pure.

The steps, in this order; the first failed check ends it:

1. Checkpoints: the audit log's signature, the TSA's stamps, the witnesses' cosignatures; larger trees extend smaller.
2. Every entry is in the tree of its checkpoint, at its place.
3. Trust objects, by the keys in the anchors or by the auditor's own: handles (distributor, TSA), endorsements,
   reference values and policies (endorser).
4. Every push: quote and sync proof by the endorsed key, bound to its body, in the order of the audit log, and a time
   that claims no more than these prove (:mod:`relying_party.audit.time_audit`).
5. The measurement logs of the boot, replayed from their start to the quoted PCR digests.
6. The results: signed by the verifier, about this evidence and this handle; the two sides also about these policies,
   these versions of the reference values, and these log lengths.
7. The answer, from both sides and from each result between them (:mod:`relying_party.audit.proof_verdict`).

Why two pieces of evidence answer the question: measurement logs only grow within a boot. A quote that was certainly
made after the time asked for therefore covers everything measured up to that time, if the same boot was certainly
running before it. Counters alone do not identify a boot, because TPM2_Clear restarts them. The time since the last
reset, which TPM2_GetTime signs, shows that the boot continued. Only TSA stamps count as certain: the handle's stamp for
the lower bound, the stamp of the audit log's checkpoint for the upper bound.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from relying_party.audit.proof_between import Between, look_between
from relying_party.audit.proof_objects import ProofObjects
from relying_party.audit.proof_sides import Side, is_same_boot, sides_of, was_never_reset
from relying_party.audit.proof_verdict import Verdict, judge
from schemas.audit.anchors import Anchors
from schemas.audit.entry import leaf_of
from schemas.audit.proof import AuditProof, ProvenHead
from schemas.errors import PeerError
from schemas.messages.handle import StampVerifier
from schemas.reasons import Reason
from schemas.time_model import Interval, stamped
from schemas.tlog.checkpoint import Checkpoint, verify_checkpoint, verify_cosignature
from schemas.tlog.merkle import leaf_hash, verify_consistency, verify_inclusion
from schemas.tlog.signed_note import NoteKey

Keys = Mapping[bytes, EllipticCurvePublicKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofTrust:
    """The signers that the auditor trusts; keys that are None are taken from the audit log's anchors.

    Attributes:
        log_key: of the audit log.
        stamps: verifies time-stamp tokens of checkpoints and handles by the auditor's roots.
        witnesses: keys of trusted witnesses.
        endorsers, distributors, verifiers: keys by ``cose.key_id``.
    """

    log_key: NoteKey
    stamps: StampVerifier
    witnesses: tuple[NoteKey, ...] = ()
    endorsers: Keys | None = None
    distributors: Keys | None = None
    verifiers: Keys | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A verified checkpoint.

    Attributes:
        checkpoint: signed by the audit log's key.
        stamped: when its TSA stamped it; None without a stamp.
        witnesses: that cosigned it, each with its own time, UTC seconds.
    """

    checkpoint: Checkpoint
    stamped: Interval | None
    witnesses: tuple[tuple[NoteKey, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outcome of a proof.

    Attributes:
        proof: that was checked.
        heads: its checkpoints.
        anchors: the keys that the verifier trusted, as the audit log states.
        objects: its verified entries.
        before, after: the two sides; None if the proof lacks one.
        same_boot: both have the same key, reset count and restart count, in order.
        between: the results between them; None if the proof lacks a side.
        never_reset: a sync proof made after both shows that the TPM was not reset since before both.
        verdict: the answer.
        missing: why the verdict is not yes or no, in sentences.
    """

    proof: AuditProof
    heads: tuple[Head, ...]
    anchors: tuple[Anchors, ...]
    objects: ProofObjects
    before: Side | None
    after: Side | None
    same_boot: bool
    never_reset: bool
    between: Between | None
    verdict: Verdict
    missing: tuple[str, ...] = field(default=())


def check_proof(proof: AuditProof, trust: ProofTrust) -> Answer:
    """Verifies a proof.

    Args:
        proof: parsed.
        trust: the auditor's.

    Raises:
        PeerError: the code of the first failed check; ``audit-proof-invalid`` for a check without a code of its own.
    """
    heads = _heads(proof, trust)
    for each in proof.entries:
        checkpoint = heads[each.head].checkpoint
        leaf = leaf_hash(leaf_of(each.entry)[0])
        verify_inclusion(leaf, each.index, checkpoint.size, checkpoint.root, each.path)
    objects = ProofObjects(proof.ueid, trust.stamps, trust.endorsers, trust.distributors, trust.verifiers)
    for each in proof.entries:
        objects.take(each.index, each.entry)
    objects.check_times()
    stamps = {each.index: heads[each.head].stamped for each in proof.entries}
    before, after = sides_of(objects, proof.before, proof.after, stamps)
    same_boot = never_reset = False
    between = None
    if before is not None and after is not None:
        same_boot = is_same_boot(before, after)
        never_reset = same_boot and was_never_reset(before, after, objects, stamps)
        between = look_between(before, after, objects, stamps)
    verdict, missing = judge(proof.at_us, before, after, between, objects, same_boot=same_boot, never_reset=never_reset)
    return Answer(
        proof=proof,
        heads=heads,
        anchors=objects.anchors,
        objects=objects,
        before=before,
        after=after,
        same_boot=same_boot,
        never_reset=never_reset,
        between=between,
        verdict=verdict,
        missing=missing,
    )


def _invalid(detail: str) -> PeerError:
    return PeerError(Reason.AUDIT_PROOF_INVALID, detail)


def _heads(proof: AuditProof, trust: ProofTrust) -> tuple[Head, ...]:
    heads = tuple(_head(each, trust) for each in proof.heads)
    if len(proof.consistency) != len(heads) - 1:
        raise _invalid(f"{len(proof.consistency)} consistency proofs of {len(heads)} checkpoints")
    for (one, other), hashes in zip(pairwise(each.checkpoint for each in heads), proof.consistency, strict=True):
        if one.size >= other.size:
            raise _invalid(f"checkpoints of {one.size} and {other.size} entries, expected the smaller one first")
        verify_consistency(one.size, one.root, other.size, other.root, hashes)
    return heads


def _head(head: ProvenHead, trust: ProofTrust) -> Head:
    checkpoint = verify_checkpoint(head.note, trust.log_key)
    made = None
    if head.stamp is not None:
        try:
            info = trust.stamps.verify_stamp(head.stamp, _sha256(head.note))
        except PeerError as error:
            raise PeerError(Reason.AUDIT_STAMP_INVALID, f"checkpoint of {checkpoint.size} entries: {error}") from error
        made = stamped(info.gen_time_us, info.accuracy_us)
    cosigned = []
    for witness in trust.witnesses:
        try:
            seen, time_s = verify_cosignature(head.note + head.cosignatures, witness)
        except PeerError:
            continue
        if seen == checkpoint:
            cosigned.append((witness, time_s))
    return Head(checkpoint=checkpoint, stamped=made, witnesses=tuple(cosigned))


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
