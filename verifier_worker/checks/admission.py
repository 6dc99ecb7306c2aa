"""Admission: is this push by the attester it names, whole, bound to its quote, and newer than the last one?

Each check raises a ``PeerError``; then the push is refused, counted and logged, and neither state nor verdict moves. So
whoever can write to an attester's topic can at worst be refused.

An attacker who owns the device's operating system holds the attesting key's *use*: he can have any body quoted, but
only with the TPM's own clock, counters and PCR digest. An attacker on the network or broker holds old messages and the
unsigned bytes of new ones.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from schemas.errors import PeerError
from schemas.evidence import Evidence
from schemas.identifiers import HANDLE_ID_BYTES, HandleId, Ueid, ueid_text
from schemas.limits import MAX_CLOCK_MS
from schemas.reasons import Reason
from schemas.tpm_attest import Attest, AttestType, QuoteInfo, parse_attest
from schemas.tpm_signature import Signature, parse_signature, verify_signature
from verifier_worker.state import AttesterState, SyncPoint
from verifier_worker.trust import EndorsedKey, Trust

_US: Final = 1_000_000
_BOUND_LOGS: Final = frozenset({"tcg2", "cel"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A push under admission. Everything in it is untrusted until the last check has passed.

    Attributes:
        topic_ueid: the attester whose topic it came on.
        evidence: the push.
        unverified_quote, signature: parsed from it.
        key: the endorsed key of the attester; None when there is none.
        state: what is known of the attester; None for the first push.
        received_us: receipt.
    """

    topic_ueid: Ueid
    evidence: Evidence
    unverified_quote: Attest
    signature: Signature
    key: EndorsedKey | None
    state: AttesterState | None
    received_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedEvidence:
    """A push whose quote and sync proof are by the endorsed key. Only :func:`admit` makes one.

    ``evidence.unsigned_pcrs`` and ``unsigned_increments`` still prove nothing until they reproduce ``quoted``.
    """

    evidence: Evidence
    quote: Attest
    quoted: QuoteInfo
    signature: Signature
    sync: SyncPoint
    received_us: int


def ueid_is_the_topics(candidate: Candidate) -> None:
    """The signed body names the attester whose topic it came on: evidence of one device cannot pass for another."""
    if candidate.evidence.body.ueid != candidate.topic_ueid:
        named = ueid_text(candidate.evidence.body.ueid)
        raise PeerError(Reason.UEID_MISMATCH, f"the body names {named}, the topic {ueid_text(candidate.topic_ueid)}")


def attester_is_endorsed(candidate: Candidate) -> None:
    """A trusted endorser vouches for a key of this attester, now."""
    if candidate.key is None:
        raise PeerError(Reason.ATTESTER_UNENDORSED, "no endorsement for this attester")
    endorsement, now_s = candidate.key.endorsement, candidate.received_us // _US
    if not endorsement.not_before_s <= now_s <= endorsement.not_after_s:
        raise PeerError(Reason.ATTESTER_UNENDORSED, f"endorsement version {endorsement.version} is not valid now")


def environment_is_endorsed(candidate: Candidate) -> None:
    """The attesting environment it names is the endorsed key (REIM N7)."""
    if candidate.key is None or candidate.evidence.body.environment != candidate.key.name:
        raise PeerError(Reason.ATTESTING_KEY_MISMATCH, "the body names another attesting key than the endorsed one")


def evidence_is_newer(candidate: Candidate) -> None:
    """The quote is newer than the last accepted one, by the TPM's own counters: old evidence cannot be played again."""
    state, clock = candidate.state, candidate.unverified_quote.clock_info
    if state is None or state.environment != candidate.evidence.body.environment:
        return
    resets = resets_since(state.reset_count, clock.reset_count)
    last, this = (0, state.clock_ms, state.sequence), (resets, clock.clock, candidate.evidence.body.sequence)
    if this[0] < 0 or (resets == 0 and this <= last):
        message = f"quoted {resets} resets and {clock.clock - state.clock_ms} ms after the last accepted quote"
        raise PeerError(Reason.EVIDENCE_REPLAYED, message)


def resets_since(earlier: int, later: int) -> int:
    """TPM resets from one reset count to another; negative when ``later`` is the earlier one.

    Counted modulo 2^32: a key outside the endorsement hierarchy sees reset counts with a secret constant added
    (TPM 2.0 Part 1, "Obfuscation"), which may wrap around.
    """
    return (later - earlier + 2**31) % 2**32 - 2**31


