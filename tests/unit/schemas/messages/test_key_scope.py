"""A key signs what it was given, and nothing else."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.codecs import cose
from schemas.errors import PeerError
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.key_scope import KeyScope
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.messages.reference_values import sign_reference_values
from schemas.messages.trust_objects import TrustedSigners, verify_object
from schemas.messages.trust_statement import Listed, TrustStatement, sign_statement
from schemas.reasons import Reason
from schemas.topics import TopicKind
from tests.fakes.attester import HandleMint
from tests.worlds.device import T0_US, FakeDevice, make_endorsement, make_references

MINT, DEVICE = HandleMint(), FakeDevice()
KEY = generate_private_key(SECP256R1())
KEY_ID = cose.key_id(KEY.public_key())
POLICY = SignedPolicy(id="fleet", version=1, signer="e", not_before_s=0, not_after_s=9, text='groups = ["lab", "*"]')
STATEMENT = TrustStatement(issuer="e", number=1, issued_s=0, not_after_s=9)
LISTED = {"good": Listed(1, bytes(32))}


def endorsement(group: str | None = None) -> bytes:
    return sign_endorsement(replace(make_endorsement(DEVICE.ueid, DEVICE.public), group=group), DEVICE.raw_public, KEY)


SETS = sign_reference_values(make_references(DEVICE), KEY)  # "good"
POLICIES = sign_policy(POLICY, KEY)


def is_allowed(scope: KeyScope, kind: TopicKind, raw: bytes) -> bool:
    signers = TrustedSigners(
        endorsers={KEY_ID: KEY.public_key()},
        distributors=MINT.keys,
        stamps=TimeStampVerifier(MINT.authority.root.pem),
        scopes={KEY_ID: scope},
    )
    try:
        return verify_object(kind, raw, signers)[1] == KEY_ID
    except PeerError as error:
        if error.reason is Reason.KEY_OUT_OF_SCOPE and KEY_ID.hex() in error.detail:
            return False
        raise


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (TopicKind.ENDORSEMENTS, endorsement()),
        (TopicKind.REFERENCE_VALUES, SETS),
        (TopicKind.POLICIES, POLICIES),
        (TopicKind.STATEMENTS, sign_statement(STATEMENT, KEY)),
    ],
)
def test_a_key_signs_its_kinds_alone(kind: TopicKind, raw: bytes) -> None:
    others = frozenset(TopicKind) - {kind}
    assert is_allowed(KeyScope(), kind, raw)
    assert is_allowed(KeyScope(kinds=frozenset({kind})), kind, raw)
    assert not is_allowed(KeyScope(kinds=others), kind, raw)


@pytest.mark.parametrize(
    ("names", "allowed"), [(("good",), True), (("go*",), True), (("vendor-*",), False), ((), False)]
)
def test_a_key_signs_sets_of_its_names_alone(names: tuple[str, ...], allowed: bool) -> None:
    scope = KeyScope(names=names)
    assert is_allowed(scope, TopicKind.REFERENCE_VALUES, SETS) is allowed
    assert is_allowed(scope, TopicKind.ENDORSEMENTS, endorsement())
    for part in ("policies", "reference_values"):
        stated = sign_statement(replace(STATEMENT, **{part: LISTED}), KEY)  # type: ignore[arg-type]  # by name
        assert is_allowed(scope, TopicKind.STATEMENTS, stated) is allowed


def test_a_key_signs_policies_of_its_names_and_groups_alone() -> None:
    assert is_allowed(KeyScope(names=("fleet",), groups=frozenset({"lab", "*"})), TopicKind.POLICIES, POLICIES)
    assert not is_allowed(KeyScope(names=("lab",)), TopicKind.POLICIES, POLICIES)
    assert not is_allowed(KeyScope(groups=frozenset({"lab"})), TopicKind.POLICIES, POLICIES)


@pytest.mark.parametrize(("group", "allowed"), [("lab", True), ("plant", False), (None, False)])
def test_a_key_endorses_devices_of_its_groups_alone(group: str | None, allowed: bool) -> None:
    assert is_allowed(KeyScope(groups=frozenset({"lab"})), TopicKind.ENDORSEMENTS, endorsement(group)) is allowed
    assert is_allowed(KeyScope(groups=frozenset({"*"})), TopicKind.ENDORSEMENTS, endorsement(None))
    listed = {"fleet": Listed(1, bytes(32))}
    stated = replace(STATEMENT, policies=listed, groups={group or "*": "fleet"})
    assert is_allowed(KeyScope(groups=frozenset({"lab"})), TopicKind.STATEMENTS, sign_statement(stated, KEY)) is allowed


def test_a_handle_has_a_distributors_key_and_no_scope() -> None:
    signers = TrustedSigners(
        endorsers={},
        distributors=MINT.keys,
        stamps=TimeStampVerifier(MINT.authority.root.pem),
        scopes={next(iter(MINT.keys)): KeyScope(kinds=frozenset())},
    )
    assert verify_object(TopicKind.HANDLES, MINT.raw(T0_US), signers)[1] in MINT.keys
