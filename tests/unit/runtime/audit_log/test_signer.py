"""The key of an audit log signs one history: a head must extend the last one, and is remembered before it is signed."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runtime.audit_log.signer import AuditLogSigner
from schemas.errors import ConfigError, WorldError
from schemas.tlog.checkpoint import Checkpoint, verify_checkpoint
from schemas.tlog.merkle import HashReader, leaf_hash, node_hash, root_of

ORIGIN = "log.example/one"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def tree(*entries: bytes) -> HashReader:
    """The hashes of a tree with these entries."""

    def read(level: int, index: int) -> bytes:
        if level == 0:
            return leaf_hash(entries[index])
        return node_hash(read(level - 1, 2 * index), read(level - 1, 2 * index + 1))

    return read


def head(size: int, read: HashReader) -> Checkpoint:
    return Checkpoint(origin=ORIGIN, size=size, root=root_of(size, read))


@pytest.fixture
def signer(tmp_path: Path) -> AuditLogSigner:
    return AuditLogSigner(ORIGIN, KEY, tmp_path / "audit.signed")


HISTORY = tree(b"one", b"two", b"three", b"four", b"five")
OTHER = tree(b"one", b"2", b"three", b"four", b"five")


def test_a_head_that_extends_the_last_one_is_signed_and_remembered(signer: AuditLogSigner, tmp_path: Path) -> None:
    for size in (3, 5):
        signed = signer.sign(head(size, HISTORY), HISTORY)
        assert verify_checkpoint(signed, signer.public) == head(size, HISTORY)
        assert AuditLogSigner(ORIGIN, KEY, tmp_path / "audit.signed").last == head(size, HISTORY)


@pytest.mark.parametrize(("size", "read"), [(2, HISTORY), (3, OTHER), (5, OTHER)])
def test_a_head_beside_or_behind_the_last_one_is_not_signed(
    signer: AuditLogSigner, size: int, read: HashReader
) -> None:
    signer.sign(head(3, HISTORY), HISTORY)
    with pytest.raises(ConfigError, match="its key has signed"):
        signer.sign(head(size, read), read)
    assert signer.last == head(3, HISTORY)


def test_a_head_whose_root_is_not_that_of_its_tree_is_not_signed(signer: AuditLogSigner) -> None:
    signer.sign(head(3, HISTORY), HISTORY)
    with pytest.raises(ConfigError, match="its key has signed"):
        signer.sign(Checkpoint(origin=ORIGIN, size=5, root=bytes(32)), HISTORY)


def test_nothing_is_signed_that_cannot_be_remembered(tmp_path: Path) -> None:
    signer = AuditLogSigner(ORIGIN, KEY, tmp_path / "missing" / "audit.signed")
    with pytest.raises(WorldError, match=r"audit\.signed"):
        signer.sign(head(3, HISTORY), HISTORY)
    assert signer.last is None
