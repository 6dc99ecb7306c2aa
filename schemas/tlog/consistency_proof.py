"""A file that proves that one checkpoint of a log extends another: the hashes, and both signed notes.

Text with one encoding. It starts with the request that a witness gets (C2SP tlog-witness, ``add-checkpoint``). A
separator line and the smaller note follow:

    old 3
    <base64 of a hash>
    …

    <the larger note>
    === the note that it extends ===
    <the smaller note>
"""

from dataclasses import dataclass
from typing import Final

from schemas.errors import PeerError
from schemas.reasons import Reason
from schemas.tlog.checkpoint import Checkpoint, verify_checkpoint
from schemas.tlog.merkle import verify_consistency
from schemas.tlog.signed_note import MAX_NOTE_BYTES, NoteKey
from schemas.tlog.witness import AddCheckpoint, parse_add_checkpoint

_BETWEEN: Final = b"=== the note that it extends ===\n"
_MAX_BYTES: Final = 3 * MAX_NOTE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistencyProof:
    """Both signed checkpoints, and the hashes that connect them.

    Attributes:
        old: signed note of the smaller tree.
        new: signed note of the larger tree.
        hashes: the consistency proof (RFC 6962, 2.1.2).
    """

    old: bytes
    new: bytes
    hashes: tuple[bytes, ...]

    @property
    def encoded(self) -> bytes:
        """The bytes of the file."""
        return self._request.encoded + _BETWEEN + self.old

    @property
    def _request(self) -> AddCheckpoint:
        return AddCheckpoint(old_size=_unverified_size(self.old), hashes=self.hashes, note=self.new)

    def verify(self, key: NoteKey) -> tuple[Checkpoint, Checkpoint]:
        """Both checkpoints, if the log's key signed them and the larger tree extends the smaller.

        Raises:
            PeerError: ``audit-checkpoint-invalid``, ``audit-proof-invalid``, ``malformed``, ``too-large``.
        """
        old, new = verify_checkpoint(self.old, key), verify_checkpoint(self.new, key)
        verify_consistency(old.size, old.root, new.size, new.root, self.hashes)
        return old, new


def parse_consistency_proof(raw: bytes) -> ConsistencyProof:
    """Parses such a file. Nothing in it is verified.

    Raises:
        PeerError: ``malformed``, ``too-large``.
    """
    if len(raw) > _MAX_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"consistency proof: {len(raw)} bytes")
    request, between, old = raw.partition(_BETWEEN)
    if not between:
        raise PeerError(Reason.MALFORMED, "consistency proof: it holds only one note")
    parsed = parse_add_checkpoint(request)
    proof = ConsistencyProof(old=old, new=parsed.note, hashes=parsed.hashes)
    if proof.encoded != raw:
        raise PeerError(Reason.MALFORMED, "consistency proof: it does not begin with the size of the smaller note")
    return proof


def _unverified_size(note: bytes) -> int:
    lines = note.split(b"\n", 2)
    return int(lines[1]) if len(lines) > 1 and lines[1].isdigit() and len(lines[1]) < 20 else 0  # noqa: PLR2004 2**63
