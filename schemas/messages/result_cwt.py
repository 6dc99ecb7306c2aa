"""Attestation results as a CWT (RFC 8392): the EAR claims in CBOR in a COSE_Sign1, tags 61 and 18.

Translates the claims of :mod:`schemas.messages.result` one to one, so both forms of a result have the same content.
Names become the keys of draft-ietf-rats-ear-04, tiers become numbers (AR4SI, 2.3.2), base64url text becomes bytes. The
members of the ``attestream`` map keep their names.
"""

from collections.abc import Callable, Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from schemas.codecs import cbor, cose
from schemas.codecs.fields import as_map, as_tag
from schemas.errors import PeerError
from schemas.identifiers import b64url, parse_b64url
from schemas.limits import MAX_MESSAGE_BYTES
from schemas.messages.result import SIGNED_CLAIMS_KEY
from schemas.reasons import Reason
from schemas.verdicts import Tier, TrustClaim

TAG_CWT: Final = 61  # RFC 8392, 6
_FIELD: Final = "CWT"
TYPE: Final = "application/eat+cwt"  # RFC 9782, 2.1, in the form of RFC 9596
_PROTECTED: Final = {cose.HEADER_TYPE: TYPE}

_Names = Mapping[str, int]
# RFC 8392, 3.1; RFC 9711, 10.2; draft-ietf-rats-ear-04, 3
CLAIMS: Final[_Names] = {
    "iss": 1,
    "exp": 4,
    "iat": 6,
    "eat_nonce": 10,
    "ueid": 256,
    "eat_profile": 265,
    "submods": 266,
    "ear_status": 1000,
    "ear_verifier_id": 1004,
}
APPRAISAL: Final[_Names] = {
    "ear_status": 1000,
    "ear_trustworthiness_vector": 1001,
    "ear_appraisal_policy_ids": 1003,
    "ear_attester_claims": 1005,
    "ear_verifier_claims": 1006,
}
VERIFIER_ID: Final[_Names] = {"developer": 0, "build": 1}
VECTOR: Final[_Names] = {claim.label: int(claim) for claim in TrustClaim}
TIERS: Final[Mapping[str, int]] = {Tier.NONE: 0, Tier.AFFIRMING: 2, Tier.WARNING: 32, Tier.CONTRAINDICATED: 96}
_TIER_OF: Final = {number: tier for tier, number in TIERS.items()}
_BYTES_IN_CLAIMS: Final = ("eat_nonce", "ueid")
_BYTES_IN_DETAILS: Final = ("evidence", "received_after")


def sign(claims: Mapping[str, object], key: EllipticCurvePrivateKey) -> bytes:
    """A CWT over the claims that :func:`schemas.messages.result.to_claims` makes."""
    signed = cose.sign(cbor.encode(to_cbor(claims)), key, _PROTECTED)
    return cbor.encode(cbor.Tag(TAG_CWT, cose.to_tag(signed)))


def signed_part(token: bytes) -> bytes:
    """The bytes that the signature of a CWT covers: protected header and claims, as they are in the token.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    parsed = _parse(token)
    return cbor.encode([parsed.protected, parsed.unverified_payload])


def to_be_signed(claims: Mapping[str, object], key_id: bytes) -> bytes:
    """The bytes that :func:`sign` signs with the key of this id."""
    return cbor.encode([cbor.encode(cose.protected_headers(key_id, _PROTECTED)), cbor.encode(to_cbor(claims))])


def verify(token: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> dict[str, object]:
    """Verifies a CWT with the key that its key id names. Tag 61 is optional (RFC 8392, 6), tag 18 is not.

    Args:
        token: the tagged CBOR.
        keys: trusted keys by ``cose.key_id``.

    Returns:
        The authenticated claims by their names in a JWT. The caller checks their times.

    Raises:
        PeerError: ``too-large``, ``malformed``, or ``result-signature-invalid`` when no trusted key signed it.
    """
    payload = cose.verify(_parse(token), keys, _PROTECTED, Reason.RESULT_SIGNATURE_INVALID)
    return from_cbor(as_map(cbor.decode(payload, _FIELD, authenticated=True), _FIELD))


def unverified_claims(token: bytes) -> dict[str, object]:
    """The claims of a CWT whose signature is not verified.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    return from_cbor(as_map(cbor.decode(_parse(token).unverified_payload, _FIELD), _FIELD))


def _parse(token: bytes) -> cose.Sign1:
    item = cbor.decode(token, _FIELD, max_bytes=MAX_MESSAGE_BYTES)
    if isinstance(item, cbor.Tag) and item.tag == TAG_CWT:
        item = as_tag(item, TAG_CWT, _FIELD)
    return cose.from_tag(item, _FIELD)


