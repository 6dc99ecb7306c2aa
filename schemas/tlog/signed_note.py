"""Notes: text with signatures below it (C2SP signed-note), and the one-line texts of the keys that verify them.

A note has one encoding: :func:`encode_note` reproduces the bytes that :func:`parse_note` accepts. Parsing proves
nothing. :func:`verify_note` returns the text only if the given key signed it.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.errors import PeerError
from schemas.reasons import Reason

MAX_NOTE_BYTES: Final = 128 * 1024
MAX_NOTE_SIGNATURES: Final = 64
MAX_KEY_NAME_CHARACTERS: Final = 255
ED25519: Final = 0x01
COSIGNATURE_V1: Final = 0x04  # C2SP tlog-cosignature
KEY_ID_BYTES: Final = 4
_PUBLIC_KEY_BYTES: Final = 32
_DASH: Final = "— "  # em dash, space
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line.

    Attributes:
        name: the key's name.
        key_id: identifies the key among keys of that name, 4 bytes.
        value: the output of the key's algorithm; never empty.
    """

    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        """The line in a note, with its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A parsed note. Its signatures are not verified.

    Attributes:
        unverified_text: the text with its last newline.
        signatures: at least one.
    """

    unverified_text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteKey:
    """A public key for notes.

    Attributes:
        name: the name in signatures of this key.
        kind: :data:`ED25519` or :data:`COSIGNATURE_V1`.
        public: the key, 32 bytes.
    """

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first 4 bytes of a hash over name, kind and key."""
        return hashlib.sha256(f"{self.name}\n".encode() + bytes([self.kind]) + self.public).digest()[:KEY_ID_BYTES]

    @property
    def text(self) -> str:
        """The key as one line ("vkey")."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"


def note_key(name: str, key: Ed25519PrivateKey, kind: int = ED25519) -> NoteKey:
    """The public half of a signing key.

    Raises:
        PeerError: ``malformed`` for a name that :func:`check_key_name` refuses.
    """
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return NoteKey(name=check_key_name(name), kind=kind, public=public)


def check_key_name(name: str) -> str:
    """Returns the name if a key can have it.

    Raises:
        PeerError: ``malformed``: empty, too long, or with a space, a plus or a control character.
    """
    if not 0 < len(name) <= MAX_KEY_NAME_CHARACTERS or "+" in name or _CONTROL.search(name) or len(name.split()) != 1:
        raise PeerError(Reason.MALFORMED, f"key name {name[:80]!r}: expected text without spaces and '+'")
    if name != name.strip() or any(character.isspace() for character in name):
        raise PeerError(Reason.MALFORMED, f"key name {name[:80]!r}: expected text without spaces and '+'")
    return name


def parse_note_key(text: str) -> NoteKey:
    """Reads a key from its one line, without newline.

    Raises:
        PeerError: ``malformed``: not such a line, another kind of key, or an identifier of another key.
    """
    parts = text.split("+", 2)  # base64 may have a plus in it
    if len(parts) != 3:  # noqa: PLR2004 name, identifier, key
        # The text is not quoted: a file named by mistake may hold a private key.
        raise PeerError(Reason.MALFORMED, "verifier key: expected NAME+ID+KEY in one line")
    raw = _base64(parts[2], "verifier key")
    if len(raw) != 1 + _PUBLIC_KEY_BYTES or raw[0] not in {ED25519, COSIGNATURE_V1}:
        raise PeerError(Reason.MALFORMED, f"verifier key {parts[0][:80]!r}: not an Ed25519 key of kind 1 or 4")
    key = NoteKey(name=check_key_name(parts[0]), kind=raw[0], public=raw[1:])
    if key.text != text:
        raise PeerError(Reason.MALFORMED, f"verifier key {parts[0][:80]!r}: its identifier is not {parts[1][:20]!r}")
    return key


