"""The file that answers "was this device running only approved software at that time, and who proves it?".

    proof    [media type, content, SHA-256 of content]
    content  {1: UEID, 2: time, 3: [head …], 4: [consistency …], 5: [entry …], 6: before or null, 7: after or null}
    head     [checkpoint, its token or null, cosignature lines]
    entry    bytes of [index, head, path, log entry]

The checksum finds accidental damage. An attacker can recompute it, so the answer depends only on facts that are signed
or lead to a signed root. The entries are those of the audit log, in its order: the evidence made *before* the time and
the evidence made *after* it (by index), all evidence between the two with its results, the pushes needed to replay
their measurement logs, the objects that decided their results, and later evidence whose sync proof shows that the boot
went on. Each entry is proven to be in the tree of one of the heads; smaller trees have earlier stamps. Parsing proves
nothing.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from schemas.audit.entry import MAX_ENTRY_BYTES
from schemas.codecs import cbor
from schemas.codecs.fields import as_array, as_bytes, as_map, as_uint
from schemas.errors import PeerError
from schemas.identifiers import Ueid, parse_ueid
from schemas.limits import MAX_TIME_STAMP_TOKEN_BYTES
from schemas.media_types import AUDIT_PROOF
from schemas.reasons import Reason
from schemas.tlog.merkle import HASH_BYTES, MAX_PROOF_HASHES, MAX_SIZE
from schemas.tlog.signed_note import MAX_NOTE_BYTES

MAX_PROOF_BYTES: Final = 128 * 1024 * 1024
MAX_PROOF_ENTRIES: Final = 8000
MAX_HEADS: Final = 3
_MAX_PATH_BYTES: Final = MAX_PROOF_HASHES * HASH_BYTES
_UEID, _TIME, _HEADS, _CONSISTENCY, _ENTRIES, _BEFORE, _AFTER = range(1, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenHead:
    """A checkpoint of the log.

    Attributes:
        note: the note that the log's key signed.
        stamp: RFC 3161 token over the bytes of the note; None if no authority stamped it.
        cosignatures: signature lines of witnesses; may be empty.
    """

    note: bytes
    stamp: bytes | None
    cosignatures: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenEntry:
    """An entry of the log.

    Attributes:
        index: of the entry in the log.
        head: number of the head whose tree holds the entry.
        path: the inclusion proof, hashes from the leaf to the root.
        entry: the bytes.
    """

    index: int
    head: int
    path: tuple[bytes, ...]
    entry: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditProof:
    """A parsed proof. It proves nothing until it is checked.

    Attributes:
        ueid: the device in question.
        at_us: the time in question, UTC microseconds.
        heads: one to three, smaller trees first.
        consistency: for each head but the first, the proof that it extends the previous one.
        entries: ascending by index.
        before: index of the evidence made before the time; None if there is none.
        after: index of the evidence made after the time; None if there is none.
    """

    ueid: Ueid
    at_us: int
    heads: tuple[ProvenHead, ...]
    consistency: tuple[tuple[bytes, ...], ...]
    entries: tuple[ProvenEntry, ...]
    before: int | None
    after: int | None


def encode_proof(proof: AuditProof) -> bytes:
    """The file's bytes."""
    content = cbor.encode(
        {
            _UEID: proof.ueid,
            _TIME: proof.at_us,
            _HEADS: [[each.note, each.stamp, each.cosignatures] for each in proof.heads],
            _CONSISTENCY: [b"".join(each) for each in proof.consistency],
            _ENTRIES: [cbor.encode([each.index, each.head, b"".join(each.path), each.entry]) for each in proof.entries],
            _BEFORE: proof.before,
            _AFTER: proof.after,
        }
    )
    return cbor.encode([AUDIT_PROOF, content, hashlib.sha256(content).digest()])