def to_cbor(claims: Mapping[str, object]) -> dict[object, object]:
    """The CBOR claims set of JWT claims."""
    return _translate(claims, CLAIMS, _to_bytes, _BYTES_IN_CLAIMS) | {
        CLAIMS["ear_status"]: TIERS[str(claims["ear_status"])],
        CLAIMS["ear_verifier_id"]: _translate(_inner(claims, "ear_verifier_id"), VERIFIER_ID),
        CLAIMS["submods"]: {
            name: _appraisal_to_cbor(as_map(appraisal, "submodule"))
            for name, appraisal in _inner(claims, "submods").items()
        },
    }


def from_cbor(claims: Mapping[object, object]) -> dict[str, object]:
    """The JWT claims of a CBOR claims set. :func:`schemas.messages.result.from_claims` checks them.

    Raises:
        PeerError: ``malformed`` where something else than the expected bytes, map or tier is.
    """
    named = _rename(claims, CLAIMS, _BYTES_IN_CLAIMS)
    named["ear_status"] = _tier(named.get("ear_status"))
    named["ear_verifier_id"] = _rename(_inner(named, "ear_verifier_id"), VERIFIER_ID)
    named["submods"] = {
        str(name): _appraisal_from_cbor(as_map(appraisal, "submodule"))
        for name, appraisal in _inner(named, "submods").items()
    }
    return named


def _appraisal_to_cbor(appraisal: Mapping[object, object]) -> dict[object, object]:
    made = _translate(appraisal, APPRAISAL)
    made[APPRAISAL["ear_status"]] = TIERS[str(appraisal["ear_status"])]
    made[APPRAISAL["ear_trustworthiness_vector"]] = _translate(_inner(appraisal, "ear_trustworthiness_vector"), VECTOR)
    details = dict(_inner(_inner(appraisal, "ear_verifier_claims"), SIGNED_CLAIMS_KEY))
    details |= {name: _to_bytes(details[name], name) for name in _BYTES_IN_DETAILS if name in details}
    made[APPRAISAL["ear_verifier_claims"]] = {SIGNED_CLAIMS_KEY: details}
    return made


def _appraisal_from_cbor(appraisal: Mapping[object, object]) -> dict[str, object]:
    named = _rename(appraisal, APPRAISAL)
    named["ear_status"] = _tier(named.get("ear_status"))
    named["ear_trustworthiness_vector"] = _rename(_inner(named, "ear_trustworthiness_vector"), VECTOR, unknown=True)
    details = dict(_inner(_inner(named, "ear_verifier_claims"), SIGNED_CLAIMS_KEY))
    details |= {name: _to_text(details[name], name) for name in _BYTES_IN_DETAILS if name in details}
    named["ear_verifier_claims"] = {SIGNED_CLAIMS_KEY: details}
    return named


def _translate(
    named: Mapping[object, object] | Mapping[str, object],
    names: _Names,
    convert: Callable[[object, str], object] | None = None,
    converted: tuple[str, ...] = (),
) -> dict[object, object]:
    return {
        names[str(name)]: convert(value, str(name)) if convert is not None and name in converted else value
        for name, value in named.items()
    }


def _rename(
    keyed: Mapping[object, object], names: _Names, converted: tuple[str, ...] = (), *, unknown: bool = False
) -> dict[str, object]:
    """The items by name. Unknown items are ignored (EAR-04, 3), or with ``unknown`` kept, so that they are refused."""
    by_number = {number: name for name, number in names.items()}
    named = {by_number[key]: value for key, value in keyed.items() if isinstance(key, int) and key in by_number}
    if unknown:
        named |= {f"claim {key}": value for key, value in keyed.items() if key not in by_number}
    return named | {name: _to_text(named[name], name) for name in converted if name in named}


def _inner(outer: Mapping[object, object] | Mapping[str, object], name: str) -> Mapping[object, object]:
    return as_map(dict(outer).get(name), name)


def _tier(value: object) -> str:
    tier = _TIER_OF.get(value) if isinstance(value, int) and not isinstance(value, bool) else None
    if tier is None:
        raise PeerError(Reason.MALFORMED, f"ear_status: {str(value)[:40]!r} is not a tier")
    return str(tier)


def _to_bytes(value: object, name: str) -> bytes:
    return parse_b64url(str(value), name)


def _to_text(value: object, name: str) -> str:
    if not isinstance(value, bytes):
        raise PeerError(Reason.MALFORMED, f"{name}: expected a byte string")
    return b64url(value)
