"""Admission: is this push by the attester it names, whole, bound to its quote, and newer than the last one?

A check that fails raises a ``PeerError``. Then the push is refused and counted, and neither state nor verdict changes
(invariant I3). So an attacker who can write to an attester's topic achieves nothing but refusals.

An attacker who controls the device's operating system can use the attesting key. He can have any body quoted, but only
with the TPM's own clock, counters and PCR digest. An attacker on the network or broker has old messages, and the
unsigned bytes of new ones.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from schemas.errors import PeerError
from schemas.identifiers import HANDLE_ID_BYTES, HandleId, Ueid, ueid_text
from schemas.instants import SECOND_US
from schemas.limits import MAX_CLOCK_MS
from schemas.messages.evidence import Evidence
from schemas.messages.handle import Handle
from schemas.messages.trust_statement import Withdrawal
from schemas.reasons import Reason
from schemas.time_model import counter_steps, stamped
from schemas.tpm.attest import Attest, QuoteInfo, TimeAttestInfo, parse_attest
from schemas.tpm.signature import Signature, parse_signature, verify_signature
from verifier_worker.core.clock_changes import ClockChange, ClockReading, clock_change
from verifier_worker.core.state import AttesterState, SyncPoint
from verifier_worker.core.trust import REASON_OF, EndorsedKey, Trust, withdrawal_of, withdrawal_text

_BOUND_LOGS: Final = frozenset({"tcg2", "cel"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A push under admission. Everything in it is untrusted until the last check has passed.

    Attributes:
        topic_ueid: the attester on whose topic it came.
        evidence: the push.
        unverified_quote, signature: parsed from it.
        unverified_sync: parsed from its sync proof.
        handle: the one that the sync proof names; None if unknown. The body, and so the quote, was made after it.
        key: the endorsed key of the attester, if any.
        withdrawal: how its endorsement was withdrawn; None if it was not.
        state: of the attester, built from evidence of this key; None for the first push of a key.
        change: what happened to the TPM since the last accepted quote by this key.
        received_us: receipt.
    """

    topic_ueid: Ueid
    evidence: Evidence
    unverified_quote: Attest
    signature: Signature
    unverified_sync: SyncPoint
    handle: Handle | None
    key: EndorsedKey | None
    withdrawal: Withdrawal | None
    state: AttesterState | None
    change: ClockChange
    received_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedEvidence:
    """A push whose quote and sync proof the endorsed key signed. Only :func:`admit` makes one.

    ``evidence.unsigned_pcrs`` and ``unsigned_increments`` still prove nothing until they reproduce ``quoted``.

    Attributes:
        received_after: newest handle known on receipt.
        change: what happened to the TPM since the last accepted quote by this key.
        sync_stamp_problem: why the stamp over the sync proof is invalid; empty if it is valid or missing.
    """

    evidence: Evidence
    quote: Attest
    quoted: QuoteInfo
    signature: Signature
    sync: SyncPoint
    received_us: int
    received_after: HandleId | None
    change: ClockChange
    sync_stamp_problem: str


def ueid_is_the_topics(candidate: Candidate) -> None:
    """The signed body names the attester of the topic: evidence of one device cannot pass for another's."""
    if candidate.evidence.body.ueid != candidate.topic_ueid:
        named = ueid_text(candidate.evidence.body.ueid)
        raise PeerError(Reason.UEID_MISMATCH, f"the body names {named}, the topic {ueid_text(candidate.topic_ueid)}")


def attester_is_endorsed(candidate: Candidate) -> None:
    """A trusted endorser vouches for a key of this attester at the time of receipt."""
    if candidate.key is None:
        raise PeerError(Reason.ATTESTER_UNENDORSED, "no endorsement for this attester")
    endorsement, now_s = candidate.key.endorsement, candidate.received_us // SECOND_US
    if now_s > endorsement.not_after_s:
        raise PeerError(Reason.ENDORSEMENT_EXPIRED, f"endorsement version {endorsement.version} has ended")
    if now_s < endorsement.not_before_s:
        raise PeerError(Reason.ENDORSEMENT_NOT_YET_VALID, f"endorsement version {endorsement.version} is not valid yet")


def endorsement_is_in_force(candidate: Candidate) -> None:
    """The endorser has not withdrawn the endorsement."""
    if candidate.withdrawal is not None:
        raise PeerError(REASON_OF[candidate.withdrawal.standing], withdrawal_text(candidate.withdrawal))


