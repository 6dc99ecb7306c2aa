"""Was this device running only approved software at that time, and who says so? A proof's answer, from its bytes alone.

In this order; whatever does not hold ends it:

1. checkpoints: the log's signature, the TSA's stamps, witnesses' cosignatures, the larger tree extends the smaller;
2. every entry is in the tree of its checkpoint, at its place;
3. anchors, then by their keys, or by those that the auditor brought: handles to distributor and TSA, endorsements,
   reference values, policies to the endorser;
4. every push: quote and sync proof by the endorsed key, bound to its body, in the order of the log, and a time that
   does not claim more than these prove (:mod:`relying_party.audit.time_audit`);
5. the logs of the boot, replayed from their start to the quoted PCR digests;
6. the two results: the verifier's signature; they name this evidence, this handle, these policies, these log lengths.

What the two sides say together: logs only grow within a boot. So a quote that was certainly made after the time asked
for covers all that had been measured up to it, if the same boot certainly ran before. Counters alone do not name a
boot (TPM2_Clear starts them anew); the time since the last reset, which TPM2_GetTime signs, shows that it went on.
Certain are TSAs' stamps alone, of the handle for the one and of the log's checkpoint for the other. Pure.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from relying_party.audit.proof_objects import Objects, Push
from relying_party.audit.proof_replay import BootReplay, Listing
from schemas.audit.anchors import Anchors
from schemas.audit.entry import leaf_of
from schemas.audit.proof import AuditProof, ProvenHead
from schemas.errors import PeerError
from schemas.instants import MILLISECOND_US
from schemas.messages import result_token
from schemas.messages.handle import Handle, StampVerifier
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.time_model import Interval, stamped
from schemas.tlog.checkpoint import Checkpoint, verify_checkpoint, verify_cosignature
from schemas.tlog.merkle import leaf_hash, verify_consistency, verify_inclusion
from schemas.tlog.signed_note import NoteKey
from schemas.tpm.attest import TimeAttestInfo
from schemas.verdicts import Freshness, Tier

Keys = Mapping[bytes, EllipticCurvePublicKey]
_PPM: Final = 1_000_000
# TPM2_ClockRateAdjust lets the owner of a TPM of the reference implementation run its time a fifth faster, and TPM 2.0
# lets it be 15 % wrong besides. No policy binds that owner, so none counts here.
_FASTEST_PPM: Final = 1_380_000


class Verdict(StrEnum):
    """The answer."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "not proven"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofTrust:
    """Whom the auditor believes; keys that are None are those that the log says the verifier believed.

    Attributes:
        log_key: of the log.
        stamps: verifies time-stamp tokens to the auditor's roots: of checkpoints and of handles.
        witnesses: whose cosignatures count.
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
    """A checkpoint that was verified.

    Attributes:
        checkpoint: signed by the log's key.
        stamped: when its TSA stamped it; None where none did.
        witnesses: that cosigned it, with the time each says, UTC seconds.
    """

    checkpoint: Checkpoint
    stamped: Interval | None
    witnesses: tuple[tuple[NoteKey, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One piece of evidence, and what was certainly so about it.

    Attributes:
        push: the evidence.
        handle: that its sync proof is over.
        result: signed by the verifier.
        after_us: made not before this, by TSA and the TPM's clock.
        stamped_us: made not after this, by a TSA: its checkpoint's stamp; None where there is none.
        received_us: the verifier's receipt, its word.
        listing: what its logs measured.
    """

    push: Push
    handle: Handle
    result: AttestationResult
    after_us: int
    stamped_us: int | None
    received_us: int
    listing: Listing


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a proof proves.

    Attributes:
        proof: it.
        heads: its checkpoints.
        anchors: whom the verifier believed by the log's word, at one time or another.
        objects: what was verified by them.
        before, after: the two sides; None for one that the proof has not.
        same_boot: both have the same reset count, restart count and key, in order.
        never_reset: and a sync proof made after both shows that the TPM was not reset since before both.
        verdict: the answer.
        missing: what is wanting for more, in words.
    """

    proof: AuditProof
    heads: tuple[Head, ...]
    anchors: tuple[Anchors, ...]
    objects: Objects
    before: Side | None
    after: Side | None
    same_boot: bool
    never_reset: bool
    verdict: Verdict
    missing: tuple[str, ...] = field(default=())


def check_proof(proof: AuditProof, trust: ProofTrust) -> Answer:
    """Verifies a proof.

    Args:
        proof: as it was parsed.
        trust: whom to believe.

    Raises:
        PeerError: the code of the first thing that does not hold; ``audit-proof-invalid`` where it has no other.
    """
    heads = _heads(proof, trust)
    for each in proof.entries:
        checkpoint = heads[each.head].checkpoint
        leaf = leaf_hash(leaf_of(each.entry)[0])
        verify_inclusion(leaf, each.index, checkpoint.size, checkpoint.root, each.path)
    objects = Objects(proof.ueid, trust.stamps, trust.endorsers, trust.distributors, trust.verifiers)
    for each in proof.entries:
        objects.take(each.index, each.entry)
    objects.check_times()
    appraised = _replayed(objects, {proof.before, proof.after})
    before = _side(proof.before, proof, objects, heads, appraised)
    after = _side(proof.after, proof, objects, heads, appraised)
    same_boot = before is not None and after is not None and _same_boot(before, after)
    never_reset = False
    if same_boot and before is not None and after is not None:
        stamps = {each.index: heads[each.head].stamped for each in proof.entries}
        never_reset = _never_reset(before, after, objects, stamps)
    missing = tuple(_missing(proof.at_us, before, after, same_boot=same_boot, never_reset=never_reset))
    return Answer(
        proof=proof,
        heads=heads,
        anchors=objects.anchors,
        objects=objects,
        before=before,
        after=after,
        same_boot=same_boot,
        never_reset=never_reset,
        verdict=_verdict(before, after, missing),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Appraised:
    """A result that the verifier signed, and what the logs up to its quote measured."""

    result: AttestationResult
    listing: Listing


def _replayed(objects: Objects, wanted: set[int | None]) -> dict[int, _Appraised]:
    """Of every push that is asked for."""
    replay, appraised = BootReplay(), {}
    last = max((index for index in wanted if index is not None), default=-1)
    for push in objects.pushes:
        if push.index > last:
            break
        try:
            replay.take(push.evidence, push.quote)
            if push.index not in wanted:
                continue
            if not replay.settled:
                raise PeerError(Reason.LOG_INCOMPLETE, "its logs are not complete: the rest came later")
            result = result_token.verify(push.token or b"", result_token.result_keys(objects.verifiers))
            _check_result(push, result, replay.next_index)
            listing = replay.listing(push.references_of(result.policies), push.received_us // _PPM)
            appraised[push.index] = _Appraised(result=result, listing=listing)
        except PeerError as error:
            raise PeerError(error.reason, f"entry {push.index}: {error.detail}") from error
    return appraised


def _side(
    index: int | None,
    proof: AuditProof,
    objects: Objects,
    heads: tuple[Head, ...],
    appraised: Mapping[int, _Appraised],
) -> Side | None:
    if index is None:
        return None
    push = next((each for each in objects.pushes if each.index == index), None)
    if push is None:
        raise _invalid(f"entry {index} is no evidence of this device in the proof")
    handle = objects.handles.get(push.handle)
    if handle is None:
        raise _invalid(f"entry {index}: the proof does not hold the handle of its sync proof")
    covered = next((each for each in proof.entries if each.index == index), None)
    stamp = heads[covered.head].stamped if covered is not None else None
    return Side(
        push=push,
        handle=handle,
        result=appraised[index].result,
        after_us=push.after_us if push.after_us is not None else handle.earliest_us,
        stamped_us=stamp.before_us if stamp is not None else None,
        received_us=push.received_us,
        listing=appraised[index].listing,
    )


def _check_result(push: Push, result: AttestationResult, lengths: Mapping[str, int]) -> None:
    """The result is about this evidence, under this handle, and the logs up to here."""
    said = (result.ueid, result.evidence, result.handle, result.environment, result.received_us, result.sequence)
    body = push.evidence.body
    if said != (body.ueid, push.evidence.body_digest, push.handle, body.environment, push.received_us, body.sequence):
        raise _invalid("its result is about other evidence")
    if result.freshness is Freshness.FRESH and not result.logs_total and dict(result.logs) != dict(lengths):
        raise _invalid(f"its result speaks of {dict(result.logs)} entries, replayed {dict(lengths)}")


def _same_boot(before: Side, after: Side) -> bool:
    """By the counters. A restart count that grew may be a suspend, or a TPM Restart: that one empties the PCRs."""
    one, other = before.push.quote.clock_info, after.push.quote.clock_info
    return (
        before.push.evidence.body.environment == after.push.evidence.body.environment
        and one.reset_count == other.reset_count
        and one.restart_count == other.restart_count
        and one.clock <= other.clock
        and before.push.index <= after.push.index
    )


def _never_reset(before: Side, after: Side, objects: Objects, stamps: Mapping[int, Interval | None]) -> bool:
    """Whether the TPM had been powered, at a sync proof made after both sides, since before both.

    TPM2_GetTime signs the time since the last reset (of a TPM that keeps counting through a warm one: since it had
    power), which nobody can set. Had there been a reset since the earlier side's sync proof, it could be no more than
    what passed since then, by the fastest clock that its owner can make of it. The later side's own sync proof
    does not do: its quote can have been made after a reset, over a proof of before.
    """
    boot = before.push.evidence.body.environment, before.push.quote.clock_info.reset_count
    for push in objects.pushes:
        time, made, handle = push.sync.attested, stamps.get(push.index), objects.handles.get(push.handle)
        if not isinstance(time, TimeAttestInfo) or made is None or made.before_us is None or handle is None:
            continue
        if (push.evidence.body.environment, push.sync.clock_info.reset_count) != boot:
            continue
        if after.stamped_us is None or handle.earliest_us < after.stamped_us:
            continue
        longest_us = (made.before_us - before.handle.earliest_us) * _FASTEST_PPM // _PPM
        if time.time * MILLISECOND_US > longest_us + MILLISECOND_US:
            return True
    return False


def _missing(at_us: int, before: Side | None, after: Side | None, *, same_boot: bool, never_reset: bool) -> list[str]:
    """What keeps the two sides from answering for the time asked for."""
    missing = []
    if before is None:
        missing.append("no evidence from before that time: whether this boot was running then is not shown")
    elif before.stamped_us is None or before.stamped_us > at_us:
        if before.received_us <= at_us:
            missing.append("that the first evidence was made before that time is the verifier's word alone: no stamp")
        else:
            missing.append("the first evidence was received after that time")
    if after is None:
        missing.append("no evidence from after that time: what ran between the first evidence and it is not shown")
    elif after.after_us < at_us:
        missing.append("the second evidence may have been made before that time")
    elif after.handle.earliest_us < at_us:  # quoted ahead of time under a clock set forward, and handed in later
        missing.append("the second evidence is from after that time by the TPM's clock alone, which its owner can set")
    if before is not None and after is not None and not same_boot:
        problem = "the two are of different boots, or a suspend lies between them, which can be a restart of the TPM"
        missing.append(f"{problem}: nothing shows what ran between them")
    if same_boot and not never_reset:
        missing.append(
            "that the TPM was not reset in between is not shown: cleared, it can count up to the same boot again; "
            "it takes a sync proof by TPM2_GetTime, made after both, of having been up for longer than all of that"
        )
    if before is not None and after is not None:
        missing += _undecided(before.result, after.result)
    return missing


def _undecided(before: AttestationResult, after: AttestationResult) -> list[str]:
    """Why the two results leave the time between them open, where they do."""
    if before.status is Tier.CONTRAINDICATED:
        return []
    if after.status is Tier.CONTRAINDICATED:
        return ["what is not approved was measured between the two: before or after that time is not shown"]
    if after.status is not Tier.AFFIRMING or after.freshness is not Freshness.FRESH:
        return ["the verifier did not affirm the second evidence"]
    return []


def _verdict(before: Side | None, after: Side | None, missing: tuple[str, ...]) -> Verdict:
    if missing or before is None or after is None:
        return Verdict.UNKNOWN
    return Verdict.NO if before.result.status is Tier.CONTRAINDICATED else Verdict.YES


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
