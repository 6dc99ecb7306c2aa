"""The subset of signed CoRIM (draft-ietf-rats-corim-11) that endorsements and reference values need.

One CoRIM holds one CoMID: an identifier, a version that only grows, a validity period, and triples. This module parses
the frame; ``endorsement`` and ``reference_values`` parse the triples. A set of reference values may hold a second CoMID
with *outgoing* values, which are acceptable until a time of their own. That time is an extension of the CoMID map, so
such a CoRIM names a profile (draft, 4.1.4): a reader that does not know the profile must not use the CoRIM.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from schemas import media_types
from schemas.codecs import cbor, cose
from schemas.codecs.fields import as_array, as_bytes, as_map, as_tag, as_text, as_uint
from schemas.errors import PeerError
from schemas.limits import MAX_REFERENCE_VALUES_BYTES
from schemas.reasons import Reason

PROFILE_OUTGOING: Final = "tag:attestream,2026:corim/outgoing"
TAG_URI: Final = 32  # RFC 8949, 3.4.5.3
TAG_CORIM: Final = 501
TAG_COMID: Final = 506
TAG_UEID: Final = 550
TAG_PEM_KEY: Final = 554
TAG_BYTES: Final = 560
HEADER_CORIM_META: Final = 8
TRIPLES_REFERENCE: Final = 0
TRIPLES_ATTEST_KEY: Final = 3

_CORIM_ID, _CORIM_TAGS, _CORIM_PROFILE, _CORIM_VALIDITY = 0, 1, 3, 4
_COMID_IDENTITY, _COMID_TRIPLES = 1, 4
COMID_UNTIL: Final = -70110  # defined by PROFILE_OUTGOING
_MOST_COMIDS: Final = 2
_TAG_ID, _TAG_VERSION = 0, 1
_META_SIGNER, _SIGNER_NAME = 0, 0
_NOT_BEFORE, _NOT_AFTER = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingTriples:
    """The second CoMID: triples that are acceptable until ``until_s``, UTC seconds."""

    until_s: int
    triples: Mapping[object, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One signed CoRIM with one CoMID, or two.

    Attributes:
        identity: name of the manifest; versions of one identity replace each other.
        version: greater for later versions.
        signer: the signer's name, from the protected header.
        not_before_s: start of validity, UTC seconds.
        not_after_s: end of validity, UTC seconds.
        triples: the CoMID's triples map, as decoded.
        outgoing: the second CoMID; None without one.
    """

    identity: str
    version: int
    signer: str
    not_before_s: int
    not_after_s: int
    triples: Mapping[object, object]
    outgoing: OutgoingTriples | None = field(default=None)


def sign_manifest(manifest: Manifest, key: EllipticCurvePrivateKey) -> bytes:
    """The signed CoRIM: COSE_Sign1 over tag 501."""
    identity = {_TAG_ID: manifest.identity, _TAG_VERSION: manifest.version}
    comids = [cbor.encode({_COMID_IDENTITY: identity, _COMID_TRIPLES: dict(manifest.triples)})]
    content: dict[int, object] = {
        _CORIM_ID: f"{manifest.identity}/{manifest.version}",
        _CORIM_VALIDITY: {_NOT_BEFORE: _time(manifest.not_before_s), _NOT_AFTER: _time(manifest.not_after_s)},
    }
    if manifest.outgoing is not None:
        content[_CORIM_PROFILE] = cbor.Tag(TAG_URI, PROFILE_OUTGOING)
        outgoing = {
            _COMID_IDENTITY: {**identity, _TAG_ID: _outgoing_identity(manifest.identity)},
            _COMID_TRIPLES: dict(manifest.outgoing.triples),
            COMID_UNTIL: _time(manifest.outgoing.until_s),
        }
        comids.append(cbor.encode(outgoing))
    content[_CORIM_TAGS] = [cbor.Tag(TAG_COMID, comid) for comid in comids]
    corim = cbor.Tag(TAG_CORIM, content)
    meta = cbor.encode({_META_SIGNER: {_SIGNER_NAME: manifest.signer}})
    headers = {cose.HEADER_CONTENT_TYPE: media_types.CORIM, HEADER_CORIM_META: meta}
    return cose.encode(cose.sign(cbor.encode(corim), key, headers))


