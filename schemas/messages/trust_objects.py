"""The kinds of trust objects: signed objects that a verifier judges evidence by. One row a kind.

A kind has one name, :class:`~schemas.topics.TopicKind`: it is in the topic, in the audit log and in a verifier's
database.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from schemas import media_types
from schemas.codecs import cmw
from schemas.identifiers import ueid_text
from schemas.limits import MAX_MESSAGE_BYTES, MAX_REFERENCE_VALUES_BYTES
from schemas.media_types import Indicator
from schemas.messages.endorsement import Endorsement, verify_endorsement
from schemas.messages.handle import Handle, StampVerifier, verify_handle
from schemas.messages.policy import SignedPolicy, verify_policy
from schemas.messages.reference_values import ReferenceValues, verify_reference_values
from schemas.topics import TopicKind, Topics

TrustObject: TypeAlias = Handle | Endorsement | ReferenceValues | SignedPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedSigners:
    """Whose signatures are valid.

    Attributes:
        endorsers: endorsers' keys by ``cose.key_id``; they sign endorsements, reference values and policies.
        distributors: distributors' keys, likewise; they sign handles.
        stamps: verifies the time-stamp tokens of handles.
    """

    endorsers: Mapping[bytes, EllipticCurvePublicKey]
    distributors: Mapping[bytes, EllipticCurvePublicKey]
    stamps: StampVerifier


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
)
# The keys are texts, so that the kind of any topic or audit entry can be looked up.
TRUST_OBJECTS: Final[Mapping[str, TrustObjectKind]] = {row.name: row for row in _ROWS}


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
