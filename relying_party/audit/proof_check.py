"""Checks a proof: was this device running only approved software at that time, and who vouches for it? Pure.

The steps, in this order; the first failed check ends it:

1. Checkpoints: the audit log's signature, the TSA's stamps, the witnesses' cosignatures; larger trees extend smaller.
2. Every entry is in the tree of its checkpoint, at its place.
3. Trust objects, by the keys in the anchors or by the auditor's own: handles (distributor, TSA), endorsements,
   reference values and policies (endorser).
4. Every push: quote and sync proof by the endorsed key, bound to its body, in the order of the audit log, and a time
   that claims no more than these prove (:mod:`relying_party.audit.time_audit`).
5. The measurement logs of the boot, replayed from their start to the quoted PCR digests.
6. The two results: signed by the verifier, about this evidence, this handle, these policies and these log lengths.

Why two pieces of evidence answer the question: measurement logs only grow within a boot. A quote that was certainly
made after the time asked for therefore covers everything measured up to that time, if the same boot was certainly
running before it. Counters alone do not identify a boot, because TPM2_Clear restarts them. The time since the last
reset, which TPM2_GetTime signs, shows that the boot continued. Only TSA stamps count as certain: the handle's stamp for
the lower bound, the stamp of the audit log's checkpoint for the upper bound.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from relying_party.audit.proof_objects import ProofObjects, Push
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
# TPM2_ClockRateAdjust lets the owner of a TPM (reference implementation) run its time a fifth faster; in addition
# TPM 2.0 allows an error of 15 %. A policy does not bind that owner, so its drift bound is not used here.
_FASTEST_PPM: Final = 1_380_000


class Verdict(StrEnum):
    """The answer."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "not proven"


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
class Side:
    """The evidence on one side of the time asked for.

    Attributes:
        push: the evidence.
        handle: that its sync proof signs.
        result: signed by the verifier.
        after_us: lower bound for its time, by the TSA and the TPM's clock.
        stamped_us: upper bound for its time, by the TSA's stamp on its checkpoint; None without a stamp.
        received_us: receipt time; only the verifier vouches for it.
        listing: the measurements in its logs.
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
    """The outcome of a proof.

    Attributes:
        proof: that was checked.
        heads: its checkpoints.
        anchors: the keys that the verifier trusted, as the audit log states.
        objects: its verified entries.
        before, after: the two sides; None if the proof lacks one.
        same_boot: both have the same key, reset count and restart count, in order.
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
    """A signed result, and the measurements in the logs up to its quote."""

    result: AttestationResult
    listing: Listing


def _replayed(objects: ProofObjects, wanted: set[int | None]) -> dict[int, _Appraised]:
    """Replays the pushes; returns result and measurements of each wanted one, by index."""
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
    objects: ProofObjects,
    heads: tuple[Head, ...],
    appraised: Mapping[int, _Appraised],
) -> Side | None:
    if index is None:
        return None
    push = next((each for each in objects.pushes if each.index == index), None)
    if push is None:
        raise _invalid(f"the proof does not hold evidence of this device as entry {index}")
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
    """Checks that the result is about this evidence, this handle, and the logs up to here."""
    named = (result.ueid, result.evidence, result.handle, result.environment, result.received_us, result.sequence)
    body = push.evidence.body
    if named != (body.ueid, push.evidence.body_digest, push.handle, body.environment, push.received_us, body.sequence):
        raise _invalid("its result is about other evidence")
    if result.freshness is Freshness.FRESH and not result.logs_total and dict(result.logs) != dict(lengths):
        raise _invalid(f"its result states {dict(result.logs)} entries, replayed were {dict(lengths)}")


def _same_boot(before: Side, after: Side) -> bool:
    """Compares key and counters. A higher restart count means a suspend or a TPM Restart, which empties the PCRs."""
    one, other = before.push.quote.clock_info, after.push.quote.clock_info
    return (
        before.push.evidence.body.environment == after.push.evidence.body.environment
        and one.reset_count == other.reset_count
        and one.restart_count == other.restart_count
        and one.clock <= other.clock
        and before.push.index <= after.push.index
    )


def _never_reset(before: Side, after: Side, objects: ProofObjects, stamps: Mapping[int, Interval | None]) -> bool:
    """Whether a sync proof made after both sides shows that the TPM was not reset since before both.

    TPM2_GetTime signs the time since the last reset (or since power-on, if the TPM keeps counting through a warm
    reset). Nobody can set it. After a reset since the earlier side's sync proof, it could be at most the time that has
    passed since that proof, measured by the fastest clock that the TPM's owner can make of it. The later side's own
    sync proof does not suffice: its quote may have been made after a reset, over a proof from before the reset.
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
    """Why the two sides do not answer for the time asked for, in sentences."""
    missing = []
    if before is None:
        missing.append("no evidence from before that time: nothing shows that this boot was running then")
    elif before.stamped_us is None or before.stamped_us > at_us:
        if before.received_us <= at_us:
            missing.append("the first evidence was made before that time by the verifier's word alone: it has no stamp")
        else:
            missing.append("the first evidence was received after that time")
    if after is None:
        missing.append("no evidence from after that time: nothing shows what ran since the first evidence")
    elif after.after_us < at_us:
        missing.append("the second evidence may have been made before that time")
    elif after.handle.earliest_us < at_us:  # may have been quoted early, under a clock set forward, and sent later
        missing.append("the second evidence is from after that time by the TPM's clock alone, which its owner can set")
    if before is not None and after is not None and not same_boot:
        problem = "the two are of different boots, or a suspend lies between them, which can hide a restart of the TPM"
        missing.append(f"{problem}: nothing shows what ran between them")
    if same_boot and not never_reset:
        missing.append(
            "nothing shows that the TPM was not reset in between: a cleared TPM can reach the same counters again. "
            "A later sync proof by TPM2_GetTime must show that it was up for longer than all of that time"
        )
    if before is not None and after is not None:
        missing += _undecided(before.result, after.result)
    return missing


def _undecided(before: AttestationResult, after: AttestationResult) -> list[str]:
    """Why the two results do not decide the time between them, if they do not."""
    if before.status is Tier.CONTRAINDICATED:
        return []
    if after.status is Tier.CONTRAINDICATED:
        return ["something not approved was measured between the two: nothing shows whether before or after that time"]
    if after.status is not Tier.AFFIRMING or after.freshness is not Freshness.FRESH:
        return ["the verifier did not affirm the second evidence"]
    return []


def _verdict(before: Side | None, after: Side | None, missing: tuple[str, ...]) -> Verdict:
    if missing or before is None or after is None:
        return Verdict.UNKNOWN
    return Verdict.NO if before.result.status is Tier.CONTRAINDICATED else Verdict.YES


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
