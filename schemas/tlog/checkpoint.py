"""Checkpoints of a Merkle log (C2SP tlog-checkpoint) and the cosignatures of its witnesses (C2SP tlog-cosignature v1).

A checkpoint states the size and the root of the log with this origin. The log's key, whose name is the origin, signs
the note. A witness signs the same text with a time, after it has checked that the log extends the tree that the witness
cosigned before.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.errors import PeerError
from schemas.reasons import Reason
from schemas.tlog.merkle import HASH_BYTES, MAX_SIZE
from schemas.tlog.signed_note import (
    COSIGNATURE_V1,
    NoteKey,
    NoteSignature,
    check_key_name,
    encode_note,
    note_key,
    parse_note,
    sign_note,
    signatures_of,
    verify_ed25519,
    verify_note,
)

MAX_EXTENSION_LINES: Final = 16
_MAX_TIME_S: Final = 2**63 - 1
_TIME_BYTES: Final = 8
_MANDATORY_LINES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tree head.

    Attributes:
        origin: the name of the log.
        size: leaves in the tree.
        root: the tree's root, 32 bytes.
        extensions: further lines; this software writes none.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The signed text."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse_checkpoint(text: str) -> Checkpoint:
    """Parses a note's text. Trust it only if :func:`verify_checkpoint` returned it.

    Raises:
        PeerError: ``malformed``.
    """
    lines = text.split("\n")
    if len(lines) < _MANDATORY_LINES + 1 or lines.pop() != "" or "" in lines:
        raise PeerError(Reason.MALFORMED, "checkpoint: expected at least three lines without an empty one")
    if len(lines) > _MANDATORY_LINES + MAX_EXTENSION_LINES:
        raise PeerError(Reason.TOO_LARGE, f"checkpoint: {len(lines)} lines")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise PeerError(Reason.MALFORMED, "checkpoint: the root is not base64") from error
    if len(root) != HASH_BYTES:
        raise PeerError(Reason.MALFORMED, f"checkpoint: a root of {len(root)} bytes")
    checkpoint = Checkpoint(origin=lines[0], size=parse_size(lines[1]), root=root, extensions=tuple(lines[3:]))
    if checkpoint.text != text:
        raise PeerError(Reason.MALFORMED, "checkpoint: not the canonical text")
    return checkpoint


def parse_size(text: str) -> int:
    """A tree's size in canonical decimal text.

    Raises:
        PeerError: ``malformed``.
    """
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(MAX_SIZE)) or str(int(text)) != text:
        raise PeerError(Reason.MALFORMED, f"tree size {text[:24]!r}")
    if int(text) > MAX_SIZE:
        raise PeerError(Reason.MALFORMED, f"tree size {text[:24]!r}")
    return int(text)


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> bytes:
    """The signed note. The key's name is the log's origin. The caller has checked that the log did not go back."""
    return encode_note(sign_note(checkpoint.text, check_key_name(checkpoint.origin), key))


def verify_checkpoint(raw: bytes, key: NoteKey) -> Checkpoint:
    """The checkpoint in a note that the log's key signed.

    Raises:
        PeerError: ``too-large``, ``malformed``; ``audit-checkpoint-invalid`` if the key did not sign it, or the log has
            another name.
    """
    checkpoint = parse_checkpoint(verify_note(raw, key))
    if checkpoint.origin != key.name:
        raise PeerError(
            Reason.AUDIT_CHECKPOINT_INVALID,
            f"checkpoint of {checkpoint.origin[:80]!r}, the key is of {key.name!r}",
        )
    return checkpoint


def cosign_checkpoint(checkpoint: Checkpoint, name: str, key: Ed25519PrivateKey, time_s: int) -> NoteSignature:
    """A witness's signature line. It promises that the tree extends all trees of this log that the witness cosigned.

    Args:
        checkpoint: to cosign.
        name: of the witness's key.
        key: the witness's key, used for nothing else.
        time_s: now, UTC seconds.
    """
    public = note_key(name, key, COSIGNATURE_V1)
    value = time_s.to_bytes(_TIME_BYTES, "big") + key.sign(_cosigned(checkpoint.text, time_s))
    return NoteSignature(name=name, key_id=public.key_id, value=value)


def verify_cosignature(raw: bytes, key: NoteKey) -> tuple[Checkpoint, int]:
    """The checkpoint in a note that a witness cosigned, and the time of that, UTC seconds by the witness's clock.

    If the witness cosigned it several times, the time of the oldest cosignature is returned.

    Raises:
        PeerError: ``too-large``, ``malformed``; ``audit-checkpoint-invalid`` if the witness did not cosign it.
    """
    note = parse_note(raw)
    values = signatures_of(note.signatures, key)
    if key.kind != COSIGNATURE_V1 or not values:
        raise PeerError(Reason.AUDIT_CHECKPOINT_INVALID, f"no cosignature by {key.name}+{key.key_id.hex()}")
    times = [_cosignature_time(note.unverified_text, key, value) for value in values]
    return parse_checkpoint(note.unverified_text), min(times)


def _cosignature_time(text: str, key: NoteKey, value: bytes) -> int:
    time_s = int.from_bytes(value[:_TIME_BYTES], "big")
    if time_s > _MAX_TIME_S:
        raise PeerError(Reason.AUDIT_CHECKPOINT_INVALID, f"cosignature by {key.name}: a time past 2^63")
    verify_ed25519(key, value[_TIME_BYTES:], _cosigned(text, time_s))
    return time_s


def _cosigned(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()
