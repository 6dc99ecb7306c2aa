"""Signed appraisal policies: a TOML text with a name, a version and a time in which it is in force.

``COSE_Sign1`` (ES256) by an endorser over deterministic CBOR ``{1: id, 2: version, 3: signer, 4: not before, 5: not
after, 6: TOML text}``. A new version replaces an old one. A version whose validity has ended withdraws the policy.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from schemas import media_types
from schemas.codecs import cbor, cose
from schemas.codecs.fields import as_map, as_text, as_uint
from schemas.errors import PeerError
from schemas.reasons import Reason
from schemas.topics import check_name

ALL_GROUPS: Final = "*"
MAX_POLICY_CHARACTERS: Final = 64 * 1024
_MAX_BYTES: Final = 4 * MAX_POLICY_CHARACTERS + 1024
_ID, _VERSION, _SIGNER, _NOT_BEFORE, _NOT_AFTER, _TEXT = 1, 2, 3, 4, 5, 6
_PROTECTED: Final = {cose.HEADER_TYPE: media_types.POLICY}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPolicy:
    """One version of one policy.

    Attributes:
        id: the policy's name, which is the last level of its topic.
        version: greater versions replace smaller ones.
        signer: the endorser's name.
        not_before_s: start of validity, UTC seconds.
        not_after_s: end of validity, UTC seconds.
        text: the TOML text as its author wrote it.
    """

    id: str
    version: int
    signer: str
    not_before_s: int
    not_after_s: int
    text: str


def sign_policy(policy: SignedPolicy, key: EllipticCurvePrivateKey) -> bytes:
    """Signs a policy."""
    payload = {
        _ID: policy.id,
        _VERSION: policy.version,
        _SIGNER: policy.signer,
        _NOT_BEFORE: policy.not_before_s,
        _NOT_AFTER: policy.not_after_s,
        _TEXT: policy.text,
    }
    return cose.encode(cose.sign(cbor.encode(payload), key, _PROTECTED))


def verify_policy(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> SignedPolicy:
    """Verifies the endorser's signature and parses. The trust store checks validity, version and text.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``object-signature-invalid``.
    """
    sign1 = cose.parse(raw, "policy", max_bytes=_MAX_BYTES)
    payload = cose.verify(sign1, keys, _PROTECTED, Reason.OBJECT_SIGNATURE_INVALID)
    required = (_ID, _VERSION, _SIGNER, _NOT_BEFORE, _NOT_AFTER, _TEXT)
    items = as_map(cbor.decode(payload, "policy", max_bytes=_MAX_BYTES), "policy", required=required, optional=())
    name = as_text(items[_ID], "policy id", limit=64)
    check_name(name)
    return SignedPolicy(
        id=name,
        version=as_uint(items[_VERSION], "policy version"),
        signer=as_text(items[_SIGNER], "policy signer", limit=128),
        not_before_s=as_uint(items[_NOT_BEFORE], "policy not-before"),
        not_after_s=as_uint(items[_NOT_AFTER], "policy not-after"),
        text=as_text(items[_TEXT], "policy text", limit=MAX_POLICY_CHARACTERS),
    )


def claimed_groups(text: str) -> tuple[str, ...]:
    """The groups that a policy's text claims; all groups if the text is not readable."""
    try:
        groups = tomllib.loads(text).get("groups", [ALL_GROUPS])
    except (tomllib.TOMLDecodeError, RecursionError):
        return (ALL_GROUPS,)
    return tuple(map(str, groups)) if isinstance(groups, list) else (ALL_GROUPS,)


def is_policy(raw: bytes) -> bool:
    """Whether the bytes claim to be a policy. Their signature is not verified."""
    try:
        return cose.parse(raw, "object", max_bytes=_MAX_BYTES).headers.get(cose.HEADER_TYPE) == media_types.POLICY
    except PeerError:
        return False