def quote_is_signed(candidate: Candidate) -> None:
    """The endorsed key signed the quote."""
    if candidate.key is None:
        raise PeerError(Reason.ATTESTER_UNENDORSED, "no endorsement for this attester")
    verify_signature(
        candidate.key.public_key, candidate.signature, candidate.evidence.quote, Reason.QUOTE_SIGNATURE_INVALID
    )


def quote_binds_body(candidate: Candidate) -> None:
    """The quote's qualifying data is the digest of this body: identity, sync proof, claims and order are the TPM's."""
    if candidate.unverified_quote.extra_data != candidate.evidence.body_digest:
        raise PeerError(Reason.QUOTE_NOT_BOUND_TO_BODY, "the quote's extraData is not the SHA-256 of the body")


def increments_are_bound(candidate: Candidate) -> None:
    """Increments are those whose digests the body names; of boot and CEL logs it must, since PCRs bind half of them."""
    digests = candidate.evidence.body.increment_digests
    for name, increment in candidate.evidence.unsigned_increments.items():
        expected = digests.get(name)
        if expected is None and increment.records and name.partition("/")[0] in _BOUND_LOGS:
            raise PeerError(Reason.LOG_NOT_BOUND_TO_BODY, f"log {name}: the body has no digest of its increment")
        if expected is not None and expected != hashlib.sha256(increment.records).digest():
            raise PeerError(Reason.LOG_NOT_BOUND_TO_BODY, f"log {name}: not the increment that was quoted")
    for name in digests.keys() - candidate.evidence.unsigned_increments.keys():
        raise PeerError(Reason.LOG_NOT_BOUND_TO_BODY, f"log {name}: its increment is not there")


ADMISSION: Final[tuple[Callable[[Candidate], None], ...]] = (
    ueid_is_the_topics,
    attester_is_endorsed,
    environment_is_endorsed,
    evidence_is_newer,  # before the signatures: a replay is by far the cheapest thing to send
    quote_binds_body,
    quote_is_signed,
    increments_are_bound,
)


def admit(
    topic_ueid: Ueid, evidence: Evidence, state: AttesterState | None, received_us: int, trust: Trust
) -> AdmittedEvidence:
    """Asks every admission check, then verifies the sync proof unless the last push had the same one.

    Raises:
        PeerError: with the code of the first check that fails.
    """
    quote = _parse_bounded(evidence.quote)
    if quote.type is not AttestType.QUOTE or not isinstance(quote.attested, QuoteInfo):
        raise PeerError(Reason.ATTEST_TYPE_WRONG, f"the quote is a {quote.type.name} attestation")
    candidate = Candidate(
        topic_ueid=topic_ueid,
        evidence=evidence,
        unverified_quote=quote,
        signature=parse_signature(evidence.signature),
        key=trust.endorsed.get(topic_ueid),
        state=state,
        received_us=received_us,
    )
    for check in ADMISSION:
        check(candidate)
    return AdmittedEvidence(
        evidence=evidence,
        quote=quote,
        quoted=quote.attested,
        signature=candidate.signature,
        sync=_verify_sync(candidate),
        received_us=received_us,
    )


def _parse_bounded(raw: bytes) -> Attest:
    attest = parse_attest(raw)
    if attest.clock_info.clock > MAX_CLOCK_MS:
        raise PeerError(
            Reason.MALFORMED, f"attestation: clock {attest.clock_info.clock} ms, the limit is {MAX_CLOCK_MS}"
        )
    return attest


def _verify_sync(candidate: Candidate) -> SyncPoint:
    """The sync proof is by the endorsed key over some handle; which one, and when, is for appraisal."""
    proof, state = candidate.evidence.body.sync, candidate.state
    digest = hashlib.sha256(len(proof.attest).to_bytes(4, "big") + proof.attest + proof.signature).digest()
    same_key = state is not None and state.environment == candidate.evidence.body.environment
    if same_key and state is not None and state.sync.digest == digest:
        return state.sync
    attest = _parse_bounded(proof.attest)
    if candidate.key is None or len(attest.extra_data) != HANDLE_ID_BYTES:
        raise PeerError(Reason.SYNC_SIGNATURE_INVALID, "the sync proof's extraData is not the digest of a handle")
    signature = parse_signature(proof.signature)
    verify_signature(candidate.key.public_key, signature, proof.attest, Reason.SYNC_SIGNATURE_INVALID)
    return SyncPoint(
        digest=digest,
        handle=HandleId(attest.extra_data),
        clock_ms=attest.clock_info.clock,
        reset_count=attest.clock_info.reset_count,
        restart_count=attest.clock_info.restart_count,
    )
