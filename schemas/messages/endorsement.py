"""Endorsements: the endorser vouches that an attesting key lives in the TPM of one attester.

A signed CoRIM with one attest-key triple: instance = UEID, keys = the AK as a PEM SubjectPublicKeyInfo (for any CoRIM
tool) and as TPMT_PUBLIC (so that the verifier sees the key's attributes and computes its TPM name itself). A new
version replaces an old one. To revoke a key, the endorser publishes a version whose validity has ended.

Two statements are optional: ``genuine``, an endorsed triple about the same environment, states how the key was proven
to be in a manufacturer's TPM; ``group`` is the environment's group.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.codecs import cbor
from schemas.codecs.fields import as_array, as_bytes, as_map, as_tag, as_text
from schemas.errors import PeerError
from schemas.identifiers import Ueid, parse_ueid, ueid_text
from schemas.messages import corim
from schemas.reasons import Reason
from schemas.tpm.public import TpmPublic, check_attestation_key, parse_public

_ENVIRONMENT_INSTANCE = 1
_ENVIRONMENT_GROUP = 2
_TRIPLES_ENDORSED: Final = 1
_MEASUREMENT_KEY, _MEASUREMENT_VALUE = 0, 1
_VALUE_NAME: Final = 11  # measurement-values-map, name
_GENUINE: Final = "genuine"
MAX_GROUP_BYTES: Final = 64


class Genuine(StrEnum):
    """How the endorser knows that the attesting key lives in a TPM of a known manufacturer."""

    EK_CERTIFICATE = "ek-certificate"
    """Activated with the endorsement key of the manufacturer's certificate."""
    IAK_CERTIFICATE = "iak-certificate"
    """Certified by an initial attestation key with its own certificate (TCG, IEEE 802.1AR)."""


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
        genuine: how the key was proven to be in a genuine TPM; None when the endorser did not look.
        group: a name that the operator gives to attesters that belong together; at most 64 bytes of UTF-8.
    """

    ueid: Ueid
    attesting_key: TpmPublic
    version: int
    signer: str
    not_before_s: int
    not_after_s: int
    genuine: Genuine | None = None
    group: str | None = None

    def is_valid(self, now_s: int) -> bool:
        """Whether it is valid at a time, UTC seconds."""
        return self.not_before_s <= now_s <= self.not_after_s


def identity_of(ueid: Ueid) -> str:
    """The CoMID tag id of an attester's endorsement."""
    return f"attestream.endorsement.{ueid_text(ueid)}"


def sign_endorsement(endorsement: Endorsement, raw_public: bytes, key: EllipticCurvePrivateKey) -> bytes:
    """Signs an endorsement.

    Args:
        endorsement: to sign.
        raw_public: the AK's TPMT_PUBLIC, the bytes that ``endorsement.attesting_key`` was parsed from.
        key: the endorser's key.
    """
    keys = [cbor.Tag(corim.TAG_PEM_KEY, _pem(endorsement.attesting_key)), cbor.Tag(corim.TAG_BYTES, raw_public)]
    environment: dict[int, object] = {_ENVIRONMENT_INSTANCE: cbor.Tag(corim.TAG_UEID, endorsement.ueid)}
    if endorsement.group is not None:
        environment[_ENVIRONMENT_GROUP] = cbor.Tag(corim.TAG_BYTES, endorsement.group.encode())
    triples: dict[object, object] = {corim.TRIPLES_ATTEST_KEY: [[environment, keys]]}
    if endorsement.genuine is not None:
        proven = {_MEASUREMENT_KEY: _GENUINE, _MEASUREMENT_VALUE: {_VALUE_NAME: str(endorsement.genuine)}}
        triples[_TRIPLES_ENDORSED] = [[environment, [proven]]]
    manifest = corim.Manifest(
        identity=identity_of(endorsement.ueid),
        version=endorsement.version,
        signer=endorsement.signer,
        not_before_s=endorsement.not_before_s,
        not_after_s=endorsement.not_after_s,
        triples=triples,
    )
    return corim.sign_manifest(manifest, key)


