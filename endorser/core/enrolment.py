"""The endorser's decisions in enrolment. Pure.

:func:`examine` verifies a request. :func:`check_standing` compares it with the registry. :func:`check_activation` is
the only place that establishes that an attesting key is in a certain TPM. The UEID is computed from the endorsement
key, never taken from a message.
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
    """The last decision about a device, by an operator or an operator's rule."""

    ADMITTED = "admitted"
    REJECTED = "rejected"
    REVOKED = "revoked"
    DECOMMISSIONED = "decommissioned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A verified request: its TPM is genuine, and its attesting key is of the right kind.

    Only the activation proves that both are in one TPM.
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
        ueid: computed from its endorsement key, so permanent.
        standing: whether it may have an endorsement.
        name: permanent; None if it never had one.
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
    """A challenge that waits for its activation, with the request that it answers."""

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
        version: greater than all earlier ones.
        ak_name, ak_public: the attesting key.
        genuine: how the TPM was proven genuine.
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
    """One decision about a device, for the record."""

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
    """The devices to endorse without asking an operator; empty means none.

    Attributes:
        roots: names of vendor roots.
        certificates: serial numbers of EK certificates, hexadecimal, under any root.
        keys: SHA-256 of endorsement keys' SubjectPublicKeyInfo, hexadecimal.
    """

    roots: Collection[str] = ()
    certificates: Collection[str] = ()
    keys: Collection[str] = ()

    def reason_for(self, candidate: Candidate) -> str | None:
        """The part of the rule that approves the candidate, for the record; None if no part does."""
        digest = candidate.ueid[1:].hex()
        if digest in self.keys:
            return f"rule: EK {digest[:16]}"
        if candidate.certificate.serial in self.certificates:
            return f"rule: EK certificate {candidate.certificate.serial}"
        if candidate.certificate.root in self.roots:
            return f"rule: root {candidate.certificate.root}"
        return None


def examine(raw: bytes, vendors: Vendors, now_s: int) -> Candidate:
    """Verifies a request.

    1. It parses.
    2. The EK certificate is valid (:func:`endorser.core.ek_certificate.verify_ek_certificate`) and is for the
       endorsement key of the request. Without an EK certificate, an IAK certifies the attesting key
       (:func:`endorser.core.iak_certificate.verify_iak`).
    3. The endorsement key has the TCG's template.
    4. The attesting key signs only data that its TPM made, and never leaves the TPM.

    Args:
        raw: value of the CMW record.
        vendors: trusted roots.
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
            raise PeerError(Reason.EK_CERTIFICATE_MISMATCH, "the EK certificate is for another endorsement key")
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
    """Refuses devices that an operator refused, and names that belong to another device.

    Args:
        candidate: the verified request.
        device: the registry's entry for its UEID.
        name_owner: device that has the requested name; None if none has.

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
        raise PeerError(Reason.NAME_TAKEN, f"{candidate.name!r} is permanently the name of {ueid_text(name_owner)}")
    if device is not None and None not in (device.name, candidate.name) and device.name != candidate.name:
        raise PeerError(Reason.NAME_TAKEN, f"{who} permanently has the name {device.name!r}, not {candidate.name!r}")


def check_activation(
    activation: Activation, challenge: OpenChallenge | None, *, was_used: bool, now_s: int
) -> OpenChallenge:
    """Verifies that the TPM with the endorsement key holds the attesting key: the device knows the sealed secret.

    Args:
        activation: from the device.
        challenge: the open challenge that it names; None if there is none.
        was_used: whether that challenge was answered before.
        now_s: UTC seconds.

    Raises:
        PeerError: ``activation-replayed``, ``activation-unsolicited``, ``challenge-expired``, ``activation-failed``.
    """
    if challenge is None and was_used:
        raise PeerError(Reason.ACTIVATION_REPLAYED, "this challenge was answered before; ask for another")
    if challenge is None or challenge.request != activation.request:
        raise PeerError(Reason.ACTIVATION_UNSOLICITED, "no such challenge is open for this request")
    if now_s > challenge.expires_s:
        raise PeerError(Reason.CHALLENGE_EXPIRED, f"the challenge expired {now_s - challenge.expires_s} s ago")
    if not hmac.compare_digest(proof_of(challenge.secret, challenge.request, challenge.digest), activation.proof):
        raise PeerError(Reason.ACTIVATION_FAILED, "wrong secret: the attesting key is not in the TPM with this EK")
    return challenge