def environment_is_endorsed(candidate: Candidate) -> None:
    """The body names the endorsed key as its attesting environment (REIM N7)."""
    if candidate.key is None or candidate.evidence.body.environment != candidate.key.name:
        raise PeerError(Reason.ATTESTING_KEY_MISMATCH, "the body names another attesting key than the endorsed one")


def evidence_is_newer(candidate: Candidate) -> None:
    """The quote is newer than the last accepted one, so old evidence cannot be replayed (invariant I4).

    The TPM's counters prove this order. Once they have gone backwards they no longer do, because already accepted
    evidence can look newer. From then on the handle must prove it: it must be known and no older than the newest handle
    accepted before.
    """
    state, clock = candidate.state, candidate.unverified_quote.clock_info
    if state is None:
        return
    if candidate.change is ClockChange.REPLAYED:
        resets, ahead_ms = counter_steps(state.reset_count, clock.reset_count), clock.clock - state.clock_ms
        message = f"quoted {resets} resets and {ahead_ms} ms after the last accepted quote, under no newer handle"
        raise PeerError(Reason.EVIDENCE_REPLAYED, message)
    if state.went_back:
        newest_us = state.handle_time_us
        if candidate.handle is None or (newest_us is not None and candidate.handle.time_us < newest_us):
            message = "the TPM's counters have gone back before, and this push is under no handle that is newer"
            raise PeerError(Reason.EVIDENCE_REPLAYED, message)


def quote_is_signed(candidate: Candidate) -> None:
    """The endorsed key signed the quote."""
    if candidate.key is None:
        raise PeerError(Reason.ATTESTER_UNENDORSED, "no endorsement for this attester")
    verify_signature(
        candidate.key.public_key, candidate.signature, candidate.evidence.quote, Reason.QUOTE_SIGNATURE_INVALID
    )


def quote_binds_body(candidate: Candidate) -> None:
    """The quote's qualifying data is the digest of the body: so the quote signs identity, sync proof, claims, order."""
    if candidate.unverified_quote.extra_data != candidate.evidence.body_digest:
        raise PeerError(Reason.QUOTE_NOT_BOUND_TO_BODY, "the quote's extraData is not the SHA-256 of the body")


def sync_is_signed(candidate: Candidate) -> None:
    """The endorsed key also signed the sync proof."""
    state, sync = candidate.state, candidate.unverified_sync
    if state is not None and sync is state.sync:
        return  # verified with an earlier push
    if candidate.key is None:
        raise PeerError(Reason.ATTESTER_UNENDORSED, "no endorsement for this attester")
    proof = candidate.evidence.body.sync
    signature = parse_signature(proof.signature)
    verify_signature(candidate.key.public_key, signature, proof.attest, Reason.SYNC_SIGNATURE_INVALID)


def increments_are_bound(candidate: Candidate) -> None:
    """Every increment has the digest that the body names. Boot and CEL logs need one: PCRs bind only parts of them."""
    digests = candidate.evidence.body.increment_digests
    for name, increment in candidate.evidence.unsigned_increments.items():
        expected = digests.get(name)
        if expected is None and increment.records and name.partition("/")[0] in _BOUND_LOGS:
            raise PeerError(Reason.LOG_NOT_BOUND_TO_BODY, f"log {name}: the body has no digest of its increment")
        if expected is not None and expected != hashlib.sha256(increment.records).digest():
            raise PeerError(Reason.LOG_NOT_BOUND_TO_BODY, f"log {name}: not the increment that was quoted")
    for name in digests.keys() - candidate.evidence.unsigned_increments.keys():
        raise PeerError(Reason.LOG_NOT_BOUND_TO_BODY, f"log {name}: its increment is missing")


ADMISSION: Final[tuple[Callable[[Candidate], None], ...]] = (
    ueid_is_the_topics,
    endorsement_is_in_force,
    attester_is_endorsed,
    environment_is_endorsed,
    evidence_is_newer,  # before the signatures: a replay costs an attacker least
    quote_binds_body,
    quote_is_signed,
    increments_are_bound,
    sync_is_signed,
)