def verify_endorsement(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> Endorsement:
    """Verifies the endorser's signature and parses. The trust store checks validity and version.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``object-signature-invalid``, or the reason that
            ``check_attestation_key`` raises for a key that is not an attestation key.
    """
    manifest = corim.verify_manifest(raw, keys)
    environment, rest = _one_triple(manifest, corim.TRIPLES_ATTEST_KEY)
    ueid, group = _parse_environment(environment)
    if manifest.identity != identity_of(ueid):
        raise PeerError(Reason.MALFORMED, "endorsement: the CoMID id does not name the UEID")
    pem, public = as_array(rest[0], "endorsement keys", length=2)
    attesting_key = parse_public(as_bytes(as_tag(public, corim.TAG_BYTES, "endorsement key"), "endorsement key"))
    check_attestation_key(attesting_key)
    if as_tag(pem, corim.TAG_PEM_KEY, "endorsement PEM") != _pem(attesting_key):
        raise PeerError(Reason.MALFORMED, "endorsement: the PEM key is not the TPM key")
    return Endorsement(
        ueid=ueid,
        attesting_key=attesting_key,
        version=manifest.version,
        signer=manifest.signer,
        not_before_s=manifest.not_before_s,
        not_after_s=manifest.not_after_s,
        genuine=_parse_genuine(manifest, environment),
        group=group,
    )


def _one_triple(manifest: corim.Manifest, kind: int) -> tuple[Mapping[object, object], tuple[object, ...]]:
    """The one triple of ``kind``. An endorsement may also hold a triple of the other kind."""
    triples = as_map(
        manifest.triples, "endorsement triples", required=(corim.TRIPLES_ATTEST_KEY,), optional=(_TRIPLES_ENDORSED,)
    )
    alone = dataclasses.replace(manifest, triples={kind: triples.get(kind)})
    return corim.single_triple(alone, kind, "endorsement")


def _parse_environment(environment: Mapping[object, object]) -> tuple[Ueid, str | None]:
    items = as_map(
        environment, "endorsement environment", required=(_ENVIRONMENT_INSTANCE,), optional=(_ENVIRONMENT_GROUP,)
    )
    ueid_bytes = as_tag(items[_ENVIRONMENT_INSTANCE], corim.TAG_UEID, "endorsement instance")
    ueid = parse_ueid(as_bytes(ueid_bytes, "endorsement ueid"))
    if _ENVIRONMENT_GROUP not in items:
        return ueid, None
    raw = as_bytes(
        as_tag(items[_ENVIRONMENT_GROUP], corim.TAG_BYTES, "endorsement group"),
        "endorsement group",
        limit=MAX_GROUP_BYTES,
    )
    try:
        return ueid, raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PeerError(Reason.MALFORMED, "endorsement group: not UTF-8") from error


def _parse_genuine(manifest: corim.Manifest, environment: Mapping[object, object]) -> Genuine | None:
    if _TRIPLES_ENDORSED not in manifest.triples:
        return None
    endorsed, rest = _one_triple(manifest, _TRIPLES_ENDORSED)
    if endorsed != environment:
        raise PeerError(Reason.MALFORMED, "endorsement: the triples are about two environments")
    field = "endorsement measurement"
    measurement = as_map(
        as_array(rest[0], field, length=1)[0], field, required=(_MEASUREMENT_KEY, _MEASUREMENT_VALUE), optional=()
    )
    if measurement[_MEASUREMENT_KEY] != _GENUINE:
        raise PeerError(Reason.MALFORMED, f"{field}: expected {_GENUINE!r}")
    value = as_map(measurement[_MEASUREMENT_VALUE], field, required=(_VALUE_NAME,), optional=())
    text = as_text(value[_VALUE_NAME], field, limit=64)
    try:
        return Genuine(text)
    except ValueError as error:
        raise PeerError(Reason.MALFORMED, f"{field}: {text!r}, expected one of {', '.join(Genuine)}") from error


def _pem(public: TpmPublic) -> str:
    return public.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