def verify_manifest(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> Manifest:
    """Verifies the signature and parses the frame. The caller checks the validity period.

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
    corim = as_map(content, "CoRIM", required=(_CORIM_ID, _CORIM_TAGS, _CORIM_VALIDITY), optional=(_CORIM_PROFILE,))
    as_text(corim[_CORIM_ID], "CoRIM id", limit=160)
    tags = as_array(corim[_CORIM_TAGS], "CoRIM tags")
    if len(tags) != (_MOST_COMIDS if _has_outgoing(corim) else 1):
        raise PeerError(Reason.MALFORMED, f"CoRIM: {len(tags)} CoMIDs; one, or two with the profile of outgoing values")
    not_before_s, not_after_s = _parse_validity(corim[_CORIM_VALIDITY])
    name, version, comid = _parse_comid(tags[0], optional=())
    return Manifest(
        identity=name,
        version=version,
        signer=_parse_signer(sign1),
        not_before_s=not_before_s,
        not_after_s=not_after_s,
        triples=as_map(comid[_COMID_TRIPLES], "CoMID triples"),
        outgoing=_parse_outgoing(tags[1], name, version) if len(tags) == _MOST_COMIDS else None,
    )


def _has_outgoing(corim: Mapping[object, object]) -> bool:
    """Whether the CoRIM names the profile of outgoing values. Any other profile is unknown here.

    Raises:
        PeerError: ``malformed``.
    """
    if _CORIM_PROFILE not in corim:
        return False
    if as_tag(corim[_CORIM_PROFILE], TAG_URI, "CoRIM profile") != PROFILE_OUTGOING:
        raise PeerError(Reason.MALFORMED, "CoRIM: unknown profile")
    return True


def _parse_comid(tag: object, *, optional: tuple[int, ...]) -> tuple[str, int, Mapping[object, object]]:
    """Identity and version of a CoMID, and its map."""
    raw = as_bytes(as_tag(tag, TAG_COMID, "CoMID"), "CoMID")
    comid = as_map(
        cbor.decode(raw, "CoMID", max_bytes=MAX_REFERENCE_VALUES_BYTES, authenticated=True),
        "CoMID",
        required=(_COMID_IDENTITY, _COMID_TRIPLES, *optional),
        optional=(),
    )
    identity = as_map(comid[_COMID_IDENTITY], "CoMID identity", required=(_TAG_ID, _TAG_VERSION), optional=())
    name = as_text(identity[_TAG_ID], "CoMID id", limit=128)
    return name, as_uint(identity[_TAG_VERSION], "CoMID version"), comid


def _parse_outgoing(tag: object, identity: str, version: int) -> OutgoingTriples:
    name, its_version, comid = _parse_comid(tag, optional=(COMID_UNTIL,))
    if (name, its_version) != (_outgoing_identity(identity), version):
        raise PeerError(Reason.MALFORMED, "CoRIM: its two CoMIDs do not belong together")
    return OutgoingTriples(
        until_s=_parse_time(comid[COMID_UNTIL], "CoMID until"),
        triples=as_map(comid[_COMID_TRIPLES], "CoMID triples"),
    )


def _outgoing_identity(identity: str) -> str:
    return f"{identity}.outgoing"


def _time(seconds: int) -> cbor.Tag:
    return cbor.Tag(cbor.TAG_EPOCH_TIME, seconds)


def _parse_time(value: object, name: str) -> int:
    return as_uint(as_tag(value, cbor.TAG_EPOCH_TIME, name), name)


def _parse_validity(value: object) -> tuple[int, int]:
    validity = as_map(value, "CoRIM validity", required=(_NOT_BEFORE, _NOT_AFTER), optional=())
    return (
        _parse_time(validity[_NOT_BEFORE], "CoRIM not-before"),
        _parse_time(validity[_NOT_AFTER], "CoRIM not-after"),
    )


def _parse_signer(sign1: cose.Sign1) -> str:
    raw = as_bytes(sign1.headers.get(HEADER_CORIM_META), "CoRIM meta")
    meta = as_map(cbor.decode(raw, "CoRIM meta"), "CoRIM meta", required=(_META_SIGNER,), optional=(1,))
    signer = as_map(meta[_META_SIGNER], "CoRIM signer", required=(_SIGNER_NAME,), optional=(1,))
    return as_text(signer[_SIGNER_NAME], "CoRIM signer name", limit=128)


def single_triple(manifest: Manifest, kind: int, field: str) -> tuple[Mapping[object, object], tuple[object, ...]]:
    """The environment map and the remaining items of the one triple of ``kind`` in a manifest.

    Raises:
        PeerError: ``malformed`` for no triple, more than one, or a triple of another kind.
    """
    if manifest.outgoing is not None:
        raise PeerError(Reason.MALFORMED, f"{field}: with outgoing values")
    triples = as_map(manifest.triples, f"{field} triples", required=(kind,), optional=())
    as_array(triples[kind], f"{field} triples", length=1)
    ((environment, rest),) = all_triples(manifest.triples, kind, field)
    return environment, rest


def all_triples(
    triples: Mapping[object, object], kind: int, field: str
) -> list[tuple[Mapping[object, object], tuple[object, ...]]]:
    """The environment map and the remaining items of each triple. All triples must be of ``kind``.

    Raises:
        PeerError: ``malformed`` for no triple, or a triple of another kind.
    """
    records = as_array(as_map(triples, f"{field} triples", required=(kind,), optional=())[kind], f"{field} triples")
    if not records:
        raise PeerError(Reason.MALFORMED, f"{field}: no triple")
    split = []
    for item in records:
        record = as_array(item, f"{field} triple", limit=3)
        if len(record) < 2:  # noqa: PLR2004 an environment and its measurements or keys
            raise PeerError(Reason.MALFORMED, f"{field}: the triple has {len(record)} item(s)")
        split.append((as_map(record[0], f"{field} environment"), tuple(record[1:])))
    return split
