"""Handles: the distributor's signed claims with a TSA's stamp on the signature (invariant I14).

``COSE_Sign1`` over CWT claims ``{iss, exp, nbf, nonce, epoch marker, previous}``. The time-stamp token over the COSE
signature is in unprotected header 270 (RFC 9921, 3161-ctt). The id of a handle is the SHA-256 of all its bytes,
including the token, so nobody can know the id before the TSA stamps.

Only :func:`verify_handle` makes a :class:`Handle`, which guarantees: a trusted distributor signed it; a trusted TSA
that knows the time within ``MAX_ACCURACY_US`` stamped it; the epoch marker has the fixed imprint and is at most
``MAX_STAMP_DELAY_US`` older than the stamp, plus the stamp's accuracy; the stamp is no later than ``exp``. The caller
compares the handle with its own clock.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from schemas import media_types
from schemas.codecs import cbor, cose
from schemas.codecs.fields import as_bytes, as_map, as_tag, as_text, as_uint
from schemas.codecs.tst_info import TstInfo, parse_tst_info
from schemas.errors import PeerError
from schemas.identifiers import HANDLE_ID_BYTES, HandleId
from schemas.instants import SECOND_US
from schemas.limits import MAX_TIME_STAMP_TOKEN_BYTES
from schemas.reasons import Reason
from schemas.time_model import Interval, stamped

CLAIM_ISS: Final = 1  # RFC 8392, 3.1
CLAIM_EXP: Final = 4
CLAIM_NBF: Final = 5
CLAIM_NONCE: Final = 10  # eat_nonce, RFC 9711, 4.1
CLAIM_EPOCH_MARKER: Final = 2000  # draft-ietf-rats-epoch-marker-04 (suggested)
CLAIM_PREVIOUS: Final = -70100  # private use (RFC 8392, 9.1): SHA-256 of the previous handle's bytes
TAG_CLASSICAL_TST_INFO: Final = 26980  # draft-ietf-rats-epoch-marker-04
EPOCH_BELL_IMPRINT: Final = hashlib.sha256(b"EPOCH_BELL").digest()  # draft-ietf-rats-epoch-marker-04
NONCE_BYTES: Final = 32
MAX_HANDLE_BYTES: Final = 2 * MAX_TIME_STAMP_TOKEN_BYTES
MAX_LIFETIME_S: Final = 31 * 86_400
MAX_STAMP_DELAY_US: Final = 60_000_000
MAX_ACCURACY_US: Final = 60_000_000  # the worst accuracy that is accepted of a TSA
_PROTECTED: Final = {cose.HEADER_TYPE: media_types.HANDLE}


class StampVerifier(Protocol):
    """Verifies RFC 3161 tokens to the TSA roots that the operator trusts."""

    def verify_stamp(self, token: bytes, imprint: bytes) -> TstInfo:
        """Returns the token's TSTInfo if a trusted TSA made the token over exactly ``imprint``.

        Raises:
            PeerError: ``handle-stamp-invalid``, ``handle-stamp-not-for-time-stamping`` or
                ``handle-stamp-imprint-mismatch``.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class HandleClaims:
    """The distributor's claims, before or after signing.

    Attributes:
        issuer: the distributor's name.
        not_before_s: nbf; the epoch marker's second, UTC.
        expires_s: exp, UTC seconds.
        nonce: 32 random bytes.
        epoch_marker: DER TSTInfo without the TSA's signature (epoch-marker 26980).
        previous: id of the handle before this one; None for the first.
    """

    issuer: str
    not_before_s: int
    expires_s: int
    nonce: bytes
    epoch_marker: bytes
    previous: HandleId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """A verified handle. ``raw`` is what attesters hash into their TPM; ``time_us`` is the TSA's genTime."""

    id: HandleId
    raw: bytes
    claims: HandleClaims
    time_us: int
    accuracy_us: int

    @property
    def earliest_us(self) -> int:
        """The earliest time at which the TSA can have stamped it, by the TSA's accuracy."""
        return self.time_us - self.accuracy_us

    @property
    def made(self) -> Interval:
        """The interval in which the TSA stamped it."""
        return stamped(self.time_us, self.accuracy_us)

    @property
    def expires_us(self) -> int:
        """The end of its validity, without any grace period."""
        return self.claims.expires_s * SECOND_US


def handle_id(raw: bytes) -> HandleId:
    """SHA-256 of a handle's bytes."""
    return HandleId(hashlib.sha256(raw).digest())


def sign_claims(claims: HandleClaims, key: EllipticCurvePrivateKey) -> cose.Sign1:
    """Signs the claims. The TSA must then stamp :func:`cose.ctt_imprint` of the signature."""
    payload: dict[int, object] = {
        CLAIM_ISS: claims.issuer,
        CLAIM_EXP: claims.expires_s,
        CLAIM_NBF: claims.not_before_s,
        CLAIM_NONCE: claims.nonce,
        CLAIM_EPOCH_MARKER: cbor.Tag(TAG_CLASSICAL_TST_INFO, claims.epoch_marker),
    }
    if claims.previous is not None:
        payload[CLAIM_PREVIOUS] = claims.previous
    return cose.sign(cbor.encode(payload), key, _PROTECTED)


