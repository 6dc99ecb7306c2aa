"""Evidence: a signed quote over a body, with the PCR values and log entries that the quoted PCRs bind.

The quote's ``extraData`` is the SHA-256 of the body's bytes. The sync proof inside the body has the SHA-256 of the
handle as its ``extraData``. A message never repeats a fact of its TPM structures (handle id, reset and restart counts,
clock, PCR selection, PCR digest), so no second value can contradict the signed one.

PCR values and log increments are *unsigned*. They are valid only once they reproduce the quoted PCR digest (invariant
I1). The body signs where each increment starts, not where it ends: the attester hashes the body before it quotes, and
only then learns which entries the quote covers. Everything in this module is well-formed and untrusted.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from schemas.codecs import cbor
from schemas.codecs.fields import as_array, as_bytes, as_map, as_text, as_uint
from schemas.errors import PeerError
from schemas.hashes import BY_TPM_ID, HashAlgorithm
from schemas.identifiers import Ueid, parse_log_name, parse_ueid
from schemas.limits import (
    MAX_ATTEST_BYTES,
    MAX_CLAIMS,
    MAX_CLAIMS_BYTES,
    MAX_CLOCK_MS,
    MAX_EXACT_INTEGER,
    MAX_LOG_ENTRIES,
    MAX_LOGS,
    MAX_MESSAGE_BYTES,
    MAX_PCR_BANKS,
    MAX_PCR_INDEX,
    MAX_SIGNATURE_BYTES,
    MAX_TEXT_BYTES,
    MAX_TIME_STAMP_TOKEN_BYTES,
    MAX_TRANSITIONS,
)
from schemas.reasons import Reason
from schemas.tpm.attest import MAX_NAME_BYTES
from schemas.transitions import TransitionKind

PROFILE: Final = 1
DIGEST_BYTES: Final = 32
VANISHED: Final = ""  # the value of a claim that the attester no longer makes

BODY_UEID, BODY_PROFILE, BODY_SYNC, BODY_ENVIRONMENT, BODY_SEQUENCE = 1, 2, 3, 4, 5
BODY_PREVIOUS, BODY_CLAIMS, BODY_LOGS, BODY_DIGESTS, BODY_TRANSITIONS = 6, 7, 8, 9, 10
BODY_SYNC_STAMP: Final = 11
_BODY_REQUIRED: Final = (BODY_UEID, BODY_PROFILE, BODY_SYNC, BODY_ENVIRONMENT, BODY_SEQUENCE)
_BODY_OPTIONAL: Final = (BODY_PREVIOUS, BODY_CLAIMS, BODY_LOGS, BODY_DIGESTS, BODY_TRANSITIONS, BODY_SYNC_STAMP)
EVIDENCE_BODY, EVIDENCE_QUOTE, EVIDENCE_SIGNATURE, EVIDENCE_PCRS, EVIDENCE_INCREMENTS = 1, 2, 3, 4, 5
_EVIDENCE_REQUIRED: Final = (EVIDENCE_BODY, EVIDENCE_QUOTE, EVIDENCE_SIGNATURE)
UINT32_MAX: Final = 2**32 - 1
_EVIDENCE_OPTIONAL: Final = (EVIDENCE_PCRS, EVIDENCE_INCREMENTS)

ClaimValue: TypeAlias = str | int | bool | bytes
PcrBanks: TypeAlias = Mapping[HashAlgorithm, Mapping[int, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncProof:
    """TPM2_GetTime (or TPM2_Quote) over a handle: ``attest`` is a TPMS_ATTEST, ``signature`` a TPMT_SIGNATURE."""

    attest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A suspend, a hibernation or the start of another kernel (REIM 7.2.1), as the attester claims it.

    Attributes:
        kind: of transition.
        clock_ms: the TPM's clock in the first sync proof after the transition.
        reset_count, restart_count: the TPM's counts after the transition.
    """

    kind: TransitionKind
    clock_ms: int
    reset_count: int
    restart_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIncrement:
    """Consecutive entries of one measurement log. Unsigned: valid once the whole log reproduces the quote.

    Attributes:
        records: the entries in the log's own binary form, one after the other. The body names the index of the first.
            Empty when other logs took all the room; then only ``total`` shows that there are more entries. A log that
            has no increment in a push has no new entries.
        total: how many entries the log had since boot when the attester made this push. If it is more than the start
            and the entries here, the rest comes in later pushes.
    """

    records: bytes
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceBody:
    """The part of a push that the quote signs by its digest.

    Attributes:
        ueid: the attester.
        sync: proof of synchronisation with a handle (REIM 7.2).
        environment: TPM name of the attesting key (REIM attEnvID).
        sequence: 0 for an agent's first push, then one more each time.
        previous: SHA-256 of the previous body. None for a *full* push, in which ``claims`` and the PCR values are
            complete.
        claims: the claims that changed since the previous push; :data:`VANISHED` for one that is gone.
        logs: the index of the next entry to send, counted from 0 at boot, of each log that the attester keeps. If this
            push holds an increment of the log, the increment starts there.
        increment_digests: SHA-256 of an increment's records by log name, for boot logs and CEL logs. PCRs do not bind
            everything in these: event types, event data, records that extend no PCR.
        transitions: all since the previous body, in order; in a full push the last ones of this boot. One that a later
            one reversed is still listed.
        sync_stamp: RFC 3161 token over the sync proof's attest, from a TSA that the attester asked. It shows that the
            proof was made before it. Present, if at all, in the first push after a synchronisation and in full pushes.
    """

    ueid: Ueid
    sync: SyncProof
    environment: bytes
    sequence: int
    previous: bytes | None = None
    claims: Mapping[str, ClaimValue] = field(default_factory=dict)
    logs: Mapping[str, int] = field(default_factory=dict)
    increment_digests: Mapping[str, bytes] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    sync_stamp: bytes | None = None

    @property
    def sync_imprint(self) -> bytes:
        """SHA-256 of ``sync.attest``. In the two-sided mode (TUDA) a TSA stamps it."""
        return hashlib.sha256(self.sync.attest).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One push.

    Attributes:
        body: the signed part.
        raw_body: the body's bytes as they were sent.
        quote: TPMS_ATTEST.
        signature: TPMT_SIGNATURE over ``quote``.
        unsigned_pcrs: values of PCRs that no log explains.
        unsigned_increments: log entries, by log name.
        envelope: SHA-256 of all bytes of the push as they were sent; empty if it was not parsed from bytes.
    """

    body: EvidenceBody
    raw_body: bytes
    quote: bytes
    signature: bytes
    unsigned_pcrs: PcrBanks = field(default_factory=dict)
    unsigned_increments: Mapping[str, LogIncrement] = field(default_factory=dict)
    envelope: bytes = b""

    @property
    def body_digest(self) -> bytes:
        """SHA-256 of the body: the quote's extraData, and the ``previous`` of the next push."""
        return hashlib.sha256(self.raw_body).digest()


