"""A supplier's key, given for its reference values, signs something else; or a version that nothing could follow."""

from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key

from schemas.codecs import cose
from schemas.identifiers import ueid_text
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.key_scope import KeyScope
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.messages.reference_values import sign_reference_values
from schemas.reasons import Reason
from schemas.topics import TopicKind
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_call
from tests.worlds.device import FakeDevice, make_endorsement, make_references
from tests.worlds.recorded_verifier import POLICY
from tests.worlds.verifier import Verifying

SCOPE = Kind(by=Attacker.SUPPLIER, goal="sign more than its key was given for", layer=Layer.COMPONENT)
PIN = Kind(by=Attacker.SUPPLIER, goal="pin an object at a version that no honest one can follow", layer=Layer.COMPONENT)
Made = tuple[str, str, bytes]
Key = EllipticCurvePrivateKey


def _supplied(scene: Scene, scope: KeyScope) -> tuple[Verifying, Key]:
    """A verifier that trusts a supplier's key within a scope."""
    verifying, supplier = scene.verifier(), generate_private_key(SECP256R1())
    key_id, signers = cose.key_id(supplier.public_key()), verifying.trust.signers
    verifying.trust.signers = replace(
        signers, endorsers={**signers.endorsers, key_id: supplier.public_key()}, scopes={key_id: scope}
    )
    return verifying, supplier


def _endorsement(verifying: Verifying, key: Key, device: FakeDevice, version: int = 2, group: str = "") -> Made:
    vouched = replace(make_endorsement(verifying.device.ueid, device.public), version=version, group=group or None)
    raw = sign_endorsement(vouched, device.raw_public, key)
    return TopicKind.ENDORSEMENTS, ueid_text(verifying.device.ueid), raw


def _policy(verifying: Verifying, key: Key, version: int = 2, groups: str = '"*"') -> Made:
    text = POLICY.replace("version = 1\n", "").replace('id = "test"', f'id = "vendor-a"\ngroups = [{groups}]')
    made = SignedPolicy(id="vendor-a", version=version, signer="vendor", not_before_s=0, not_after_s=2**40, text=text)
    return TopicKind.POLICIES, "vendor-a", sign_policy(made, key)


def own_key_under_a_known_ueid(verifying: Verifying, key: Key) -> Made:
    """endorses a key of its own under the UEID of a known device."""
    return _endorsement(verifying, key, FakeDevice())


def the_true_key(verifying: Verifying, key: Key) -> Made:
    """endorses the true key of a known device again, to own its next versions."""
    return _endorsement(verifying, key, verifying.device)


def set_of_another_name(verifying: Verifying, key: Key) -> Made:
    """signs a newer version of another supplier's set."""
    return TopicKind.REFERENCE_VALUES, "good", sign_reference_values(make_references(verifying.device, version=2), key)


def policy_for_all(verifying: Verifying, key: Key) -> Made:
    """signs a policy."""
    return _policy(verifying, key)


def statement_of_what_is_current(verifying: Verifying, key: Key) -> Made:
    """states what is current."""
    true, verifying.endorser = verifying.endorser, key
    raw = verifying.statement()
    verifying.endorser = true
    return TopicKind.STATEMENTS, cose.key_id(key.public_key()).hex(), raw


Sign = Callable[[Verifying, Key], Made]


@SCOPE.ways(
    "refused",
    code=Reason.KEY_OUT_OF_SCOPE,
    moves=(
        own_key_under_a_known_ueid,
        the_true_key,
        set_of_another_name,
        policy_for_all,
        statement_of_what_is_current,
    ),
)
def key_for_its_own_sets(scene: Scene, move: Sign) -> Seen:
    """The key is for reference values named vendor-*. It"""
    scope = KeyScope(kinds=frozenset({TopicKind.REFERENCE_VALUES}), names=("vendor-*",))
    verifying, supplier = _supplied(scene, scope)
    made = move(verifying, supplier)
    return of_call(lambda: verifying.take(*made))


def device_of_another_group(verifying: Verifying, key: Key) -> Made:
    """endorses a device into another group."""
    return _endorsement(verifying, key, verifying.device, group="db")


def device_taken_from_another_group(verifying: Verifying, key: Key) -> Made:
    """endorses a key of its own, under the UEID of a device of another group, into its own group."""
    return _endorsement(verifying, key, FakeDevice(), group="vendor")


def policy_taken_from_another_group(verifying: Verifying, key: Key) -> Made:
    """signs the next version of another group's policy, for its own group."""
    text = POLICY.replace("version = 1\n", "").replace('id = "test"', 'id = "db"\ngroups = [GROUP]')
    made = [
        SignedPolicy(
            id="db",
            version=version,
            signer="v",
            not_before_s=0,
            not_after_s=2**40,
            text=text.replace("GROUP", f'"{group}"'),
        )
        for version, group in ((1, "db"), (2, "vendor"))
    ]
    verifying.take(TopicKind.POLICIES, "db", sign_policy(made[0], verifying.endorser))
    return TopicKind.POLICIES, "db", sign_policy(made[1], key)


def policy_of_another_group(verifying: Verifying, key: Key) -> Made:
    """signs a policy for another group."""
    return _policy(verifying, key, groups='"db"')


def policy_of_its_group_and_another(verifying: Verifying, key: Key) -> Made:
    """signs a policy for its own group and another."""
    return _policy(verifying, key, groups='"vendor", "db"')


@SCOPE.ways(
    "refused",
    code=Reason.KEY_OUT_OF_SCOPE,
    moves=(
        device_of_another_group,
        device_taken_from_another_group,
        policy_of_another_group,
        policy_taken_from_another_group,
        policy_of_its_group_and_another,
        policy_for_all,
    ),
)
def key_for_one_group(scene: Scene, move: Sign) -> Seen:
    """The key is for the group "vendor". It"""
    verifying, supplier = _supplied(scene, KeyScope(groups=frozenset({"vendor"})))
    made = move(verifying, supplier)
    return of_call(lambda: verifying.take(*made))


def set_of_values(verifying: Verifying, key: Key) -> Made:
    """a set of reference values."""
    return (
        TopicKind.REFERENCE_VALUES,
        "good",
        sign_reference_values(make_references(verifying.device, version=2**63), key),
    )


def endorsement(verifying: Verifying, key: Key) -> Made:
    """an endorsement."""
    return _endorsement(verifying, key, verifying.device, version=2**63)


def policy(verifying: Verifying, key: Key) -> Made:
    """a policy."""
    return _policy(verifying, key, version=2**63)


@PIN.ways("refused", code=Reason.OBJECT_FROM_FUTURE, moves=(set_of_values, endorsement, policy))
def greatest_version(scene: Scene, move: Sign) -> Seen:
    """The endorser's own key signs, with the greatest version that there is,"""
    verifying = scene.verifier()
    made = move(verifying, verifying.endorser)
    return of_call(lambda: verifying.take(*made))
