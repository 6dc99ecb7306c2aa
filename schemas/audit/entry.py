"""Entries of a verifier's audit log: evidence with its result, and between them the objects that decided the results.

A leaf of the log is an entry. If the entry is longer than a leaf may be (:data:`schemas.tlog.tiles.MAX_LEAF_BYTES`),
the leaf is a reference to it (:func:`leaf_of`). Entries and references have different keys.

    reference  {9: SHA-256 of the entry, 10: its length}

There are two kinds of entries, in the order in which they took effect at the verifier:

    evidence   {1: receipt, 2: UEID, 3: reasons, 4: result or null, 5: SHA-256 of the payload, 6: payload or null}
    object     {1: receipt, 7: kind, 8: the object}

An object entry comes before the first evidence that was judged with the object in force. So evidence between the
entries of handles ``H_i`` and ``H_j`` was received after ``H_i`` was stamped and before ``H_j`` was accepted (REIM
7.2). Only the signed parts of an entry can be verified; the rest is the verifier's claim.

Three kinds of object are not signed: the keys and roots that the verifier trusts (``anchors``), the policy of its own
configuration (``local-policy``), and its start (``start``); see :mod:`schemas.audit.anchors`. With them, every result
can be recomputed from the log alone.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from schemas.codecs import cbor
from schemas.codecs.fields import as_array, as_bytes, as_map, as_text, as_uint
from schemas.errors import PeerError
from schemas.identifiers import Ueid, parse_ueid
from schemas.limits import MAX_REFERENCE_VALUES_BYTES
from schemas.messages.trust_objects import TRUST_OBJECTS
from schemas.reasons import Reason
from schemas.tlog.tiles import MAX_LEAF_BYTES

MAX_ENTRY_BYTES: Final = 2 * MAX_REFERENCE_VALUES_BYTES
ANCHORS: Final = "anchors"
LOCAL_POLICY: Final = "local-policy"
START: Final = "start"
UNSIGNED_KINDS: Final = frozenset({ANCHORS, LOCAL_POLICY, START})
_ALL_KINDS: Final = UNSIGNED_KINDS | {str(kind) for kind in TRUST_OBJECTS}
DIGEST_BYTES: Final = 32
WITHDRAWN: Final = frozenset({Reason.ATTESTING_KEY_REVOKED, Reason.ATTESTER_DECOMMISSIONED})
_TIME, _UEID, _REASONS, _RESULT, _DIGEST, _PAYLOAD, _KIND, _OBJECT = range(1, 9)
_REFERENCE_DIGEST, _REFERENCE_LENGTH = 9, 10
_MAX_REFERENCE_BYTES: Final = 48
_MAX_REASONS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceEntry:
    """One message of an attester, or a result without one: after a missed deadline, or for evidence that was pending.

    Attributes:
        received_us: receipt, UTC microseconds of the verifier's clock.
        ueid: the attester, by the topic.
        reasons: reason codes, as in the result.
        result: the signed result; None for refused evidence.
        digest: SHA-256 of the payload.
        payload: the CMW record as it was received; None for refused evidence and for a result without a message.
    """

    received_us: int
    ueid: Ueid
    reasons: Sequence[str]
    result: bytes | None
    digest: bytes
    payload: bytes | None

    @property
    def cause(self) -> str:
        """The cause of a result without a message: ``overdue``, ``withdrawn``, or ``resolved`` by its handle."""
        if not WITHDRAWN.isdisjoint(self.reasons):
            return "withdrawn"
        return "overdue" if Reason.EVIDENCE_OVERDUE in self.reasons else "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEntry:
    """A trust object that came into force, or an unsigned object.

    Attributes:
        received_us: receipt, UTC microseconds of the verifier's clock.
        kind: one of ``TRUST_OBJECTS`` or :data:`UNSIGNED_KINDS`.
        raw: the object; a handle with its time-stamp token.
    """

    received_us: int
    kind: str
    raw: bytes


AuditEntry: TypeAlias = EvidenceEntry | ObjectEntry


def encode_entry(entry: AuditEntry) -> bytes:
    """The bytes of an entry."""
    if isinstance(entry, ObjectEntry):
        return cbor.encode({_TIME: entry.received_us, _KIND: entry.kind, _OBJECT: entry.raw})
    return cbor.encode(
        {
            _TIME: entry.received_us,
            _UEID: entry.ueid,
            _REASONS: [str(reason) for reason in entry.reasons],
            _RESULT: entry.result,
            _DIGEST: entry.digest,
            _PAYLOAD: entry.payload,
        }
    )


def parse_entry(raw: bytes) -> AuditEntry:
    """Parses one entry. Nothing in it is verified.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    value = cbor.decode(raw, "audit entry", max_bytes=MAX_ENTRY_BYTES)
    if isinstance(value, dict) and _KIND in value:
        items = as_map(value, "audit entry", required=(_TIME, _KIND, _OBJECT), optional=())
        kind = as_text(items[_KIND], "audit entry kind", limit=32)
        if kind not in _ALL_KINDS:
            raise PeerError(Reason.MALFORMED, f"audit entry: kind {kind!r}, this software knows {sorted(_ALL_KINDS)}")
        when_us = as_uint(items[_TIME], "audit entry time")
        return ObjectEntry(received_us=when_us, kind=kind, raw=as_bytes(items[_OBJECT], "audit entry object"))
    items = as_map(value, "audit entry", required=range(1, 7), optional=())
    reasons = as_array(items[_REASONS], "audit entry reasons", limit=_MAX_REASONS)
    return EvidenceEntry(
        received_us=as_uint(items[_TIME], "audit entry time"),
        ueid=parse_ueid(as_bytes(items[_UEID], "audit entry ueid")),
        reasons=tuple(as_text(reason, "audit entry reason", limit=64) for reason in reasons),
        result=_optional_bytes(items[_RESULT], "audit entry result"),
        digest=as_bytes(items[_DIGEST], "audit entry digest", size=DIGEST_BYTES),
        payload=_optional_bytes(items[_PAYLOAD], "audit entry payload"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryReference:
    """The leaf of an entry that is longer than a leaf may be. The entry itself is stored beside the tree.

    Attributes:
        digest: SHA-256 of the entry.
        length: of the entry in bytes; longer than a leaf may be.
    """

    digest: bytes
    length: int

    @property
    def path(self) -> str:
        """The path of the entry below the log's prefix."""
        return f"blob/{self.digest.hex()}"

    def check(self, entry: bytes) -> bytes:
        """Returns the entry if length and digest are right.

        Raises:
            PeerError: ``audit-log-altered``.
        """
        if len(entry) != self.length or hashlib.sha256(entry).digest() != self.digest:
            raise PeerError(Reason.AUDIT_LOG_ALTERED, f"{self.path}: not the entry that the tree holds")
        return entry


def leaf_of(entry: bytes) -> tuple[bytes, EntryReference | None]:
    """The leaf of an entry, and the reference if the leaf is not the entry itself.

    Raises:
        PeerError: ``too-large`` for an entry beyond :data:`MAX_ENTRY_BYTES`.
    """
    if len(entry) > MAX_ENTRY_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"audit entry: {len(entry)} bytes, the limit is {MAX_ENTRY_BYTES}")
    if len(entry) <= MAX_LEAF_BYTES:
        return entry, None
    reference = EntryReference(digest=hashlib.sha256(entry).digest(), length=len(entry))
    return cbor.encode({_REFERENCE_DIGEST: reference.digest, _REFERENCE_LENGTH: reference.length}), reference


def reference_in(leaf: bytes) -> EntryReference | None:
    """The reference in a leaf; None for an entry, or for anything else.

    A reference to an entry that is short enough for a leaf is not valid: an entry has one leaf.
    """
    if len(leaf) > _MAX_REFERENCE_BYTES:
        return None
    try:
        items = as_map(
            cbor.decode(leaf, "audit entry reference"),
            "audit entry reference",
            required=(_REFERENCE_DIGEST, _REFERENCE_LENGTH),
            optional=(),
        )
        digest = as_bytes(items[_REFERENCE_DIGEST], "audit entry digest", size=DIGEST_BYTES)
        length = as_uint(items[_REFERENCE_LENGTH], "audit entry length", maximum=MAX_ENTRY_BYTES)
    except PeerError:
        return None
    return EntryReference(digest=digest, length=length) if length > MAX_LEAF_BYTES else None


def _optional_bytes(value: object, name: str) -> bytes | None:
    return None if value is None else as_bytes(value, name)
