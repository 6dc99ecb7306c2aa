"""File signatures as ``evmctl`` makes them, from the structures in the kernel's sources."""

import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from schemas.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from schemas.ima.signature import FileKey, make_file_key

ALGORITHM_IDS = {SHA256: 4, SHA384: 5, SHA512: 6}
_HASHES = {SHA256: hashes.SHA256(), SHA384: hashes.SHA384(), SHA512: hashes.SHA512()}

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def file_key(key: PrivateKey) -> FileKey:
    """What verifies the signatures of ``key``."""
    return make_file_key(key.public_key())


def sign_file(
    key: PrivateKey,
    digest: bytes,
    algorithm: HashAlgorithm = SHA256,
    *,
    kind: int = 3,
    version: int = 2,
    key_id: bytes | None = None,
) -> bytes:
    """A ``security.ima`` attribute over a file's digest."""
    signed = algorithm.digest(bytes([kind, ALGORITHM_IDS[algorithm]]) + digest) if version == 3 else digest
    prehashed = Prehashed(_HASHES[algorithm])
    if isinstance(key, rsa.RSAPrivateKey):
        value = key.sign(signed, padding.PKCS1v15(), prehashed)
    else:
        value = key.sign(signed, ec.ECDSA(prehashed))
    named = file_key(key).id if key_id is None else key_id
    return struct.pack(">BBB4sH", kind, version, ALGORITHM_IDS[algorithm], named, len(value)) + value
