"""File signatures and the keys that make them: any bytes are accepted by the parser, or raise its own error."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from schemas.errors import PeerError
from schemas.hashes import SHA256
from schemas.ima.signature import parse_file_key, verify_file_signature
from tests.builders.file_signing import file_key, sign_file

_DIGEST: Final = SHA256.digest(b"content")
_KEY: Final = ec.derive_private_key(7, ec.SECP256R1())
_KEYS: Final = (file_key(_KEY),)

SEEDS: Final = (
    sign_file(_KEY, _DIGEST),
    sign_file(_KEY, _DIGEST, version=3),
    sign_file(_KEY, _DIGEST, kind=6, version=3),
    file_key(_KEY).pem().encode(),
)


def one(data: bytes) -> None:
    """One input."""
    for label in (b"sha256", b"ima:sha256", b"verity:sha256", b""):
        try:
            verify_file_signature(data, label, _DIGEST, _KEYS)
        except PeerError:
            continue
    try:
        parse_file_key(data)
    except PeerError:
        return