def attach_stamp(signed: cose.Sign1, token: bytes) -> bytes:
    """The finished handle: the signed claims with the TSA's token in header 270."""
    return cose.encode(replace(signed, unprotected={cose.HEADER_3161_CTT: token}))


def verify_handle(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey], stamps: StampVerifier) -> Handle:
    """Parses and verifies a handle, in this order: form, distributor's signature, TSA's stamp, consistency of times.

    Args:
        raw: the handle's bytes.
        keys: the trusted distributors' keys by ``cose.key_id``.
        stamps: verifies the token to the trusted TSA roots.

    Returns:
        The verified handle.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``handle-signature-invalid``, ``handle-stamp-invalid``,
            ``handle-stamp-not-for-time-stamping``, ``handle-stamp-imprint-mismatch`` or ``handle-time-inconsistent``.
    """
    sign1 = cose.parse(raw, "handle", max_bytes=MAX_HANDLE_BYTES)
    payload = cose.verify(sign1, keys, _PROTECTED, Reason.HANDLE_SIGNATURE_INVALID)
    claims = _parse_claims(payload)
    header = as_map(sign1.unprotected, "handle unprotected header", required=(cose.HEADER_3161_CTT,), optional=())
    token = as_bytes(header[cose.HEADER_3161_CTT], "handle time-stamp token", limit=MAX_TIME_STAMP_TOKEN_BYTES)
    stamp = stamps.verify_stamp(token, cose.ctt_imprint(sign1))
    _check_times(claims, parse_tst_info(claims.epoch_marker), stamp)
    return Handle(id=handle_id(raw), raw=raw, claims=claims, time_us=stamp.gen_time_us, accuracy_us=stamp.accuracy_us)


def unverified_claims(raw: bytes) -> HandleClaims:
    """The claims of a handle that nobody may have signed or stamped. Show them to people; bind nothing to them.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    return _parse_claims(cose.parse(raw, "handle", max_bytes=MAX_HANDLE_BYTES).unverified_payload)


def _parse_claims(payload: bytes) -> HandleClaims:
    claims = as_map(
        cbor.decode(payload, "handle claims"),
        "handle claims",
        required=(CLAIM_ISS, CLAIM_EXP, CLAIM_NBF, CLAIM_NONCE, CLAIM_EPOCH_MARKER),
        optional=(CLAIM_PREVIOUS,),
    )
    marker = as_tag(claims[CLAIM_EPOCH_MARKER], TAG_CLASSICAL_TST_INFO, "handle epoch marker")
    return HandleClaims(
        issuer=as_text(claims[CLAIM_ISS], "handle iss", limit=64),
        not_before_s=as_uint(claims[CLAIM_NBF], "handle nbf"),
        expires_s=as_uint(claims[CLAIM_EXP], "handle exp"),
        nonce=as_bytes(claims[CLAIM_NONCE], "handle nonce", size=NONCE_BYTES),
        epoch_marker=as_bytes(marker, "handle epoch marker", limit=MAX_TIME_STAMP_TOKEN_BYTES),
        previous=HandleId(as_bytes(claims[CLAIM_PREVIOUS], "handle previous", size=HANDLE_ID_BYTES))
        if CLAIM_PREVIOUS in claims
        else None,
    )


def _check_times(claims: HandleClaims, marker: TstInfo, stamp: TstInfo) -> None:
    def refuse(detail: str) -> PeerError:
        return PeerError(Reason.HANDLE_TIME_INCONSISTENT, f"handle: {detail}")

    if marker.imprint != EPOCH_BELL_IMPRINT:
        raise refuse("the epoch marker's imprint is not SHA-256 of EPOCH_BELL")
    if claims.not_before_s != marker.gen_time_us // SECOND_US:
        raise refuse("nbf is not the second of the epoch marker")
    if not 0 < claims.expires_s - claims.not_before_s <= MAX_LIFETIME_S:
        raise refuse(f"lifetime of {claims.expires_s - claims.not_before_s} s, expected 1 to {MAX_LIFETIME_S}")
    if stamp.accuracy_us > MAX_ACCURACY_US:
        raise refuse(f"the TSA's accuracy is {stamp.accuracy_us} us, the limit is {MAX_ACCURACY_US}")
    # The marker has no TSA signature: the distributor could choose its accuracy, so only the stamp's accuracy is used.
    slack = 2 * stamp.accuracy_us
    if not -slack <= stamp.gen_time_us - marker.gen_time_us <= MAX_STAMP_DELAY_US + slack:
        raise refuse("the stamp does not closely follow the epoch marker")
    if stamp.gen_time_us > claims.expires_s * SECOND_US:
        raise refuse("stamped after its expiry")
