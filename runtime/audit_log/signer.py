"""The key of an audit log, and its memory: the last tree head that the key has signed.

The memory is a file beside the key, not in the audit log. So if an old copy of the audit log is restored, it does not
match the memory and is refused instead of being forked. The memory is written durably *before* a head is signed, so it
always holds the last published head.
"""

import hashlib
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from runtime.durable import read_if_exists, write_durable
from runtime.keys import read_file
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.tlog.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from schemas.tlog.merkle import HashReader, root_of
from schemas.tlog.signed_note import ED25519, MAX_NOTE_BYTES, NoteKey, note_key, parse_note_key

_MADE_BY: Final = "verifier-worker keygen --audit --out audit.key"


class AuditLogSigner:
    """Signs checkpoints of one audit log. Owned by one thread."""

    def __init__(self, origin: str, key: Ed25519PrivateKey, memory: Path) -> None:
        """Reads the key's memory.

        Args:
            origin: the name of the audit log and its key.
            key: the signing key.
            memory: the file that remembers the last signed tree head; made with the first one.

        Raises:
            ConfigError: the name is not valid, or the memory belongs to another audit log.
        """
        self._origin, self._key, self._memory = origin, key, memory
        try:
            self.public = note_key(origin, key)
            raw = read_if_exists(memory, max_bytes=MAX_NOTE_BYTES)
            self._last = parse_checkpoint(raw.decode()) if raw is not None else None
        except (PeerError, WorldError, UnicodeDecodeError) as error:
            raise ConfigError(f"{memory}: not the memory of an audit log's key ({error})") from error
        if self._last is not None and self._last.origin != origin:
            problem = f"{memory}: of the audit log {self._last.origin!r}, not {origin!r}; a key signs for one audit log"
            raise ConfigError(problem)

    @property
    def last(self) -> Checkpoint | None:
        """The largest tree head that this key may have signed."""
        return self._last

    @property
    def memory(self) -> Path:
        """The file that remembers it."""
        return self._memory

    def head(self, size: int, root: bytes) -> Checkpoint:
        """A tree head of this audit log."""
        return Checkpoint(origin=self._origin, size=size, root=root)

    def sign(self, checkpoint: Checkpoint, read: HashReader) -> bytes:
        """Signs a tree head, after checking that its tree extends the last signed one; returns the signed note.

        Args:
            checkpoint: the tree head.
            read: reads the hashes of its tree in the store.

        Raises:
            ConfigError: it does not extend it: to sign would fork the audit log.
            WorldError: ``store-unavailable``.
        """
        self.check(checkpoint, read)
        if self._last != checkpoint:
            write_durable(self._memory, checkpoint.text.encode(), mode=0o600)
            self._last = checkpoint
        return sign_checkpoint(checkpoint, self._key)

    def repeat(self, checkpoint: Checkpoint) -> bytes:
        """The signed note of a checkpoint that was published before; signatures are deterministic."""
        return sign_checkpoint(checkpoint, self._key)

    def check(self, checkpoint: Checkpoint, read: HashReader) -> None:
        """Checks that the tree extends the last signed one.

        Raises:
            ConfigError: it does not.
            WorldError: ``store-unavailable``.
        """
        last = self._last
        if last is None:
            return
        advice = f"(remembered in {self._memory}); restore the audit log. A new one needs a new key"
        if last.size > checkpoint.size:
            raise ConfigError(
                f"audit_log: it has {checkpoint.size} entries, but its key has signed {last.size} {advice}"
            )
        try:
            same = root_of(last.size, read) == last.root and root_of(checkpoint.size, read) == checkpoint.root
        except PeerError as error:
            raise ConfigError(f"audit_log: {error.detail}; {last.size} entries were signed {advice}") from error
        if not same:
            raise ConfigError(f"audit_log: its entries are not the {last.size} that its key has signed {advice}")


def load_audit_log_key(path: Path) -> Ed25519PrivateKey:
    """An Ed25519 private key from an unencrypted PEM file.

    Raises:
        ConfigError: the file is missing, unreadable, or holds something else.
    """
    try:
        key = load_pem_private_key(read_file(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: not an unencrypted PEM private key; make one with {_MADE_BY}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: expected an Ed25519 private key; make one with {_MADE_BY}")
    return key


def load_origin(path: Path, key: Ed25519PrivateKey) -> str:
    """The audit log's name, from the file of the verifier key beside the key.

    Raises:
        ConfigError: the file does not exist, or belongs to another key.
    """
    public = vkey_path(path)
    if not public.is_file():
        raise ConfigError(f"audit.origin: missing, and there is no {public} to take it from")
    named = load_note_key(str(public))
    if named != note_key(named.name, key):
        raise ConfigError(f"{public}: not the verifier key of {path}")
    return named.name


def vkey_path(path: Path) -> Path:
    """The file of the verifier key that belongs to the private key in ``path``."""
    return path.with_suffix(".vkey")


def generate_audit_log_key(path: Path, origin: str | None = None) -> Path:
    """Makes an Ed25519 key: ``path`` (mode 600), and the verifier key as text beside it, with the suffix ``.vkey``.

    Args:
        path: must not exist.
        origin: the audit log's name; None for a unique one that is made from the key.

    Returns:
        The path of the verifier key.

    Raises:
        ConfigError: the private key's file exists already, or the name is not valid for a key.
    """
    if path.exists():
        raise ConfigError(f"{path}: exists; move it away first, keys are never overwritten")
    key = Ed25519PrivateKey.generate()
    public = vkey_path(path)
    try:
        unnamed = note_key("unnamed", key).public
        text = note_key(origin or f"attestream.invalid/{hashlib.sha256(unnamed).hexdigest()[:16]}", key).text
        write_durable(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
        write_durable(public, f"{text}\n".encode())
    except (PeerError, WorldError) as error:
        raise ConfigError(error.detail) from error
    return public


def load_note_key(text: str, kind: int = ED25519) -> NoteKey:
    """Reads a verifier key that is given as its text or as a file name.

    Args:
        text: ``NAME+ID+KEY``, or a path.
        kind: the kind that the key must have.

    Raises:
        ConfigError: it is neither.
    """
    line = text
    if "+" not in text or Path(text).is_file():
        line = read_file(Path(text)).decode("utf-8", "replace").strip()
    try:
        key = parse_note_key(line)
    except PeerError as error:
        where = "" if line == text else f"{text}: "
        problem = "a private key; its verifier key is expected" if "PRIVATE KEY" in line else error.detail
        raise ConfigError(f"{where}{problem}") from error
    if key.kind != kind:
        raise ConfigError(f"verifier key {key.name}: of kind {key.kind}, expected {kind}")
    return key
