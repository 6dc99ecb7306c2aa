"""Requests to a witness and its answers (C2SP tlog-witness). A witness cosigns only trees that extend the last one.

Pure: :func:`consider` decides. The server stores the checkpoint that it returns *before* it sends the cosignature, and
takes no other request for the same log in between.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.errors import PeerError
from schemas.reasons import Reason
from schemas.tlog.checkpoint import Checkpoint, cosign_checkpoint, parse_checkpoint, parse_size, verify_checkpoint
from schemas.tlog.merkle import EMPTY_ROOT, HASH_BYTES, MAX_PROOF_HASHES, verify_consistency
from schemas.tlog.signed_note import MAX_NOTE_BYTES, NoteKey, parse_note

MAX_REQUEST_BYTES: Final = MAX_NOTE_BYTES + (MAX_PROOF_HASHES + 2) * 48
OK: Final = 200
BAD_REQUEST: Final = 400
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
CONFLICT: Final = 409
UNPROCESSABLE: Final = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class AddCheckpoint:
    """The body of a request ``add-checkpoint``.

    Attributes:
        old_size: size of the last checkpoint that the witness cosigned.
        hashes: the proof that the new checkpoint extends it.
        note: the signed new checkpoint.
    """

    old_size: int
    hashes: tuple[bytes, ...]
    note: bytes

    @property
    def encoded(self) -> bytes:
        """The bytes of the request."""
        lines = [f"old {self.old_size}", *(base64.b64encode(each).decode() for each in self.hashes)]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of the witness.

    Attributes:
        status: of HTTP.
        body: signature lines with 200, the size with 409, else a sentence.
        cosigned: the checkpoint to store before the answer is sent; None if nothing changes.
    """

    status: int
    body: str
    cosigned: Checkpoint | None = None


def parse_add_checkpoint(raw: bytes) -> AddCheckpoint:
    """Parses the body of a request. The note in it is not verified.

    Raises:
        PeerError: ``malformed``, ``too-large``.
    """
    if len(raw) > MAX_REQUEST_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"add-checkpoint: {len(raw)} bytes, the limit is {MAX_REQUEST_BYTES}")
    head, empty, note = raw.partition(b"\n\n")
    lines = head.decode("utf-8", "replace").split("\n")
    if not empty or not lines[0].startswith("old "):
        raise PeerError(Reason.MALFORMED, "add-checkpoint: expected 'old SIZE', hashes, an empty line, a note")
    if len(lines) - 1 > MAX_PROOF_HASHES:
        raise PeerError(Reason.MALFORMED, f"add-checkpoint: {len(lines) - 1} hashes, the limit is {MAX_PROOF_HASHES}")
    parse_note(note)
    return AddCheckpoint(
        old_size=parse_size(lines[0].removeprefix("old ")), hashes=tuple(map(_hash, lines[1:])), note=note
    )


def consider(
    request: AddCheckpoint,
    last: Checkpoint | None,
    logs: Sequence[NoteKey],
    name: str,
    key: Ed25519PrivateKey,
    time_s: int,
) -> Answer:
    """Decides one request.

    Args:
        request: to decide.
        last: the largest checkpoint of this log that was cosigned; None before the first.
        logs: verifier keys of the witnessed logs; a log may have several.
        name: of the witness's key.
        key: the witness's key.
        time_s: now, UTC seconds.
    """
    try:
        origin = parse_checkpoint(parse_note(request.note).unverified_text).origin
    except PeerError as error:
        return Answer(status=BAD_REQUEST, body=error.detail)
    known = [each for each in logs if each.name == origin]
    if not known:
        return Answer(status=NOT_FOUND, body="this log is not witnessed here")
    checkpoint = _signed(request.note, known)
    if checkpoint is None:
        return Answer(status=FORBIDDEN, body="not signed by a key of this log")
    if request.old_size > checkpoint.size:
        return Answer(status=BAD_REQUEST, body="the old size is larger than the checkpoint's")
    seen = last if last is not None else Checkpoint(origin=origin, size=0, root=EMPTY_ROOT)
    if request.old_size != seen.size:
        return Answer(status=CONFLICT, body=f"{seen.size}\n")
    try:
        verify_consistency(seen.size, seen.root, checkpoint.size, checkpoint.root, request.hashes)
    except PeerError as error:
        return Answer(status=UNPROCESSABLE, body=error.detail)
    return Answer(status=OK, body=cosign_checkpoint(checkpoint, name, key, time_s).line, cosigned=checkpoint)


def _signed(note: bytes, keys: Sequence[NoteKey]) -> Checkpoint | None:
    for key in keys:
        try:
            return verify_checkpoint(note, key)
        except PeerError:
            continue
    return None


def _hash(line: str) -> bytes:
    try:
        raw = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PeerError(Reason.MALFORMED, "add-checkpoint: a hash is not base64") from error
    if len(raw) != HASH_BYTES or base64.b64encode(raw).decode() != line:
        raise PeerError(Reason.MALFORMED, f"add-checkpoint: a hash of {len(raw)} bytes, or not canonical base64")
    return raw
