"""Sets of public keys as JWKS (RFC 7517), in which verifiers publish their keys for relying parties.

A set holds every key that may have signed a result: during a rollover the old one and the new one. Keys of other kinds
than P-256 keys for signatures are ignored (RFC 7517, 5). ``kid`` is for people: the id of a key is computed.
"""

import json
from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)

from schemas.codecs import cose
from schemas.errors import PeerError
from schemas.identifiers import b64url, parse_b64url
from schemas.limits import MAX_KEYS, MAX_MESSAGE_BYTES
from schemas.reasons import Reason

_COORDINATE_BYTES: Final = 32
_KIND: Final = {"kty": "EC", "crv": "P-256"}  # RFC 7518, 6.2.1
_PURPOSE: Final = {"alg": "ES256", "use": "sig"}  # RFC 7517, 4.2 and 4.4: optional


def encode_jwks(keys: Iterable[EllipticCurvePublicKey]) -> bytes:
    """The JSON of a set, the keys in the order of their ids."""
    by_id = {cose.key_id(key).hex(): key for key in keys}
    entries = [_entry(name, by_id[name]) for name in sorted(by_id)]
    return json.dumps({"keys": entries}, indent=2).encode() + b"\n"


def parse_jwks(raw: bytes) -> list[EllipticCurvePublicKey]:
    """The keys of a set that can verify our signatures. A caller who trusts the file trusts all of them.

    Raises:
        PeerError: ``too-large``; ``malformed``: not a JWKS, a point off the curve, a private key, or no usable key.
    """
    if len(raw) > MAX_MESSAGE_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"JWKS: {len(raw)} bytes, the limit is {MAX_MESSAGE_BYTES}")
    try:
        decoded: object = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise PeerError(Reason.MALFORMED, f"JWKS: not JSON ({error})") from error
    entries = decoded.get("keys") if isinstance(decoded, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise PeerError(Reason.MALFORMED, 'JWKS: expected {"keys": [{...}, ...]}')
    if len(entries) > MAX_KEYS:
        raise PeerError(Reason.TOO_LARGE, f"JWKS: {len(entries)} keys, the limit is {MAX_KEYS}")
    keys = [_key(entry) for entry in entries if _is_ours(entry)]
    if not keys:
        raise PeerError(Reason.MALFORMED, "JWKS: it holds no P-256 key for signatures")
    return keys


def _entry(name: str, key: EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    point = {axis: b64url(getattr(numbers, axis).to_bytes(_COORDINATE_BYTES, "big")) for axis in ("x", "y")}
    return {**_KIND, **_PURPOSE, "kid": name, **point}


def _is_ours(entry: dict[str, object]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return (
        all(entry.get(name) == value for name, value in _KIND.items())
        and all(entry.get(name, value) == value for name, value in _PURPOSE.items())
        and isinstance(operations, list)
        and "verify" in operations
    )


def _key(entry: dict[str, object]) -> EllipticCurvePublicKey:
    if "d" in entry:
        raise PeerError(Reason.MALFORMED, "JWKS: it holds a private key; publish public keys only")
    x, y = (_coordinate(entry, axis) for axis in ("x", "y"))
    try:
        return EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
    except ValueError as error:
        raise PeerError(Reason.MALFORMED, f"JWKS: {error}") from error


def _coordinate(entry: dict[str, object], axis: str) -> int:
    value = entry.get(axis)
    raw = parse_b64url(value, f"JWKS {axis}") if isinstance(value, str) else b""
    if len(raw) != _COORDINATE_BYTES:
        raise PeerError(Reason.MALFORMED, f"JWKS: {axis} is {len(raw)} bytes, expected {_COORDINATE_BYTES}")
    return int.from_bytes(raw, "big")