def encode_body(body: EvidenceBody) -> bytes:
    """The bytes to hash into the quote."""
    items: dict[int, object] = {
        BODY_UEID: body.ueid,
        BODY_PROFILE: PROFILE,
        BODY_SYNC: [body.sync.attest, body.sync.signature],
        BODY_ENVIRONMENT: body.environment,
        BODY_SEQUENCE: body.sequence,
    }
    if body.previous is not None:
        items[BODY_PREVIOUS] = body.previous
    if body.claims:
        items[BODY_CLAIMS] = dict(body.claims)
    if body.logs:
        items[BODY_LOGS] = dict(body.logs)
    if body.increment_digests:
        items[BODY_DIGESTS] = dict(body.increment_digests)
    if body.transitions:
        items[BODY_TRANSITIONS] = encode_transitions(body.transitions)
    if body.sync_stamp is not None:
        items[BODY_SYNC_STAMP] = body.sync_stamp
    return cbor.encode(items)


def encode_evidence(evidence: Evidence) -> bytes:
    """The value of the CMW record."""
    items: dict[int, object] = {
        EVIDENCE_BODY: evidence.raw_body,
        EVIDENCE_QUOTE: evidence.quote,
        EVIDENCE_SIGNATURE: evidence.signature,
    }
    if evidence.unsigned_pcrs:
        items[EVIDENCE_PCRS] = {bank.tpm_id: dict(values) for bank, values in evidence.unsigned_pcrs.items()}
    if evidence.unsigned_increments:
        items[EVIDENCE_INCREMENTS] = {
            name: [increment.records, increment.total] for name, increment in evidence.unsigned_increments.items()
        }
    return cbor.encode(items)


