"""Signs and verifies attestation results in either form, JWT or CWT.

Both forms are equally trusted: ES256 with the type in the protected header, by a key that the caller trusts. Both parse
to the same :class:`~schemas.messages.result.AttestationResult`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from schemas import media_types
from schemas.codecs import cmw, cose, jws
from schemas.errors import PeerError
from schemas.limits import MAX_MESSAGE_BYTES
from schemas.media_types import Indicator
from schemas.messages import result_cwt
from schemas.messages.result import AttestationResult, from_claims, to_claims
from schemas.reasons import Reason

_JWT_HEAD: Final = b"ey"  # base64url of {"
_CWT_HEADS: Final = (b"\xd8\x3d", b"\xd2")  # CBOR tags 61 and 18
_RECORD_HEAD: Final = b"\x83"  # an array of three


class ResultFormat(StrEnum):
    """How a result is encoded and signed."""

    JWT = "jwt"
    CWT = "cwt"


_MEDIA_TYPES: Final = {ResultFormat.JWT: media_types.RESULT, ResultFormat.CWT: media_types.RESULT_CWT}


class ResultSigner:
    """Signs results as one verifier."""

    def __init__(
        self, key: EllipticCurvePrivateKey, developer: str, build: str, form: ResultFormat = ResultFormat.JWT
    ) -> None:
        """Signs nothing yet.

        Args:
            key: the verifier's key.
            developer: first member of ``ear_verifier_id``.
            build: second member of ``ear_verifier_id``.
            form: of the tokens.
        """
        self._key, self._developer, self._build, self._form = key, developer, build, form
        self._key_id = cose.key_id(key.public_key()).hex()

    def sign(self, result: AttestationResult) -> bytes:
        """The token of a result."""
        claims = to_claims(result, self._developer, self._build)
        if self._form is ResultFormat.CWT:
            return result_cwt.sign(claims, self._key)
        return jws.sign(claims, self._key, self._key_id)


def result_keys(keys: Mapping[bytes, EllipticCurvePublicKey]) -> dict[str, EllipticCurvePublicKey]:
    """Verifier keys by the key id that results carry: the text of :func:`schemas.codecs.cose.key_id` in hexadecimal."""
    return {cose.key_id(key).hex(): key for key in keys.values()}


def verify(token: bytes, keys: Mapping[str, EllipticCurvePublicKey]) -> AttestationResult:
    """Verifies the signature of a token of either form and parses its claims. The caller checks its times.

    Args:
        token: as a verifier signed it.
        keys: the trusted verifiers' keys, as :func:`result_keys` makes them.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``result-signature-invalid``.
    """
    if len(token) > MAX_MESSAGE_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"attestation result: {len(token)} bytes, the limit is {MAX_MESSAGE_BYTES}")
    if format_of(token) is ResultFormat.CWT:
        return from_claims(result_cwt.verify(token, {bytes.fromhex(name): key for name, key in keys.items()}))
    return from_claims(jws.verify(token, keys))


def read_unverified(token: bytes) -> AttestationResult:
    """The result in a token of either form whose signature is not verified.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    if format_of(token) is ResultFormat.CWT:
        return from_claims(result_cwt.unverified_claims(token))
    return from_claims(jws.unverified_claims(token))


def unverified_claims(token: bytes) -> dict[str, object]:
    """The claims of a token of either form by their names in a JWT; the signature is not verified.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    if format_of(token) is ResultFormat.CWT:
        return result_cwt.unverified_claims(token)
    return jws.unverified_claims(token)


def signed_part(token: bytes) -> bytes:
    """All bytes that the signature of a token covers.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    return result_cwt.signed_part(token) if format_of(token) is ResultFormat.CWT else jws.signed_part(token)


def to_be_signed(claims: Mapping[str, object], key_id: bytes, form: ResultFormat) -> bytes:
    """The bytes that :class:`ResultSigner` signs for ``claims`` with the key of this id (see :func:`signed_part`)."""
    if form is ResultFormat.CWT:
        return result_cwt.to_be_signed(claims, key_id)
    return jws.to_be_signed(claims, key_id.hex())


def wrap(token: bytes) -> bytes:
    """The CMW record of a token, with the media type of its form."""
    return cmw.wrap(_MEDIA_TYPES[format_of(token)], token, Indicator.ATTESTATION_RESULTS)


def unwrap(payload: bytes) -> bytes:
    """The token in a CMW record, not verified.

    Raises:
        PeerError: ``too-large``, ``malformed``; ``unknown-media-type``, also for a token of another form than its media
            type states.
    """
    media_type, token = cmw.unwrap_any(payload, tuple(_MEDIA_TYPES.values()), Indicator.ATTESTATION_RESULTS)
    form = format_of(token)
    if _MEDIA_TYPES[form] != media_type:
        raise PeerError(Reason.UNKNOWN_MEDIA_TYPE, f"attestation result: a {form.upper()} under {media_type!r}")
    return token


def token_of(content: bytes) -> bytes:
    """The token in a file: a JWT with or without an end of line, a CWT, or a CMW record of either.

    Raises:
        PeerError: see :func:`unwrap`.
    """
    if content.startswith(_RECORD_HEAD):
        return unwrap(content)
    return content.strip() if content.lstrip().startswith(_JWT_HEAD) else content


def format_of(token: bytes) -> ResultFormat:
    """The form of a token, by its first bytes.

    Raises:
        PeerError: ``malformed`` if it is neither a JWT nor a CWT.
    """
    if token.startswith(_JWT_HEAD):
        return ResultFormat.JWT
    if token.startswith(_CWT_HEADS):
        return ResultFormat.CWT
    raise PeerError(Reason.MALFORMED, "attestation result: neither a JWT nor a CWT")
