"""Enrolment: the messages between an attester and the endorser that lead to an endorsement.

Four messages, each in a CMW record of its own media type, over the broker or in files:

1. *request*, attester to endorser: its endorsement key and certificate, its attesting key. Unsigned.
2. *challenge*, endorser to attester: a secret that only the TPM with that endorsement key decrypts, and only while it
   holds the attesting key (TPM 2.0 Part 1, "Credential Protection"). Signed by the endorser.
3. *activation*, attester to endorser: the proof of the secret, bound to request and challenge. Never the secret.
4. *outcome*, endorser to attester: the endorsement, or the reason why it is pending or refused. Signed.

The endorser verifies everything in a request and an activation. Digests are SHA-256 of the value of the CMW record.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NewType

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from schemas import media_types
from schemas.codecs import cbor, cose
from schemas.codecs.fields import as_array, as_bytes, as_map, as_text, as_uint
from schemas.identifiers import Ueid, parse_ueid
from schemas.limits import MAX_ATTEST_BYTES, MAX_SIGNATURE_BYTES
from schemas.reasons import Reason
from schemas.topics import check_name
from schemas.tpm.public import MAX_PUBLIC_BYTES

RequestDigest = NewType("RequestDigest", bytes)
ChallengeDigest = NewType("ChallengeDigest", bytes)

MAX_CERTIFICATE_BYTES: Final = 4096  # real EK certificates: 0.8 to 1.6 KiB
MAX_CHAIN: Final = 5
MAX_REQUEST_BYTES: Final = 32 * 1024
MAX_ACTIVATION_BYTES: Final = 512
MAX_CHALLENGE_BYTES: Final = 4096
MAX_OUTCOME_BYTES: Final = 16 * 1024
NONCE_BYTES: Final = 16
SECRET_BYTES: Final = 32
PROOF_BYTES: Final = 32

_DIGEST_BYTES: Final = 32
_PROOF_CONTEXT: Final = b"attestream enrolment activation v1\x00"
_MAX_CREDENTIAL_BYTES: Final = 132  # TPM2B_DIGEST of an HMAC, encrypted TPM2B_DIGEST, SHA-512 both
_MAX_ENCRYPTED_BYTES: Final = 512  # RSA 4096
_MAX_ENDORSEMENT_BYTES: Final = 8192
_EK, _AK, _NONCE, _CERTIFICATE, _CHAIN, _NAME, _IAK = 1, 2, 3, 4, 5, 6, 7
_UEID, _REQUEST, _CREDENTIAL, _ENCRYPTED, _EXPIRES = 1, 2, 3, 4, 5
_ACTIVATED_REQUEST, _ACTIVATED_CHALLENGE, _PROOF = 1, 2, 3
_OUTCOME_REASON, _OUTCOME_DETAIL, _OUTCOME_ENDORSEMENT = 3, 4, 5
_CHALLENGE_PROTECTED: Final = {cose.HEADER_TYPE: media_types.ENROLMENT_CHALLENGE}
_OUTCOME_PROTECTED: Final = {cose.HEADER_TYPE: media_types.ENROLMENT_OUTCOME}


@dataclass(frozen=True, slots=True, kw_only=True)
class IakProof:
    """An initial attestation key certifies the attesting key.

    Attributes:
        certificate: of the IAK, DER.
        attest: TPMS_ATTEST of TPM2_Certify over the attesting key; extraData is the request's nonce.
        signature: TPMT_SIGNATURE.
    """

    certificate: bytes
    attest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentRequest:
    """What an attester claims about itself. Nothing in it is verified.

    Attributes:
        ek_public: TPMT_PUBLIC of the endorsement key.
        ak_public: TPMT_PUBLIC of the attesting key.
        nonce: random, so that no two requests are equal.
        certificate: the EK certificate, DER; None if the attester has none.
        chain: the issuers' certificates of ``certificate`` or of ``iak``, DER, in any order.
        iak: the proof by an initial attestation key; None if the attester has none.
        name: the name that the device asks for; None for no name.
    """

    ek_public: bytes
    ak_public: bytes
    nonce: bytes
    certificate: bytes | None = None
    chain: tuple[bytes, ...] = ()
    name: str | None = None
    iak: IakProof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A secret for one TPM and one attesting key.

    Attributes:
        ueid: the attester.
        request: the request that it answers.
        credential: TPM2B_ID_OBJECT without its size.
        encrypted_secret: TPM2B_ENCRYPTED_SECRET without its size.
        expires_s: UTC seconds; later activations are refused.
    """

    ueid: Ueid
    request: RequestDigest
    credential: bytes
    encrypted_secret: bytes
    expires_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """The answer to a challenge; ``proof`` is :func:`proof_of` the secret."""

    request: RequestDigest
    challenge: ChallengeDigest
    proof: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The endorser's answer to a request.

    Attributes:
        ueid: the attester.
        request: the request that it answers.
        endorsement: the signed endorsement; None if it is pending or refused.
        reason: the reason code if there is no endorsement: ``enrolment-pending`` if it may still come. Else empty.
        detail: a sentence for people.
    """

    ueid: Ueid
    request: RequestDigest
    endorsement: bytes | None
    reason: str = ""
    detail: str = ""


def request_digest(raw: bytes) -> RequestDigest:
    """The digest by which challenge, activation and outcome name a request."""
    return RequestDigest(hashlib.sha256(raw).digest())


def challenge_digest(raw: bytes) -> ChallengeDigest:
    """The digest by which an activation names a challenge: over all its bytes, including the signature."""
    return ChallengeDigest(hashlib.sha256(raw).digest())


def proof_of(secret: bytes, request: RequestDigest, challenge: ChallengeDigest) -> bytes:
    """HMAC-SHA256 with the secret over a context string and both digests, so it fits this enrolment only."""
    return hmac.digest(secret, _PROOF_CONTEXT + request + challenge, "sha256")


def encode_request(request: EnrolmentRequest) -> bytes:
    """The value of the CMW record."""
    items: dict[int, object] = {_EK: request.ek_public, _AK: request.ak_public, _NONCE: request.nonce}
    if request.certificate is not None:
        items[_CERTIFICATE] = request.certificate
    if request.chain:
        items[_CHAIN] = list(request.chain)
    if request.name is not None:
        items[_NAME] = request.name
    if request.iak is not None:
        items[_IAK] = [request.iak.certificate, request.iak.attest, request.iak.signature]
    return cbor.encode(items)


def parse_request(raw: bytes) -> EnrolmentRequest:
    """Parses a request; anyone can have written it.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    items = as_map(
        cbor.decode(raw, "enrolment request", max_bytes=MAX_REQUEST_BYTES),
        "enrolment request",
        required=(_EK, _AK, _NONCE),
        optional=(_CERTIFICATE, _CHAIN, _NAME, _IAK),
    )
    chain = as_array(items[_CHAIN], "certificate chain", limit=MAX_CHAIN) if _CHAIN in items else ()
    return EnrolmentRequest(
        ek_public=as_bytes(items[_EK], "endorsement key", limit=MAX_PUBLIC_BYTES),
        ak_public=as_bytes(items[_AK], "attesting key", limit=MAX_PUBLIC_BYTES),
        nonce=as_bytes(items[_NONCE], "request nonce", size=NONCE_BYTES),
        certificate=_certificate(items[_CERTIFICATE]) if _CERTIFICATE in items else None,
        chain=tuple(_certificate(each) for each in chain),
        name=check_name(as_text(items[_NAME], "device name", limit=64)) if _NAME in items else None,
        iak=_parse_iak(items[_IAK]) if _IAK in items else None,
    )


