"""Compact JWS with ES256 (RFC 7515, RFC 7518 3.4), the outer form of attestation results.

The only importer of PyJWT.
"""

from collections.abc import Mapping
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)

from schemas.errors import PeerError
from schemas.reasons import Reason

ALGORITHM: Final = "ES256"
TYPE: Final = "eat+jwt"  # RFC 9782, 2.1
_NOBODY: Final = derive_private_key(1, SECP256R1())  # a key that everybody knows, for a signature that is thrown away
# The caller compares times with a clock of its choice. The library must not compare them with the machine's clock.
_OPTIONS: Final[jwt.types.Options] = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
}


def sign(claims: Mapping[str, object], key: EllipticCurvePrivateKey, key_id: str) -> bytes:
    """A compact JWS over ``claims`` (values must be JSON types)."""
    return jwt.encode(dict(claims), key, algorithm=ALGORITHM, headers={"typ": TYPE, "kid": key_id}).encode("ascii")


def signed_part(token: bytes) -> bytes:
    """The bytes that the signature of a compact JWS covers: header and claims, as they are in the token."""
    return token.rpartition(b".")[0]


def to_be_signed(claims: Mapping[str, object], key_id: str) -> bytes:
    """The bytes that :func:`sign` signs with the key of this id."""
    return signed_part(sign(claims, _NOBODY, key_id))


def verify(token: bytes, keys: Mapping[str, EllipticCurvePublicKey]) -> dict[str, object]:
    """Verifies a compact JWS with the key that its ``kid`` names.

    Args:
        token: ASCII of the compact form.
        keys: trusted keys by key id.

    Returns:
        The authenticated claims. The caller checks their times.

    Raises:
        PeerError: ``malformed``; ``result-signature-invalid`` if no trusted key signed it with ES256.
    """
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise PeerError(Reason.MALFORMED, f"JWS: {error}") from error
    key_id = str(header.get("kid"))
    key = keys.get(key_id)
    if key is None:
        raise PeerError(Reason.RESULT_SIGNATURE_INVALID, f"signed by key {key_id[:64]!r}, which is not trusted")
    if header.get("typ") != TYPE:
        raise PeerError(Reason.RESULT_SIGNATURE_INVALID, f"JWS: expected type {TYPE!r}")
    try:
        claims: dict[str, object] = jwt.decode(token, key, algorithms=[ALGORITHM], options=_OPTIONS)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise PeerError(Reason.RESULT_SIGNATURE_INVALID, f"JWS: {error}") from error
    return claims


def unverified_claims(token: bytes) -> dict[str, object]:
    """The claims of a compact JWS whose signature is not verified.

    Raises:
        PeerError: ``malformed``.
    """
    try:
        claims: dict[str, object] = jwt.decode(token, options={**_OPTIONS, "verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise PeerError(Reason.MALFORMED, f"JWS: {error}") from error
    return claims