def parse_note(raw: bytes) -> Note:
    """Parses a note.

    Raises:
        PeerError: ``too-large``, ``malformed``.
    """
    if len(raw) > MAX_NOTE_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"note: {len(raw)} bytes, the limit is {MAX_NOTE_BYTES}")
    text = _text(raw)
    end = text.rfind("\n\n")
    if end < 0 or not text.endswith("\n") or end + 2 == len(text):
        raise PeerError(Reason.MALFORMED, "note: expected text, an empty line and signatures")
    return Note(unverified_text=text[: end + 1], signatures=parse_signatures(text[end + 2 :]))


def parse_signatures(lines: str) -> tuple[NoteSignature, ...]:
    """Parses signature lines without a text, as a witness sends them. Each ends in a newline.

    Raises:
        PeerError: ``too-large``, ``malformed``.
    """
    if not lines.endswith("\n") or _CONTROL.search(lines):
        raise PeerError(Reason.MALFORMED, "note: a signature line without a newline at its end")
    each = lines[:-1].split("\n")
    if len(each) > MAX_NOTE_SIGNATURES:
        raise PeerError(Reason.TOO_LARGE, f"note: {len(each)} signatures, the limit is {MAX_NOTE_SIGNATURES}")
    return tuple(map(_signature, each))


def encode_note(note: Note) -> bytes:
    """The note as bytes."""
    return (note.unverified_text + "\n" + "".join(each.line for each in note.signatures)).encode()


def sign_note(text: str, name: str, key: Ed25519PrivateKey) -> Note:
    """A note with one Ed25519 signature.

    Args:
        text: ends in a newline, without control characters.
        name: of the key.
        key: signs the text.

    Raises:
        PeerError: ``malformed`` for another text, or an invalid name.
    """
    public = note_key(name, key)
    if not text.endswith("\n") or _CONTROL.search(text):
        raise PeerError(Reason.MALFORMED, "note: the text must end in a newline and hold no control characters")
    signature = NoteSignature(name=name, key_id=public.key_id, value=key.sign(text.encode()))
    return Note(unverified_text=text, signatures=(signature,))


def verify_note(raw: bytes, key: NoteKey) -> str:
    """The text of a note that ``key`` signed. Signatures of other keys are ignored.

    Raises:
        PeerError: ``too-large``, ``malformed``; ``audit-checkpoint-invalid`` if the key did not sign it.
    """
    note = parse_note(raw)
    values = signatures_of(note.signatures, key)
    if key.kind != ED25519 or not values:
        raise PeerError(Reason.AUDIT_CHECKPOINT_INVALID, f"note: no signature by {key.name}+{key.key_id.hex()}")
    for value in values:
        verify_ed25519(key, value, note.unverified_text.encode())
    return note.unverified_text


def signatures_of(signatures: Sequence[NoteSignature], key: NoteKey) -> tuple[bytes, ...]:
    """The values of the signatures that claim to be by ``key``; not verified."""
    return tuple(each.value for each in signatures if (each.name, each.key_id) == (key.name, key.key_id))


def verify_ed25519(key: NoteKey, signature: bytes, message: bytes) -> None:
    """Checks one signature.

    Raises:
        PeerError: ``audit-checkpoint-invalid``.
    """
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise PeerError(Reason.AUDIT_CHECKPOINT_INVALID, f"note: the signature of {key.name} is not valid") from error


def _signature(line: str) -> NoteSignature:
    name, space, value = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise PeerError(Reason.MALFORMED, f"note: {line[:80]!r} is not a signature line")
    raw = _base64(value, "note signature")
    if len(raw) <= KEY_ID_BYTES:
        raise PeerError(Reason.MALFORMED, "note: an empty signature")
    return NoteSignature(name=check_key_name(name), key_id=raw[:KEY_ID_BYTES], value=raw[KEY_ID_BYTES:])


def _text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise PeerError(Reason.MALFORMED, "note: not UTF-8") from error
    if _CONTROL.search(text):
        raise PeerError(Reason.MALFORMED, "note: it holds a control character")
    return text


def _base64(text: str, field: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PeerError(Reason.MALFORMED, f"{field}: not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise PeerError(Reason.MALFORMED, f"{field}: not canonical base64")
    return raw