def parse_proof(raw: bytes) -> AuditProof:
    """Parses a proof's file.

    Raises:
        PeerError: ``too-large``, ``malformed``; ``audit-proof-invalid`` for a wrong checksum.
    """
    outer = as_array(cbor.decode(raw, "audit proof", max_bytes=MAX_PROOF_BYTES), "audit proof", length=3)
    if outer[0] != AUDIT_PROOF:
        raise PeerError(Reason.MALFORMED, f"audit proof: {str(outer[0])[:80]!r}, expected {AUDIT_PROOF!r}")
    content = as_bytes(outer[1], "audit proof content")
    if hashlib.sha256(content).digest() != as_bytes(outer[2], "audit proof checksum", size=HASH_BYTES):
        raise PeerError(Reason.AUDIT_PROOF_INVALID, "audit proof: damaged, its checksum is wrong")
    decoded = cbor.decode(content, "audit proof content", max_bytes=MAX_PROOF_BYTES)
    items = as_map(decoded, "audit proof content", required=range(1, 8), optional=())
    heads = tuple(map(_head, as_array(items[_HEADS], "audit proof heads", limit=MAX_HEADS)))
    entries = tuple(_entry(each) for each in as_array(items[_ENTRIES], "audit proof entries", limit=MAX_PROOF_ENTRIES))
    consistency = as_array(items[_CONSISTENCY], "audit proof consistency", limit=MAX_HEADS - 1)
    _check_order(heads, entries)
    return AuditProof(
        ueid=parse_ueid(as_bytes(items[_UEID], "audit proof ueid")),
        at_us=as_uint(items[_TIME], "audit proof time"),
        heads=heads,
        consistency=tuple(_hashes(each, "audit proof consistency") for each in consistency),
        entries=entries,
        before=_index(items[_BEFORE], "audit proof before"),
        after=_index(items[_AFTER], "audit proof after"),
    )


def _check_order(heads: tuple[ProvenHead, ...], entries: tuple[ProvenEntry, ...]) -> None:
    indices = [each.index for each in entries]
    if indices != sorted(set(indices)):
        raise PeerError(Reason.MALFORMED, "audit proof: entries out of order, or one entry twice")
    if not heads or any(each.head >= len(heads) for each in entries):
        raise PeerError(Reason.MALFORMED, "audit proof: an entry names a checkpoint that is missing")


def _head(value: object) -> ProvenHead:
    note, stamp, cosignatures = as_array(value, "audit proof head", length=3)
    return ProvenHead(
        note=as_bytes(note, "audit proof checkpoint", limit=MAX_NOTE_BYTES),
        stamp=None if stamp is None else as_bytes(stamp, "audit proof stamp", limit=MAX_TIME_STAMP_TOKEN_BYTES),
        cosignatures=as_bytes(cosignatures, "audit proof cosignatures", limit=MAX_NOTE_BYTES),
    )


def _entry(value: object) -> ProvenEntry:
    limit = MAX_ENTRY_BYTES + _MAX_PATH_BYTES + 64
    raw = as_bytes(value, "audit proof entry", limit=limit)
    index, head, path, entry = as_array(cbor.decode(raw, "audit proof entry", max_bytes=limit), "entry", length=4)
    return ProvenEntry(
        index=as_uint(index, "audit proof index", maximum=MAX_SIZE),
        head=as_uint(head, "audit proof head", maximum=MAX_HEADS - 1),
        path=_hashes(path, "audit proof path"),
        entry=as_bytes(entry, "audit proof entry", limit=MAX_ENTRY_BYTES),
    )


def _hashes(value: object, field: str) -> tuple[bytes, ...]:
    raw = as_bytes(value, field, limit=_MAX_PATH_BYTES)
    if len(raw) % HASH_BYTES:
        raise PeerError(Reason.MALFORMED, f"{field}: {len(raw)} bytes are not a list of hashes")
    return tuple(raw[start : start + HASH_BYTES] for start in range(0, len(raw), HASH_BYTES))


def _index(value: object, field: str) -> int | None:
    return None if value is None else as_uint(value, field, maximum=MAX_SIZE)
