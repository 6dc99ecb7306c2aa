"""Enrolment, the endorser's side, as values: who asks, is it true, may it be. Pure.

:func:`examine` takes a request apart and believes nothing that it cannot check; :func:`check_standing` holds it against
what the registry knows; :func:`check_activation` is the one place where an attesting key is found to live in a TPM. The
UEID is computed from the endorsement key here and nowhere taken from a message.
"""

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from endorser.core.certificate_path import TpmCertificate, Vendors
from endorser.core.ek_certificate import verify_ek_certificate
from endorser.core.iak_certificate import verify_iak
from schemas.errors import PeerError
from schemas.identifiers import Ueid, ueid_from_key, ueid_text
from schemas.messages.endorsement import Genuine
from schemas.messages.enrolment import (
    Activation,
    ChallengeDigest,
    RequestDigest,
    parse_request,
    proof_of,
    request_digest,
)
from schemas.reasons import Reason
from schemas.tpm.endorsement_key import check_endorsement_key
from schemas.tpm.public import TpmPublic, check_attestation_key, parse_public


class Standing(StrEnum):
    """What an operator, or a rule in an operator's name, said about a device last."""

    ADMITTED = "admitted"
    REJECTED = "rejected"
    REVOKED = "revoked"
    DECOMMISSIONED = "decommissioned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A request that has been examined: its TPM is genuine, its attesting key is of the right kind.

    That both are in one TPM is not known before the activation.
    """

    ueid: Ueid
    request: RequestDigest
    ek: TpmPublic
    ak: TpmPublic
    certificate: TpmCertificate
    genuine: Genuine
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device in the registry.

    Attributes:
        ueid: computed from its endorsement key, so bound to it for good.
        standing: whether it may have an endorsement.
        name: bound to it for good; None when it never had one.
        group: for its endorsements.
        ak_name: TPM name of the key endorsed last.
        version: of that endorsement.
    """

    ueid: Ueid
    standing: Standing
    name: str | None
    group: str | None
    ak_name: bytes | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChallenge:
    """A challenge that waits for its activation, with what was examined before it was made."""

    digest: ChallengeDigest
    request: RequestDigest
    ueid: Ueid
    secret: bytes
    expires_s: int
    raw_request: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Endorsed:
    """A signed endorsement to be stored.

    Attributes:
        ueid: of the device.
        version: greater than all before.
        ak_name, ak_public: the attesting key.
        genuine: how it was proven.
        not_after_s: end of validity, UTC seconds.
        signed: the object itself.
    """

    ueid: Ueid
    version: int
    ak_name: bytes
    ak_public: bytes
    genuine: Genuine | None
    not_after_s: int
    signed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who decided what about a device, for the record."""

    at_s: int
    ueid: Ueid
    action: str
    who: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A device that has proven its key and waits for an operator."""

    ueid: Ueid
    request: RequestDigest
    raw_request: bytes
    since_s: int
    name: str | None
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """Whom to endorse without asking an operator; empty means nobody.

    Attributes:
        roots: names of vendor roots.
        certificates: serial numbers of EK certificates, hexadecimal, each for whatever root it leads to.
        keys: SHA-256 of endorsement keys' SubjectPublicKeyInfo, hexadecimal.
    """

    roots: Collection[str] = ()
    certificates: Collection[str] = ()
    keys: Collection[str] = ()

    def reason_for(self, candidate: Candidate) -> str | None:
        """Which part of the rule approves of the candidate, for the record; None when none does."""
        digest = candidate.ueid[1:].hex()
        if digest in self.keys:
            return f"rule: EK {digest[:16]}"
        if candidate.certificate.serial in self.certificates:
            return f"rule: EK certificate {candidate.certificate.serial}"
        if candidate.certificate.root in self.roots:
            return f"rule: root {candidate.certificate.root}"
        return None