def admit(
    topic_ueid: Ueid, evidence: Evidence, state: AttesterState | None, received_us: int, trust: Trust
) -> AdmittedEvidence:
    """Runs every admission check, then verifies the stamp over the sync proof.

    Args:
        topic_ueid: the attester on whose topic the push came.
        evidence: the push.
        state: of the attester, built from evidence of this key; None for the first push of a key.
        received_us: receipt.
        trust: in force at the receipt.

    Raises:
        PeerError: with the code of the first check that fails.
    """
    quote = _parse_bounded(evidence.quote)
    if not isinstance(quote.attested, QuoteInfo):
        raise PeerError(Reason.ATTEST_TYPE_WRONG, f"the quote is a {quote.type.name} attestation")
    sync = _parse_sync(evidence, state)
    handle = trust.handles.get(sync.handle)
    candidate = Candidate(
        topic_ueid=topic_ueid,
        evidence=evidence,
        unverified_quote=quote,
        signature=parse_signature(evidence.signature),
        unverified_sync=sync,
        handle=handle,
        key=trust.endorsed.get(topic_ueid),
        withdrawal=withdrawal_of(trust, topic_ueid),
        state=state,
        change=_clock_change(evidence, quote, handle, state),
        received_us=received_us,
    )
    for check in ADMISSION:
        check(candidate)
    stamped_before_us, problem = _verify_stamp(candidate, trust)
    return AdmittedEvidence(
        evidence=evidence,
        quote=quote,
        quoted=quote.attested,
        signature=candidate.signature,
        sync=replace(sync, stamped_before_us=stamped_before_us) if stamped_before_us is not None else sync,
        received_us=received_us,
        received_after=trust.newest,
        change=candidate.change,
        sync_stamp_problem=problem,
    )


def _parse_bounded(raw: bytes) -> Attest:
    attest = parse_attest(raw)
    if attest.clock_info.clock > MAX_CLOCK_MS:
        raise PeerError(
            Reason.MALFORMED, f"attestation: clock {attest.clock_info.clock} ms, the limit is {MAX_CLOCK_MS}"
        )
    return attest


def _clock_change(evidence: Evidence, quote: Attest, handle: Handle | None, state: AttesterState | None) -> ClockChange:
    """The change since the last accepted quote; ``RUNNING`` for the first push of a key."""
    if state is None:
        return ClockChange.RUNNING
    clock, newest_us = quote.clock_info, state.handle_time_us
    return clock_change(
        ClockReading(
            clock_ms=state.clock_ms,
            reset_count=state.reset_count,
            restart_count=state.restart_count,
            sequence=state.sequence,
        ),
        ClockReading(
            clock_ms=clock.clock,
            reset_count=clock.reset_count,
            restart_count=clock.restart_count,
            sequence=evidence.body.sequence,
        ),
        handle_is_newer=handle is not None and newest_us is not None and handle.time_us > newest_us,
    )


def _parse_sync(evidence: Evidence, state: AttesterState | None) -> SyncPoint:
    """Parses the sync proof. If the last push had the same one, returns that: it is verified already."""
    proof = evidence.body.sync
    digest = hashlib.sha256(len(proof.attest).to_bytes(4, "big") + proof.attest + proof.signature).digest()
    if state is not None and state.sync.digest == digest:
        return state.sync
    attest = _parse_bounded(proof.attest)
    if len(attest.extra_data) != HANDLE_ID_BYTES:
        raise PeerError(Reason.SYNC_SIGNATURE_INVALID, "the sync proof's extraData is not the digest of a handle")
    timed = attest.attested
    return SyncPoint(
        digest=digest,
        handle=HandleId(attest.extra_data),
        clock_ms=attest.clock_info.clock,
        reset_count=attest.clock_info.reset_count,
        restart_count=attest.clock_info.restart_count,
        time_ms=timed.time if isinstance(timed, TimeAttestInfo) else None,
    )


def _verify_stamp(candidate: Candidate, trust: Trust) -> tuple[int | None, str]:
    """Verifies a TSA's stamp over the sync proof (TUDA): the latest time of the proof, or why the stamp is invalid."""
    body, sync = candidate.evidence.body, candidate.unverified_sync
    if body.sync_stamp is None or sync.stamped_before_us is not None or trust.stamps is None:
        return None, ""
    try:
        stamp = trust.stamps.verify_stamp(body.sync_stamp, body.sync_imprint)
    except PeerError as error:
        return None, f"{error.reason}: {error.detail}"
    return stamped(stamp.gen_time_us, stamp.accuracy_us).before_us, ""
