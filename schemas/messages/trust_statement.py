"""Statements of what is current: an endorser signs, again and again, which trust objects are in force.

They do the work of the snapshot and timestamp roles of The Update Framework (TUF 1.0, 5.3 and 5.4). An attacker who
holds messages back could otherwise keep an old endorsement, policy or set of reference values in force.

``COSE_Sign1`` (ES256) by an endorser over deterministic CBOR ``{1: issuer, 2: number, 3: issued, 4: not after, 5:
policies, 6: groups, 7: reference values, 8: withdrawn}``. Policies and sets map a name to ``[version, SHA-256 of the
signed object]``; groups map the name of a group to the id of its policy; withdrawn is an array of ``[UEID, least
version, standing, since, by]``. A statement lists all policies and sets that are in force, and all endorsements that
were withdrawn before their end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from schemas import media_types
from schemas.codecs import cbor, cose
from schemas.codecs.fields import as_array, as_bytes, as_map, as_text, as_uint
from schemas.errors import PeerError
from schemas.identifiers import Ueid, parse_ueid
from schemas.limits import MAX_REFERENCE_VALUES_BYTES
from schemas.reasons import Reason
from schemas.topics import check_name

MAX_BY_CHARACTERS: Final = 64
MAX_TIME_S: Final = 253_402_300_799  # the end of the year 9999
MAX_LISTED: Final = 4096  # policies, sets and groups, each
_MAX_GROUP_CHARACTERS: Final = 64
_SHA256_BYTES: Final = 32
_ISSUER, _NUMBER, _ISSUED, _NOT_AFTER, _POLICIES, _GROUPS, _REFERENCE_VALUES, _WITHDRAWN = range(1, 9)
_PROTECTED: Final = {cose.HEADER_TYPE: media_types.STATEMENT}
_FIELD: Final = "statement"


class Withdrawn(StrEnum):
    """Why an endorsement is not in force any more."""

    REVOKED = "revoked"
    """Its key must not be trusted."""
    DECOMMISSIONED = "decommissioned"
    """The device is out of service."""
    REPLACED = "replaced"
    """A later version has another key or another group."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A policy or a set that is in force.

    Attributes:
        version: of the object.
        digest: SHA-256 of the signed object.
    """

    version: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """Endorsements of one attester that are not in force any more.

    Attributes:
        below: versions less than this one are withdrawn.
        standing: why.
        at_s: since when, UTC seconds.
        by: who decided it; for people.
    """

    below: int
    standing: Withdrawn
    at_s: int
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustStatement:
    """What one endorser states to be in force.

    Attributes:
        issuer: the endorser's name, for people.
        number: greater numbers replace smaller ones.
        issued_s: UTC seconds.
        not_after_s: its end, UTC seconds.
        policies: by id.
        groups: the id of each group's policy; ``*`` is every other group.
        reference_values: by the name of the set.
        withdrawn: by attester.
        key_id: of the key that signed it, in hexadecimal the last level of its topic; empty before it is signed.
    """

    issuer: str
    number: int
    issued_s: int
    not_after_s: int
    policies: Mapping[str, Listed] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    reference_values: Mapping[str, Listed] = field(default_factory=dict)
    withdrawn: Mapping[Ueid, Withdrawal] = field(default_factory=dict)
    key_id: bytes = b""


def sign_statement(statement: TrustStatement, key: EllipticCurvePrivateKey) -> bytes:
    """Signs a statement."""
    payload: dict[int, object] = {
        _ISSUER: statement.issuer,
        _NUMBER: statement.number,
        _ISSUED: statement.issued_s,
        _NOT_AFTER: statement.not_after_s,
        _POLICIES: {name: [each.version, each.digest] for name, each in statement.policies.items()},
        _GROUPS: dict(statement.groups),
        _REFERENCE_VALUES: {name: [each.version, each.digest] for name, each in statement.reference_values.items()},
        _WITHDRAWN: [
            [ueid, each.below, str(each.standing), each.at_s, each.by]
            for ueid, each in sorted(statement.withdrawn.items())
        ],
    }
    return cose.encode(cose.sign(cbor.encode(payload), key, _PROTECTED))


def verify_statement(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> TrustStatement:
    """Verifies the endorser's signature and parses. The trust store checks number and end.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``object-signature-invalid``.
    """
    sign1 = cose.parse(raw, _FIELD, max_bytes=MAX_REFERENCE_VALUES_BYTES)
    payload = cose.verify(sign1, keys, _PROTECTED, Reason.OBJECT_SIGNATURE_INVALID)
    decoded = cbor.decode(payload, _FIELD, max_bytes=MAX_REFERENCE_VALUES_BYTES, authenticated=True)
    items = as_map(decoded, _FIELD, required=tuple(range(_ISSUER, _WITHDRAWN + 1)), optional=())
    policies = _listed(items[_POLICIES], "statement policies")
    groups = {
        as_text(group, "statement group", limit=_MAX_GROUP_CHARACTERS): as_text(policy, "statement group", limit=64)
        for group, policy in _few(items[_GROUPS], "statement groups").items()
    }
    unlisted = sorted(set(groups.values()) - policies.keys())
    if unlisted:
        raise PeerError(Reason.MALFORMED, f"statement groups: policy {unlisted[0]} is not listed")
    return TrustStatement(
        issuer=as_text(items[_ISSUER], "statement issuer", limit=128),
        number=as_uint(items[_NUMBER], "statement number"),
        issued_s=_time(items[_ISSUED], "statement issued"),
        not_after_s=_time(items[_NOT_AFTER], "statement not-after"),
        policies=policies,
        groups=groups,
        reference_values=_listed(items[_REFERENCE_VALUES], "statement reference values"),
        withdrawn=dict(map(_withdrawal, as_array(items[_WITHDRAWN], "statement withdrawn"))),
        key_id=sign1.key_id,
    )


def is_statement(raw: bytes) -> bool:
    """Whether the bytes claim to be a statement. Their signature is not verified."""
    try:
        sign1 = cose.parse(raw, "object", max_bytes=MAX_REFERENCE_VALUES_BYTES)
    except PeerError:
        return False
    return sign1.headers.get(cose.HEADER_TYPE) == media_types.STATEMENT


def _few(item: object, name: str) -> Mapping[object, object]:
    items = as_map(item, name)
    if len(items) > MAX_LISTED:
        raise PeerError(Reason.TOO_LARGE, f"{name}: {len(items)}, the limit is {MAX_LISTED}")
    return items


def _listed(item: object, name: str) -> dict[str, Listed]:
    listed = {}
    for key, value in _few(item, name).items():
        version, digest = as_array(value, name, length=2)
        listed[check_name(as_text(key, name, limit=64))] = Listed(
            as_uint(version, name), as_bytes(digest, name, size=_SHA256_BYTES)
        )
    return listed


def _time(item: object, name: str) -> int:
    """UTC seconds that every calendar has."""
    seconds = as_uint(item, name)
    if seconds > MAX_TIME_S:
        raise PeerError(Reason.MALFORMED, f"{name}: {seconds} s, the limit is {MAX_TIME_S}")
    return seconds


def _withdrawal(item: object) -> tuple[Ueid, Withdrawal]:
    name = "statement withdrawn"
    ueid, below, standing, at_s, by = as_array(item, name, length=5)
    text = as_text(standing, name, limit=32)
    if text not in set(Withdrawn):
        raise PeerError(Reason.MALFORMED, f"{name}: {text!r}, expected one of {', '.join(Withdrawn)}")
    return parse_ueid(as_bytes(ueid, name)), Withdrawal(
        below=as_uint(below, name),
        standing=Withdrawn(text),
        at_s=_time(at_s, name),
        by=as_text(by, name, limit=4 * MAX_BY_CHARACTERS),
    )