def sign_challenge(challenge: Challenge, key: EllipticCurvePrivateKey) -> bytes:
    """The signed bytes of a challenge."""
    payload = {
        _UEID: challenge.ueid,
        _REQUEST: challenge.request,
        _CREDENTIAL: challenge.credential,
        _ENCRYPTED: challenge.encrypted_secret,
        _EXPIRES: challenge.expires_s,
    }
    return cose.encode(cose.sign(cbor.encode(payload), key, _CHALLENGE_PROTECTED))


def verify_challenge(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> Challenge:
    """Verifies the endorser's signature and parses.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``object-signature-invalid``.
    """
    sign1 = cose.parse(raw, "challenge", max_bytes=MAX_CHALLENGE_BYTES)
    payload = cose.verify(sign1, keys, _CHALLENGE_PROTECTED, Reason.OBJECT_SIGNATURE_INVALID)
    required = (_UEID, _REQUEST, _CREDENTIAL, _ENCRYPTED, _EXPIRES)
    items = as_map(cbor.decode(payload, "challenge"), "challenge", required=required, optional=())
    return Challenge(
        ueid=parse_ueid(as_bytes(items[_UEID], "challenge ueid")),
        request=RequestDigest(as_bytes(items[_REQUEST], "challenge request", size=_DIGEST_BYTES)),
        credential=as_bytes(items[_CREDENTIAL], "challenge credential", limit=_MAX_CREDENTIAL_BYTES),
        encrypted_secret=as_bytes(items[_ENCRYPTED], "challenge secret", limit=_MAX_ENCRYPTED_BYTES),
        expires_s=as_uint(items[_EXPIRES], "challenge expiry"),
    )


def encode_activation(activation: Activation) -> bytes:
    """The value of the CMW record."""
    return cbor.encode(
        {
            _ACTIVATED_REQUEST: activation.request,
            _ACTIVATED_CHALLENGE: activation.challenge,
            _PROOF: activation.proof,
        }
    )


def parse_activation(raw: bytes) -> Activation:
    """Parses an activation; anyone can have written it.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    items = as_map(
        cbor.decode(raw, "activation", max_bytes=MAX_ACTIVATION_BYTES),
        "activation",
        required=(_ACTIVATED_REQUEST, _ACTIVATED_CHALLENGE, _PROOF),
        optional=(),
    )
    return Activation(
        request=RequestDigest(as_bytes(items[_ACTIVATED_REQUEST], "activation request", size=_DIGEST_BYTES)),
        challenge=ChallengeDigest(as_bytes(items[_ACTIVATED_CHALLENGE], "activation challenge", size=_DIGEST_BYTES)),
        proof=as_bytes(items[_PROOF], "activation proof", size=PROOF_BYTES),
    )


def sign_outcome(outcome: Outcome, key: EllipticCurvePrivateKey) -> bytes:
    """The signed bytes of an outcome."""
    payload: dict[int, object] = {
        _UEID: outcome.ueid,
        _REQUEST: outcome.request,
        _OUTCOME_REASON: outcome.reason,
        _OUTCOME_DETAIL: outcome.detail[:256],
    }
    if outcome.endorsement is not None:
        payload[_OUTCOME_ENDORSEMENT] = outcome.endorsement
    return cose.encode(cose.sign(cbor.encode(payload), key, _OUTCOME_PROTECTED))


def verify_outcome(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> Outcome:
    """Verifies the endorser's signature and parses. The caller verifies the endorsement in the outcome.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``object-signature-invalid``.
    """
    sign1 = cose.parse(raw, "outcome", max_bytes=MAX_OUTCOME_BYTES)
    payload = cose.verify(sign1, keys, _OUTCOME_PROTECTED, Reason.OBJECT_SIGNATURE_INVALID)
    required = (_UEID, _REQUEST, _OUTCOME_REASON, _OUTCOME_DETAIL)
    decoded = cbor.decode(payload, "outcome", max_bytes=MAX_OUTCOME_BYTES)
    items = as_map(decoded, "outcome", required=required, optional=(_OUTCOME_ENDORSEMENT,))
    return Outcome(
        ueid=parse_ueid(as_bytes(items[_UEID], "outcome ueid")),
        request=RequestDigest(as_bytes(items[_REQUEST], "outcome request", size=_DIGEST_BYTES)),
        endorsement=as_bytes(items[_OUTCOME_ENDORSEMENT], "outcome endorsement", limit=_MAX_ENDORSEMENT_BYTES)
        if _OUTCOME_ENDORSEMENT in items
        else None,
        reason=as_text(items[_OUTCOME_REASON], "outcome reason", limit=64),
        detail=as_text(items[_OUTCOME_DETAIL], "outcome detail", limit=256),
    )


def _parse_iak(value: object) -> IakProof:
    certificate, attest, signature = as_array(value, "IAK proof", length=3)
    return IakProof(
        certificate=_certificate(certificate),
        attest=as_bytes(attest, "IAK attest", limit=MAX_ATTEST_BYTES),
        signature=as_bytes(signature, "IAK signature", limit=MAX_SIGNATURE_BYTES),
    )


def _certificate(value: object) -> bytes:
    return as_bytes(value, "certificate", limit=MAX_CERTIFICATE_BYTES)
