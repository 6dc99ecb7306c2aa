"""Statements of what is current, for tests that are about something else."""

import time

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from schemas.codecs import cose
from schemas.messages.trust_objects import TRUST_OBJECTS
from schemas.messages.trust_statement import Listed, TrustStatement, sign_statement
from schemas.topics import TopicKind, Topics


def stated(
    key: EllipticCurvePrivateKey, *sets: str, topics: Topics | None = None, policy: str | None = None
) -> tuple[str, bytes]:
    """Topic and message of a statement, made now, that every version of the named sets is in force.

    Args:
        key: the endorser's.
        sets: names.
        topics: the topic names.
        policy: the id of the policy for all groups, in any version; the statement is then later than one without.
    """
    now_s = int(time.time())
    statement = TrustStatement(
        issuer="endorser",
        number=now_s + (policy is not None),
        issued_s=now_s,
        not_after_s=now_s + 86_400,
        policies={policy: Listed(0, bytes(32))} if policy is not None else {},
        groups={"*": policy} if policy is not None else {},
        reference_values={name: Listed(0, bytes(32)) for name in sets},
    )
    topic = (topics or Topics()).statements(cose.key_id(key.public_key()).hex())
    return topic, TRUST_OBJECTS[TopicKind.STATEMENTS].wrap(sign_statement(statement, key))
