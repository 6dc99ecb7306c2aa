"""The attester's side of enrolment: makes the request, answers the challenge, reads the outcome. Has no transport.

Accepts only messages that the endorser signed, and answers only a challenge to its own request: opening any other
secret with the TPM would help an attacker.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from attester_agent.ports import Identity
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.endorsement import Endorsement, verify_endorsement
from schemas.messages.enrolment import (
    MAX_CHAIN,
    Activation,
    EnrolmentRequest,
    IakProof,
    Outcome,
    challenge_digest,
    encode_activation,
    encode_request,
    parse_request,
    proof_of,
    request_digest,
    verify_challenge,
    verify_outcome,
)
from schemas.reasons import Reason
from schemas.tpm.endorsement_key import split_certificates

RETRIED: Final = frozenset(
    {
        Reason.ACTIVATION_FAILED,
        Reason.ACTIVATION_REPLAYED,
        Reason.ACTIVATION_UNSOLICITED,
        Reason.CHALLENGE_EXPIRED,
        Reason.ENROLMENT_RATE_LIMITED,
    }
)
"""Refusals that an attacker can cause by sending an activation in this device's name. The device tries again."""
EndorserKeys = dict[bytes, EllipticCurvePublicKey]
_PLAIN: Final = None  # none of the messages is a conceptual message of RATS


class EnrolmentTpm(Protocol):
    """The TPM to be enrolled. Every method raises ``WorldError`` (``tpm-…``)."""

    def endorsement_key(self) -> bytes:
        """TPMT_PUBLIC of the endorsement key."""

    def certificate(self) -> bytes | None:
        """The EK certificate in the TPM's memory, possibly with padding; None if there is none."""

    def chain(self) -> bytes:
        """The certificates above it, concatenated, possibly with padding or empty."""

    def activate(self, credential: bytes, encrypted_secret: bytes) -> bytes:
        """Opens a secret that was sealed for this TPM and its attesting key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolling:
    """One attempt. ``payload`` is the CMW record of the request, ``raw`` the request in it."""

    ueid: Ueid
    payload: bytes
    raw: bytes


def make_request(
    tpm: EnrolmentTpm,
    identity: Identity,
    nonce: bytes,
    name: str | None = None,
    certificates: tuple[bytes, ...] | None = None,
    iak: IakProof | None = None,
) -> Enrolling:
    """Makes the enrolment request of this device.

    Args:
        tpm: has the endorsement key, and its certificate if ``certificates`` is None.
        identity: UEID and attesting key.
        nonce: random.
        name: wanted for the device.
        certificates: the EK certificate and those above it, DER, from files; with ``iak``, those above its certificate.
        iak: the proof by an initial attestation key, over ``nonce``, instead of an EK certificate.

    Raises:
        PeerError: ``ek-certificate-missing``.
        WorldError: ``tpm-…``.
    """
    if certificates is None and iak is None:
        stored = tpm.certificate()
        certificates = () if stored is None else split_certificates(stored)[:1] + split_certificates(tpm.chain())
    above = certificates or ()
    if not above and iak is None:
        raise PeerError(
            Reason.EK_CERTIFICATE_MISSING,
            "the TPM's memory holds no certificate of this endorsement key; try the other key (tpm.ek = 'rsa' or "
            "'ecc', which changes the device's UEID), or give the manufacturer's certificate with --ek-certificate",
        )
    request = EnrolmentRequest(
        ek_public=tpm.endorsement_key(),
        ak_public=identity.public,
        nonce=nonce,
        certificate=above[0] if iak is None else None,
        chain=above[1 : MAX_CHAIN + 1] if iak is None else above[:MAX_CHAIN],
        name=name,
        iak=iak,
    )
    raw = encode_request(request)
    return Enrolling(ueid=identity.ueid, payload=cmw.wrap(media_types.ENROLMENT_REQUEST, raw, _PLAIN), raw=raw)


def read_request(payload: bytes, ueid: Ueid) -> Enrolling:
    """Reads an earlier attempt from its file.

    Raises:
        PeerError: it is not a request.
    """
    raw = cmw.unwrap(payload, media_types.ENROLMENT_REQUEST, _PLAIN)
    parse_request(raw)
    return Enrolling(ueid=ueid, payload=payload, raw=raw)


def answer_challenge(attempt: Enrolling, payload: bytes, keys: EndorserKeys, tpm: EnrolmentTpm) -> bytes:
    """Answers a challenge; returns the CMW record of the activation.

    Raises:
        PeerError: ``object-signature-invalid``; ``object-misdirected`` if the challenge is for another device or
            request; ``malformed``.
        WorldError: ``tpm-fatal`` if the challenge was made for another TPM or key; another ``tpm-…``.
    """
    raw = cmw.unwrap(payload, media_types.ENROLMENT_CHALLENGE, _PLAIN)
    challenge = verify_challenge(raw, keys)
    request = request_digest(attempt.raw)
    if challenge.ueid != attempt.ueid or challenge.request != request:
        raise PeerError(Reason.OBJECT_MISDIRECTED, "challenge: for another request")
    secret = tpm.activate(challenge.credential, challenge.encrypted_secret)
    digest = challenge_digest(raw)
    activation = Activation(request=request, challenge=digest, proof=proof_of(secret, request, digest))
    return cmw.wrap(media_types.ENROLMENT_ACTIVATION, encode_activation(activation), _PLAIN)


def read_outcome(
    attempt: Enrolling, payload: bytes, keys: EndorserKeys, identity: Identity
) -> tuple[Outcome, Endorsement | None]:
    """Reads the outcome of this attempt, and the endorsement if it has one.

    Raises:
        PeerError: ``object-signature-invalid``; ``object-misdirected`` if it is about another device, request or key;
            ``malformed``.
    """
    outcome = verify_outcome(cmw.unwrap(payload, media_types.ENROLMENT_OUTCOME, _PLAIN), keys)
    if outcome.ueid != attempt.ueid or outcome.request != request_digest(attempt.raw):
        raise PeerError(Reason.OBJECT_MISDIRECTED, "outcome: for another request")
    if outcome.endorsement is None:
        return outcome, None
    endorsement = verify_endorsement(outcome.endorsement, keys)
    if endorsement.ueid != identity.ueid or endorsement.attesting_key.name != identity.environment:
        raise PeerError(Reason.OBJECT_MISDIRECTED, "outcome: the endorsement is for another device or key")
    return outcome, endorsement
