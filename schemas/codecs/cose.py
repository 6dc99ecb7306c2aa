"""COSE_Sign1 (RFC 9052, section 4.2) with ES256. All our signed objects but JWTs use it.

A signature is valid only together with the type in the protected header (``typ``, RFC 9596, or ``content type``), so a
solicit can never pass as a handle.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.codecs import cbor
from schemas.codecs.fields import as_array, as_bytes, as_map, as_tag
from schemas.errors import PeerError
from schemas.limits import MAX_MESSAGE_BYTES
from schemas.reasons import Reason

TAG_SIGN1: Final = 18
HEADER_ALGORITHM: Final = 1
HEADER_CONTENT_TYPE: Final = 3
HEADER_KEY_ID: Final = 4
HEADER_TYPE: Final = 16  # RFC 9596
HEADER_3161_CTT: Final = 270  # RFC 9921, section 3.1
ALGORITHM_ES256: Final = -7
SIGNATURE_BYTES: Final = 64
KEY_ID_BYTES: Final = 8
_ES256: Final = ECDSA(SHA256())
_HALF: Final = SIGNATURE_BYTES // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign1:
    """A well-formed COSE_Sign1. Nothing in it is trusted until :func:`verify` returned its payload."""

    protected: bytes
    headers: Mapping[object, object]
    unprotected: Mapping[object, object]
    unverified_payload: bytes
    signature: bytes

    @property
    def key_id(self) -> bytes:
        """The id of the key that the signer claims to have used. With a missing or wrong id the verification fails."""
        value = self.headers.get(HEADER_KEY_ID)
        return value if isinstance(value, bytes) else b""


def key_id(key: EllipticCurvePublicKey) -> bytes:
    """Our key identifier: the first 8 bytes of the SHA-256 of the DER SubjectPublicKeyInfo."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()[:KEY_ID_BYTES]


def protected_headers(signer: bytes, headers: Mapping[int, object]) -> dict[object, object]:
    """The protected header of a signature by the key with the id ``signer``."""
    all_headers: dict[object, object] = {HEADER_ALGORITHM: ALGORITHM_ES256, HEADER_KEY_ID: signer}
    all_headers.update(headers.items())
    return all_headers


def sign(payload: bytes, key: EllipticCurvePrivateKey, headers: Mapping[int, object]) -> Sign1:
    """Signs ``payload``. The protected header holds ``headers`` (with the type), the algorithm and the key id."""
    all_headers = protected_headers(key_id(key.public_key()), headers)
    protected = cbor.encode(all_headers)
    r, s = decode_dss_signature(key.sign(_to_be_signed(protected, payload), _ES256))
    return Sign1(
        protected=protected,
        headers=all_headers,
        unprotected={},
        unverified_payload=payload,
        signature=r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big"),
    )


def encode(sign1: Sign1) -> bytes:
    """The tagged CBOR of a COSE_Sign1."""
    return cbor.encode(to_tag(sign1))


def to_tag(sign1: Sign1) -> cbor.Tag:
    """A COSE_Sign1 as CBOR tag 18, to be put into another item."""
    items = [sign1.protected, dict(sign1.unprotected), sign1.unverified_payload, sign1.signature]
    return cbor.Tag(TAG_SIGN1, items)


def parse(raw: bytes, field: str, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Sign1:
    """Parses a tagged COSE_Sign1 with an attached payload and ES256.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    return from_tag(cbor.decode(raw, field, max_bytes=max_bytes), field)


def from_tag(item: object, field: str) -> Sign1:
    """Like :func:`parse`, for a decoded item.

    Raises:
        PeerError: ``malformed``.
    """
    items = as_array(as_tag(item, TAG_SIGN1, field), field, length=4)
    protected = as_bytes(items[0], f"{field} protected header")
    headers = as_map(cbor.decode(protected, f"{field} protected header"), f"{field} protected header")
    if headers.get(HEADER_ALGORITHM) != ALGORITHM_ES256:
        raise PeerError(Reason.MALFORMED, f"{field}: algorithm is not ES256")
    return Sign1(
        protected=protected,
        headers=headers,
        unprotected=as_map(items[1], f"{field} unprotected header"),
        unverified_payload=as_bytes(items[2], f"{field} payload"),
        signature=as_bytes(items[3], f"{field} signature", size=SIGNATURE_BYTES),
    )


def verify(
    sign1: Sign1,
    keys: Mapping[bytes, EllipticCurvePublicKey],
    expected: Mapping[int, object],
    reason: Reason,
) -> bytes:
    """Verifies the signature and the protected type.

    Args:
        sign1: the parsed object.
        keys: the trusted keys by :func:`key_id`.
        expected: protected headers that the object must have, with exactly these values.
        reason: the code to raise with.

    Returns:
        The payload, now authenticated by one of ``keys``.

    Raises:
        PeerError: ``reason``.
    """
    for label, value in expected.items():
        if sign1.headers.get(label) != value:
            raise PeerError(reason, f"protected header {label} is {sign1.headers.get(label)!r}, expected {value!r}")
    key = keys.get(sign1.key_id)
    if key is None or not isinstance(key.curve, SECP256R1):
        raise PeerError(reason, f"signed by key {sign1.key_id.hex() or '(none)'}, which is not trusted for this")
    der = encode_dss_signature(
        int.from_bytes(sign1.signature[:_HALF], "big"), int.from_bytes(sign1.signature[_HALF:], "big")
    )
    try:
        key.verify(der, _to_be_signed(sign1.protected, sign1.unverified_payload), _ES256)
    except InvalidSignature as error:
        raise PeerError(reason, f"the signature of key {sign1.key_id.hex()} does not verify") from error
    return sign1.unverified_payload


def ctt_imprint(sign1: Sign1) -> bytes:
    """The imprint of a 3161-ctt token: SHA-256 of the CBOR-encoded signature field with its head (RFC 9921, 3.1)."""
    return hashlib.sha256(cbor.encode(sign1.signature)).digest()


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    return cbor.encode(["Signature1", protected, b"", payload])
