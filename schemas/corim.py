"""The subset of signed CoRIM (draft-ietf-rats-corim-11) that endorsements and reference values need.

One CoRIM holds one CoMID: an identifier, a version that only grows, a validity period, and triples. What the triples
mean is for ``endorsement`` and ``reference_values``; this module knows the frame around them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from schemas import cbor, cose, media_types
from schemas.errors import PeerError
from schemas.fields import as_array, as_bytes, as_map, as_tag, as_text, as_uint
from schemas.limits import MAX_REFERENCE_VALUES_BYTES
from schemas.reasons import Reason

TAG_CORIM: Final = 501
TAG_COMID: Final = 506
TAG_UEID: Final = 550
TAG_PEM_KEY: Final = 554
TAG_BYTES: Final = 560
HEADER_CORIM_META: Final = 8
TRIPLES_REFERENCE: Final = 0
TRIPLES_ATTEST_KEY: Final = 3

_CORIM_ID, _CORIM_TAGS, _CORIM_VALIDITY = 0, 1, 4
_COMID_IDENTITY, _COMID_TRIPLES = 1, 4
_TAG_ID, _TAG_VERSION = 0, 1
_META_SIGNER, _SIGNER_NAME = 0, 0
_NOT_BEFORE, _NOT_AFTER = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One signed CoRIM with one CoMID.

    Attributes:
        identity: name of the manifest; versions of one identity replace each other.
        version: greater for later versions.
        signer: the signer's name, from the protected header.
        not_before_s: start of validity, UTC seconds.
        not_after_s: end of validity, UTC seconds.
        triples: the CoMID's triples map, as decoded.
    """

    identity: str
    version: int
    signer: str
    not_before_s: int
    not_after_s: int
    triples: Mapping[object, object]


def sign_manifest(manifest: Manifest, key: EllipticCurvePrivateKey) -> bytes:
    """The signed CoRIM: COSE_Sign1 over tag 501."""
    identity = {_TAG_ID: manifest.identity, _TAG_VERSION: manifest.version}
    comid = cbor.encode({_COMID_IDENTITY: identity, _COMID_TRIPLES: dict(manifest.triples)})
    validity = {
        _NOT_BEFORE: cbor.Tag(cbor.TAG_EPOCH_TIME, manifest.not_before_s),
        _NOT_AFTER: cbor.Tag(cbor.TAG_EPOCH_TIME, manifest.not_after_s),
    }
    corim = cbor.Tag(
        TAG_CORIM,
        {
            _CORIM_ID: f"{manifest.identity}/{manifest.version}",
            _CORIM_TAGS: [cbor.Tag(TAG_COMID, comid)],
            _CORIM_VALIDITY: validity,
        },
    )
    meta = cbor.encode({_META_SIGNER: {_SIGNER_NAME: manifest.signer}})
    headers = {cose.HEADER_CONTENT_TYPE: media_types.CORIM, HEADER_CORIM_META: meta}
    return cose.encode(cose.sign(cbor.encode(corim), key, headers))


def verify_manifest(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> Manifest:
    """Verifies the signature and parses the frame; validity is for the caller's clock to say.

    Args:
        raw: a signed CoRIM.
        keys: the trusted endorsers' keys by ``cose.key_id``.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``object-signature-invalid``.
    """
    sign1 = cose.parse(raw, "CoRIM", max_bytes=MAX_REFERENCE_VALUES_BYTES)
    expected = {cose.HEADER_CONTENT_TYPE: media_types.CORIM}
    payload = cose.verify(sign1, keys, expected, Reason.OBJECT_SIGNATURE_INVALID)
    decoded = cbor.decode(payload, "CoRIM", max_bytes=MAX_REFERENCE_VALUES_BYTES, authenticated=True)
    content = as_tag(decoded, TAG_CORIM, "CoRIM")
    corim = as_map(content, "CoRIM", required=(_CORIM_ID, _CORIM_TAGS, _CORIM_VALIDITY), optional=())
    as_text(corim[_CORIM_ID], "CoRIM id", limit=160)
    tags = as_array(corim[_CORIM_TAGS], "CoRIM tags", length=1)
    not_before_s, not_after_s = _parse_validity(corim[_CORIM_VALIDITY])
    comid_bytes = as_bytes(as_tag(tags[0], TAG_COMID, "CoMID"), "CoMID")
    comid = as_map(
        cbor.decode(comid_bytes, "CoMID", max_bytes=MAX_REFERENCE_VALUES_BYTES, authenticated=True),
        "CoMID",
        required=(_COMID_IDENTITY, _COMID_TRIPLES),
        optional=(),
    )
    identity = as_map(comid[_COMID_IDENTITY], "CoMID identity", required=(_TAG_ID, _TAG_VERSION), optional=())
    return Manifest(
        identity=as_text(identity[_TAG_ID], "CoMID id", limit=128),
        version=as_uint(identity[_TAG_VERSION], "CoMID version"),
        signer=_parse_signer(sign1),
        not_before_s=not_before_s,
        not_after_s=not_after_s,
        triples=as_map(comid[_COMID_TRIPLES], "CoMID triples"),
    )


def _parse_validity(value: object) -> tuple[int, int]:
    validity = as_map(value, "CoRIM validity", required=(_NOT_BEFORE, _NOT_AFTER), optional=())
    return (
        as_uint(as_tag(validity[_NOT_BEFORE], cbor.TAG_EPOCH_TIME, "CoRIM not-before"), "CoRIM not-before"),
        as_uint(as_tag(validity[_NOT_AFTER], cbor.TAG_EPOCH_TIME, "CoRIM not-after"), "CoRIM not-after"),
    )


def _parse_signer(sign1: cose.Sign1) -> str:
    raw = as_bytes(sign1.headers.get(HEADER_CORIM_META), "CoRIM meta")
    meta = as_map(cbor.decode(raw, "CoRIM meta"), "CoRIM meta", required=(_META_SIGNER,), optional=(1,))
    signer = as_map(meta[_META_SIGNER], "CoRIM signer", required=(_SIGNER_NAME,), optional=(1,))
    return as_text(signer[_SIGNER_NAME], "CoRIM signer name", limit=128)


def single_triple(manifest: Manifest, kind: int, field: str) -> tuple[Mapping[object, object], tuple[object, ...]]:
    """The environment map and the remaining items of the one triple of ``kind`` in a manifest.

    Raises:
        PeerError: ``malformed`` when there is none, or more than one, or another kind beside it.
    """
    triples = as_map(manifest.triples, f"{field} triples", required=(kind,), optional=())
    records = as_array(triples[kind], f"{field} triples", length=1)
    record = as_array(records[0], f"{field} triple", limit=3)
    if len(record) < 2:  # noqa: PLR2004 an environment and its measurements or keys
        raise PeerError(Reason.MALFORMED, f"{field}: the triple has {len(record)} item(s)")
    return as_map(record[0], f"{field} environment"), tuple(record[1:])
