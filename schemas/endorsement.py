"""Endorsements: the endorser vouches that an attesting key lives in the TPM of one attester.

A signed CoRIM with one attest-key triple: instance = UEID, keys = the AK as a PEM SubjectPublicKeyInfo (for any CoRIM
tool) and as TPMT_PUBLIC (so that the verifier sees the key's attributes and computes its TPM name itself). A new
version replaces an old one; revocation is a version that is no longer valid.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas import cbor, corim
from schemas.errors import PeerError
from schemas.fields import as_array, as_bytes, as_map, as_tag, as_text
from schemas.identifiers import Ueid, parse_ueid, ueid_text
from schemas.reasons import Reason
from schemas.tpm_public import TpmPublic, check_attestation_key, parse_public

_ENVIRONMENT_INSTANCE = 1
_MAX_PEM_CHARACTERS = 4096
_MAX_PUBLIC_BYTES = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Endorsement:
    """One attesting key of one attester.

    Attributes:
        ueid: the attester.
        attesting_key: the AK's public area; restricted, signing, fixed to its TPM (checked).
        version: greater versions replace smaller ones.
        signer: the endorser's name.
        not_before_s: start of validity, UTC seconds.
        not_after_s: end of validity, UTC seconds.
    """

    ueid: Ueid
    attesting_key: TpmPublic
    version: int
    signer: str
    not_before_s: int
    not_after_s: int
    group: str = ""


def identity_of(ueid: Ueid) -> str:
    """The CoMID tag id of an attester's endorsement."""
    return f"attestream.endorsement.{ueid_text(ueid)}"


def sign_endorsement(endorsement: Endorsement, raw_public: bytes, key: EllipticCurvePrivateKey) -> bytes:
    """Signs an endorsement.

    Args:
        endorsement: what is vouched for.
        raw_public: the AK's TPMT_PUBLIC, the bytes that ``endorsement.attesting_key`` was parsed from.
        key: the endorser's key.
    """
    keys = [cbor.Tag(corim.TAG_PEM_KEY, _pem(endorsement.attesting_key)), cbor.Tag(corim.TAG_BYTES, raw_public)]
    environment = {_ENVIRONMENT_INSTANCE: cbor.Tag(corim.TAG_UEID, endorsement.ueid)}
    manifest = corim.Manifest(
        identity=identity_of(endorsement.ueid),
        version=endorsement.version,
        signer=endorsement.signer,
        not_before_s=endorsement.not_before_s,
        not_after_s=endorsement.not_after_s,
        triples={corim.TRIPLES_ATTEST_KEY: [[environment, keys]]},
    )
    return corim.sign_manifest(manifest, key)


def verify_endorsement(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> Endorsement:
    """Verifies the endorser's signature and parses; validity and version are for the trust store to judge.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``object-signature-invalid``, or what
            ``tpm_public.check_attestation_key`` raises for a key that is not an attestation key.
    """
    manifest = corim.verify_manifest(raw, keys)
    environment, rest = corim.single_triple(manifest, corim.TRIPLES_ATTEST_KEY, "endorsement")
    instance = as_map(environment, "endorsement environment", required=(_ENVIRONMENT_INSTANCE,), optional=())
    ueid_bytes = as_tag(instance[_ENVIRONMENT_INSTANCE], corim.TAG_UEID, "endorsement instance")
    ueid = parse_ueid(as_bytes(ueid_bytes, "endorsement ueid"))
    if manifest.identity != identity_of(ueid):
        raise PeerError(Reason.MALFORMED, "endorsement: the CoMID id is not that of the UEID")
    pem, public = as_array(rest[0], "endorsement keys", length=2)
    raw_public = as_bytes(
        as_tag(public, corim.TAG_BYTES, "endorsement key"), "endorsement key", limit=_MAX_PUBLIC_BYTES
    )
    attesting_key = parse_public(raw_public)
    check_attestation_key(attesting_key)
    pem_text = as_text(as_tag(pem, corim.TAG_PEM_KEY, "endorsement PEM"), "endorsement PEM", limit=_MAX_PEM_CHARACTERS)
    if pem_text != _pem(attesting_key):
        raise PeerError(Reason.MALFORMED, "endorsement: the PEM key is not the TPM key")
    return Endorsement(
        ueid=ueid,
        attesting_key=attesting_key,
        version=manifest.version,
        signer=manifest.signer,
        not_before_s=manifest.not_before_s,
        not_after_s=manifest.not_after_s,
    )


def _pem(public: TpmPublic) -> str:
    return public.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
