"""The kinds of trust objects: signed objects that a verifier judges evidence by. One row a kind.

A kind has one name, :class:`~schemas.topics.TopicKind`: it is in the topic, in the audit log and in a verifier's
database.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from schemas import media_types
from schemas.codecs import cmw, cose
from schemas.errors import PeerError
from schemas.identifiers import ueid_text
from schemas.limits import MAX_MESSAGE_BYTES, MAX_REFERENCE_VALUES_BYTES
from schemas.media_types import Indicator
from schemas.messages.endorsement import Endorsement, verify_endorsement
from schemas.messages.handle import Handle, StampVerifier, verify_handle
from schemas.messages.key_scope import EVERYTHING, KeyScope
from schemas.messages.policy import ALL_GROUPS, SignedPolicy, claimed_groups, verify_policy
from schemas.messages.reference_values import ReferenceValues, verify_reference_values
from schemas.messages.trust_statement import TrustStatement, verify_statement
from schemas.reasons import Reason
from schemas.topics import TopicKind, Topics

TrustObject: TypeAlias = Handle | Endorsement | ReferenceValues | SignedPolicy | TrustStatement


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedSigners:
    """Whose signatures are valid.

    Attributes:
        endorsers: endorsers' keys by ``cose.key_id``; they sign all objects but handles.
        distributors: distributors' keys, likewise; they sign handles.
        stamps: verifies the time-stamp tokens of handles.
        scopes: of endorsers' keys, likewise; a key without one may sign everything.
    """

    endorsers: Mapping[bytes, EllipticCurvePublicKey]
    distributors: Mapping[bytes, EllipticCurvePublicKey]
    stamps: StampVerifier
    scopes: Mapping[bytes, KeyScope] = field(default_factory=dict)

    def scope_of(self, key_id: bytes) -> KeyScope:
        """The scope of an endorser's key."""
        return self.scopes.get(key_id, EVERYTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustObjectKind:
    """One kind of trust object.

    Attributes:
        name: the kind.
        media_type: of its messages.
        indicator: of its messages.
        max_bytes: limit on one message.
        verify: verifies the signatures of an object and parses it; raises a ``PeerError`` if it is refused.
        expires: it is forgotten some time after its end. Objects of the other kinds stay until a new version comes.
    """

    name: TopicKind
    media_type: str
    indicator: Indicator
    verify: Callable[[bytes, TrustedSigners], TrustObject]
    max_bytes: int = MAX_REFERENCE_VALUES_BYTES
    expires: bool = False

    def wrap(self, raw: bytes) -> bytes:
        """The message that carries a signed object."""
        return cmw.wrap(self.media_type, raw, self.indicator)

    def unwrap(self, payload: bytes) -> bytes:
        """The signed object in a message; its signature is not verified.

        Raises:
            PeerError: ``too-large``, ``malformed``, ``unknown-media-type``.
        """
        return cmw.unwrap(payload, self.media_type, self.indicator, max_bytes=self.max_bytes)


_ROWS: Final = (
    TrustObjectKind(
        name=TopicKind.HANDLES,
        media_type=media_types.HANDLE,
        indicator=Indicator.HANDLE,
        verify=lambda raw, signers: verify_handle(raw, signers.distributors, signers.stamps),
        max_bytes=MAX_MESSAGE_BYTES,
        expires=True,
    ),
    TrustObjectKind(
        name=TopicKind.ENDORSEMENTS,
        media_type=media_types.SIGNED_CORIM,
        indicator=Indicator.ENDORSEMENTS,
        verify=lambda raw, signers: verify_endorsement(raw, signers.endorsers),
    ),
    TrustObjectKind(
        name=TopicKind.REFERENCE_VALUES,
        media_type=media_types.SIGNED_CORIM,
        indicator=Indicator.REFERENCE_VALUES,
        verify=lambda raw, signers: verify_reference_values(raw, signers.endorsers),
    ),
    TrustObjectKind(
        name=TopicKind.POLICIES,
        media_type=media_types.POLICY,
        indicator=Indicator.APPRAISAL_POLICY,
        verify=lambda raw, signers: verify_policy(raw, signers.endorsers),
    ),
    TrustObjectKind(
        name=TopicKind.STATEMENTS,
        media_type=media_types.STATEMENT,
        indicator=Indicator.REFERENCE_VALUES | Indicator.ENDORSEMENTS | Indicator.APPRAISAL_POLICY,
        verify=lambda raw, signers: verify_statement(raw, signers.endorsers),
    ),
)
# The keys are texts, so that the kind of any topic or audit entry can be looked up.
TRUST_OBJECTS: Final[Mapping[str, TrustObjectKind]] = {row.name: row for row in _ROWS}


def verify_object(kind: str, raw: bytes, signers: TrustedSigners) -> tuple[TrustObject, bytes]:
    """Verifies an object of a kind of ``TRUST_OBJECTS``, and that its key may sign it.

    Returns:
        The object, and the id of the key that signed it.

    Raises:
        PeerError: it does not verify; ``key-out-of-scope``.
    """
    row = TRUST_OBJECTS[kind]
    verified = row.verify(raw, signers)
    signer = cose.parse(raw, row.name, max_bytes=row.max_bytes).key_id
    if not isinstance(verified, Handle):
        _check_scope(row.name, verified, signers.scope_of(signer), signer)
    return verified, signer


def _check_scope(
    kind: TopicKind,
    verified: Endorsement | ReferenceValues | SignedPolicy | TrustStatement,
    scope: KeyScope,
    signer: bytes,
) -> None:
    names: Collection[str] = ()
    groups: Collection[str] = ()
    match verified:
        case Endorsement():
            groups = (verified.group or ALL_GROUPS,)
        case ReferenceValues():
            names = (verified.name,)
        case SignedPolicy():
            names, groups = (verified.id,), claimed_groups(verified.text)
        case TrustStatement():
            names, groups = {*verified.policies, *verified.reference_values}, verified.groups.keys()
    outside = [name for name in sorted(names) if not scope.allows_name(name)]
    outside += [f"group {group}" for group in sorted(groups) if not scope.allows_groups((group,))]
    if not scope.allows_kind(kind) or outside:
        about = f"{', '.join(outside)[:200]}: " if outside else ""
        raise PeerError(Reason.KEY_OUT_OF_SCOPE, f"{kind}: {about}key {signer.hex()} may not sign this")


def kind_of(verified: TrustObject) -> TrustObjectKind:
    """The kind of a verified object."""
    match verified:
        case Handle():
            return TRUST_OBJECTS[TopicKind.HANDLES]
        case Endorsement():
            return TRUST_OBJECTS[TopicKind.ENDORSEMENTS]
        case ReferenceValues():
            return TRUST_OBJECTS[TopicKind.REFERENCE_VALUES]
        case SignedPolicy():
            return TRUST_OBJECTS[TopicKind.POLICIES]
        case TrustStatement():
            return TRUST_OBJECTS[TopicKind.STATEMENTS]


def name_of(verified: TrustObject) -> str:
    """The name that a verified object states of itself. It is the last level of its topic."""
    match verified:
        case Handle():
            return verified.claims.issuer
        case Endorsement():
            return ueid_text(verified.ueid)
        case ReferenceValues():
            return verified.name
        case SignedPolicy():
            return verified.id
        case TrustStatement():
            return verified.key_id.hex()


def topic_of(verified: TrustObject, topics: Topics) -> str:
    """The topic of a verified object.

    Raises:
        PeerError: ``malformed`` when the name of the object cannot be a topic level.
    """
    match verified:
        case Handle():
            return topics.handles(verified.claims.issuer)
        case Endorsement():
            return topics.endorsements(verified.ueid)
        case ReferenceValues():
            return topics.reference_values(verified.name)
        case SignedPolicy():
            return topics.policies(verified.id)
        case TrustStatement():
            return topics.statements(verified.key_id.hex())