def parse_evidence(raw: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Evidence:
    """Parses one push.

    Args:
        raw: the value of the CMW record.
        max_bytes: limit on ``raw``.

    Returns:
        Well-formed evidence. The body names the start of every increment, and every ``total`` is beyond that start.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    items = as_map(
        cbor.decode(raw, "evidence", max_bytes=max_bytes),
        "evidence",
        required=_EVIDENCE_REQUIRED,
        optional=_EVIDENCE_OPTIONAL,
    )
    raw_body = as_bytes(items[EVIDENCE_BODY], "evidence body")
    body = parse_body(raw_body)
    increments = _parse_increments(items[EVIDENCE_INCREMENTS]) if EVIDENCE_INCREMENTS in items else {}
    _check_increments(increments, body.logs)
    return Evidence(
        body=body,
        raw_body=raw_body,
        quote=as_bytes(items[EVIDENCE_QUOTE], "evidence quote", limit=MAX_ATTEST_BYTES),
        signature=as_bytes(items[EVIDENCE_SIGNATURE], "evidence signature", limit=MAX_SIGNATURE_BYTES),
        unsigned_pcrs=_parse_pcrs(items[EVIDENCE_PCRS]) if EVIDENCE_PCRS in items else {},
        unsigned_increments=increments,
        envelope=hashlib.sha256(raw).digest(),
    )


def parse_body(raw: bytes) -> EvidenceBody:
    """Parses an evidence body.

    Raises:
        PeerError: ``malformed`` or ``too-large``.
    """
    items = as_map(cbor.decode(raw, "body"), "body", required=_BODY_REQUIRED, optional=_BODY_OPTIONAL)
    if items[BODY_PROFILE] != PROFILE or isinstance(items[BODY_PROFILE], bool):
        raise PeerError(Reason.MALFORMED, f"body profile {items[BODY_PROFILE]!r}: this software knows {PROFILE}")
    sync = as_array(items[BODY_SYNC], "sync proof", length=2)
    return EvidenceBody(
        ueid=parse_ueid(as_bytes(items[BODY_UEID], "body ueid")),
        sync=SyncProof(
            attest=as_bytes(sync[0], "sync attest", limit=MAX_ATTEST_BYTES),
            signature=as_bytes(sync[1], "sync signature", limit=MAX_SIGNATURE_BYTES),
        ),
        environment=as_bytes(items[BODY_ENVIRONMENT], "body environment", limit=MAX_NAME_BYTES),
        sequence=as_uint(items[BODY_SEQUENCE], "body sequence", maximum=MAX_EXACT_INTEGER),
        previous=as_bytes(items[BODY_PREVIOUS], "body previous", size=DIGEST_BYTES) if BODY_PREVIOUS in items else None,
        claims=_parse_claims(items[BODY_CLAIMS]) if BODY_CLAIMS in items else {},
        logs=_parse_logs(items[BODY_LOGS]) if BODY_LOGS in items else {},
        increment_digests=_parse_digests(items[BODY_DIGESTS]) if BODY_DIGESTS in items else {},
        transitions=parse_transitions(items[BODY_TRANSITIONS]) if BODY_TRANSITIONS in items else (),
        sync_stamp=as_bytes(items[BODY_SYNC_STAMP], "body sync stamp", limit=MAX_TIME_STAMP_TOKEN_BYTES)
        if BODY_SYNC_STAMP in items
        else None,
    )


def encode_transitions(transitions: tuple[Transition, ...]) -> list[list[int]]:
    """Transitions as a body and stored states hold them."""
    return [[int(each.kind), each.clock_ms, each.reset_count, each.restart_count] for each in transitions]


def parse_transitions(value: object) -> tuple[Transition, ...]:
    """The inverse of :func:`encode_transitions`, for at least one transition.

    Raises:
        PeerError: ``malformed`` or ``too-large``.
    """
    transitions = []
    for item in as_array(value, "transitions", limit=MAX_TRANSITIONS):
        kind, clock_ms, reset_count, restart_count = as_array(item, "transition", length=4)
        transitions.append(
            Transition(
                kind=TransitionKind(as_uint(kind, "transition kind", maximum=max(TransitionKind))),
                clock_ms=as_uint(clock_ms, "transition clock", maximum=MAX_CLOCK_MS),
                reset_count=as_uint(reset_count, "transition reset count", maximum=UINT32_MAX),
                restart_count=as_uint(restart_count, "transition restart count", maximum=UINT32_MAX),
            )
        )
    if not transitions:
        raise PeerError(Reason.MALFORMED, "transitions: empty; leave the key out instead")
    return tuple(transitions)


def _parse_claims(value: object) -> dict[str, ClaimValue]:
    claims: dict[str, ClaimValue] = {}
    for name, claim in _non_empty(value, "claims", MAX_CLAIMS).items():
        key = as_text(name, "claim name", limit=64)
        if not isinstance(claim, str | bytes | int):
            raise PeerError(Reason.MALFORMED, f"claim {key!r}: expected text, bytes, an integer or a boolean")
        if isinstance(claim, str | bytes) and len(claim) > MAX_TEXT_BYTES:
            raise PeerError(Reason.TOO_LARGE, f"claim {key!r}: {len(claim)} long, the limit is {MAX_TEXT_BYTES}")
        if isinstance(claim, int) and abs(claim) > MAX_EXACT_INTEGER:
            raise PeerError(Reason.TOO_LARGE, f"claim {key!r}: beyond 2^53, which some JSON readers round")
        claims[key] = claim
    check_claims_size(claims)
    return claims


def check_claims_size(claims: Mapping[str, ClaimValue]) -> None:
    """Checks the number and the size of all claims of one attester, after every push.

    Raises:
        PeerError: ``too-large``.
    """
    size = sum(len(name) + (len(value) if isinstance(value, str | bytes) else 9) for name, value in claims.items())
    if len(claims) > MAX_CLAIMS or size > MAX_CLAIMS_BYTES:
        message = f"claims: {len(claims)} of {size} bytes, the limits are {MAX_CLAIMS} and {MAX_CLAIMS_BYTES}"
        raise PeerError(Reason.TOO_LARGE, message)


def _parse_logs(value: object) -> dict[str, int]:
    return {
        parse_log_name(as_text(name, "log name", limit=64)): as_uint(start, "log start", maximum=MAX_LOG_ENTRIES)
        for name, start in _non_empty(value, "logs", MAX_LOGS).items()
    }


def _parse_digests(value: object) -> dict[str, bytes]:
    return {
        parse_log_name(as_text(name, "log name", limit=64)): as_bytes(digest, "increment digest", size=DIGEST_BYTES)
        for name, digest in _non_empty(value, "increment digests", MAX_LOGS).items()
    }


def _parse_increments(value: object) -> dict[str, LogIncrement]:
    increments: dict[str, LogIncrement] = {}
    for name, increment in _non_empty(value, "increments", MAX_LOGS).items():
        key = parse_log_name(as_text(name, "log name", limit=64))
        records, total = as_array(increment, f"increment of {key}", length=2)
        increments[key] = LogIncrement(
            records=as_bytes(records, f"increment of {key}"),
            total=as_uint(total, f"increment of {key}: total", maximum=MAX_LOG_ENTRIES),
        )
    return increments


def _check_increments(increments: Mapping[str, LogIncrement], starts: Mapping[str, int]) -> None:
    for name, increment in increments.items():
        if name not in starts:
            raise PeerError(Reason.MALFORMED, f"increment of {name}: the body does not state its start")
        if increment.total <= starts[name]:
            raise PeerError(Reason.MALFORMED, f"increment of {name}: no entry; leave it out instead")


def _parse_pcrs(value: object) -> dict[HashAlgorithm, dict[int, bytes]]:
    banks: dict[HashAlgorithm, dict[int, bytes]] = {}
    for algorithm_id, values in _non_empty(value, "PCR banks", MAX_PCR_BANKS).items():
        bank = BY_TPM_ID.get(as_uint(algorithm_id, "PCR bank"))
        if bank is None:
            raise PeerError(Reason.MALFORMED, f"PCR bank {algorithm_id!r}: unknown algorithm")
        banks[bank] = {
            as_uint(index, "PCR index", maximum=MAX_PCR_INDEX): as_bytes(digest, f"PCR {bank.name}", size=bank.size)
            for index, digest in _non_empty(values, f"PCR bank {bank.name}", MAX_PCR_INDEX + 1).items()
        }
    return banks


def _non_empty(value: object, name: str, limit: int) -> Mapping[object, object]:
    items = as_map(value, name, limit=limit)
    if not items:
        raise PeerError(Reason.MALFORMED, f"{name}: empty; leave the key out instead")
    return items