def examine(raw: bytes, vendors: Vendors, now_s: int) -> Candidate:
    """Examines a request.

    1. it parses; 2. the EK certificate is a vendor's (:func:`endorser.core.ek_certificate.verify_ek_certificate`); 3.
       it
    certifies the endorsement key of the request; or, where there is none, an IAK certifies the attesting key
    (:func:`endorser.core.iak_certificate.verify_iak`); 4. the endorsement key is of the TCG's template; 5. the
    attesting key signs only what its TPM made, and never leaves it.

    Args:
        raw: value of the CMW record.
        vendors: whom to trust.
        now_s: UTC seconds.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``ek-…``, ``iak-…``, ``revocation-unknown``, ``attesting-key-unfit``.
    """
    request = parse_request(raw)
    ek, ak = parse_public(request.ek_public), parse_public(request.ak_public)
    spki = ek.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if request.certificate is not None:
        genuine = Genuine.EK_CERTIFICATE
        certificate = verify_ek_certificate(request.certificate, request.chain, vendors, now_s)
        if spki != certificate.key:
            raise PeerError(Reason.EK_CERTIFICATE_MISMATCH, "the EK certificate is of another endorsement key")
    elif request.iak is not None:
        genuine = Genuine.IAK_CERTIFICATE
        certificate = verify_iak(request.iak, ak.name, request.nonce, request.chain, vendors, now_s)
    else:
        raise PeerError(Reason.EK_CERTIFICATE_MISSING, "no EK certificate: nothing proves the TPM genuine")
    check_endorsement_key(ek)
    try:
        check_attestation_key(ak)
    except PeerError as error:
        if error.reason is not Reason.ATTESTING_KEY_MISMATCH:
            raise
        raise PeerError(Reason.ATTESTING_KEY_UNFIT, error.detail) from error
    return Candidate(
        ueid=ueid_from_key(spki),
        request=request_digest(raw),
        ek=ek,
        ak=ak,
        certificate=certificate,
        genuine=genuine,
        name=request.name,
    )


def check_standing(candidate: Candidate, device: Device | None, name_owner: Ueid | None) -> None:
    """Refuses whom an operator refused, and names that are bound otherwise.

    Args:
        candidate: who asks.
        device: what the registry knows of its UEID.
        name_owner: whose the name is that it asks for; None when nobody's.

    Raises:
        PeerError: ``enrolment-rejected``, ``attesting-key-revoked``, ``attester-decommissioned``, ``name-taken``.
    """
    who = ueid_text(candidate.ueid)
    standing = None if device is None else device.standing
    match standing:
        case Standing.REJECTED:
            raise PeerError(Reason.ENROLMENT_REJECTED, f"{who}: an operator rejected this device")
        case Standing.REVOKED:
            raise PeerError(Reason.ATTESTING_KEY_REVOKED, f"{who}: its key was revoked; an operator may readmit it")
        case Standing.DECOMMISSIONED:
            raise PeerError(Reason.ATTESTER_DECOMMISSIONED, f"{who}: decommissioned; an operator may readmit it")
        case Standing.ADMITTED | None:
            pass
    if name_owner is not None and name_owner != candidate.ueid:
        raise PeerError(Reason.NAME_TAKEN, f"{candidate.name!r} is the name of {ueid_text(name_owner)} for good")
    if device is not None and None not in (device.name, candidate.name) and device.name != candidate.name:
        raise PeerError(Reason.NAME_TAKEN, f"{who} is called {device.name!r} for good, not {candidate.name!r}")


def check_activation(
    activation: Activation, challenge: OpenChallenge | None, *, was_used: bool, now_s: int
) -> OpenChallenge:
    """Finds that the TPM with the endorsement key holds the attesting key: it opened the secret.

    Args:
        activation: what came.
        challenge: the open challenge that it names; None when there is none.
        was_used: whether such a challenge was answered before.
        now_s: UTC seconds.

    Raises:
        PeerError: ``activation-replayed``, ``activation-unsolicited``, ``challenge-expired``, ``activation-failed``.
    """
    if challenge is None and was_used:
        raise PeerError(Reason.ACTIVATION_REPLAYED, "this challenge was answered before; ask for another")
    if challenge is None or challenge.request != activation.request:
        raise PeerError(Reason.ACTIVATION_UNSOLICITED, "no such challenge is open for this request")
    if now_s > challenge.expires_s:
        raise PeerError(Reason.CHALLENGE_EXPIRED, f"the challenge ended {now_s - challenge.expires_s} s ago")
    if not hmac.compare_digest(proof_of(challenge.secret, challenge.request, challenge.digest), activation.proof):
        raise PeerError(Reason.ACTIVATION_FAILED, "not the secret: the attesting key is not in the TPM with this EK")
    return challenge
