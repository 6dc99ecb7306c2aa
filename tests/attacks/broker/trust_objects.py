"""The broker, or a client that may write to it, brings back old trust objects, or false ones."""

from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from schemas.identifiers import ueid_text
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.messages.reference_values import sign_reference_values
from schemas.reasons import Reason
from schemas.topics import TopicKind
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_call, of_result, of_step
from tests.worlds.device import FakeDevice, make_endorsement, make_references
from tests.worlds.recorded_verifier import POLICY
from tests.worlds.verifier import Verifying
from verifier_worker.core.step import step

BACK = Kind(by=Attacker.BROKER, goal="bring an old trust object back", layer=Layer.COMPONENT)
FALSE = Kind(by=Attacker.STRANGER, goal="have a trust object of its own taken", layer=Layer.COMPONENT)

Made = tuple[str, str, bytes]  # kind, name of the topic, object


def endorsement(v: Verifying, version: int, key: object = None, **changes: object) -> Made:
    """An endorsement of the device."""
    vouched = replace(make_endorsement(v.device.ueid, v.device.public), version=version, **changes)  # type: ignore[arg-type]
    signer = key or v.endorser
    return (
        TopicKind.ENDORSEMENTS,
        ueid_text(v.device.ueid),
        sign_endorsement(vouched, v.device.raw_public, signer),  # type: ignore[arg-type]  # a private key
    )


def references(v: Verifying, version: int, key: object = None, **changes: object) -> Made:
    """A set of reference values."""
    values = make_references(v.device, version=version, **changes)
    return TopicKind.REFERENCE_VALUES, "good", sign_reference_values(values, key or v.endorser)  # type: ignore[arg-type]


def policy(v: Verifying, version: int, key: object = None, name: str = "fleet", text: str = POLICY) -> Made:
    """A policy for all groups."""
    now_s = v.now_us // 1_000_000
    text = text.replace('id = "test"', f'id = "{name}"').replace("version = 1\n", "")
    made = SignedPolicy(
        id=name, version=version, signer="endorser", not_before_s=now_s - 10, not_after_s=now_s + 10_000, text=text
    )
    return TopicKind.POLICIES, name, sign_policy(made, key or v.endorser)  # type: ignore[arg-type]


def an_endorsement(v: Verifying, version: int, key: object = None) -> Made:
    """an endorsement."""
    return endorsement(v, version, key)


def a_set(v: Verifying, version: int, key: object = None) -> Made:
    """a set of reference values."""
    return references(v, version, key)


def a_policy(v: Verifying, version: int, key: object = None) -> Made:
    """a policy."""
    return policy(v, version, key)


Maker = Callable[..., Made]
KINDS = (an_endorsement, a_set, a_policy)


@BACK.ways("refused", code=Reason.OBJECT_ROLLED_BACK, moves=KINDS)
def an_older_version_retained(scene: Scene, move: Maker) -> Seen:
    """An older version is published as retained, after a newer one:"""
    verifying = scene.verifier()
    older = move(verifying, 8)
    verifying.take(*move(verifying, 9))
    return of_call(lambda: verifying.take(*older, retained=True))


@BACK.ways("refused", code=Reason.OBJECT_ROLLED_BACK, moves=KINDS)
def an_older_version_after_a_restart(scene: Scene, move: Maker) -> Seen:
    """An older version is published after the verifier has restarted:"""
    verifying = scene.verifier()
    older = move(verifying, 8)
    verifying.take(*older)
    verifying.take(*move(verifying, 9))
    verifying.restart()
    return of_call(lambda: verifying.take(*older))


@BACK.attack("refused", code=Reason.OBJECT_ROLLED_BACK)
def another_object_of_the_same_version(scene: Scene) -> Seen:
    """Two objects of one version exist; the other one is published."""
    verifying = scene.verifier()
    verifying.take(*references(verifying, 9))
    return of_call(lambda: verifying.take(*references(verifying, 9, files={bytes(32): "/tmp/evil"})))


@BACK.attack("refused", code=Reason.ENDORSEMENT_EXPIRED)
def endorsement_of_before_a_revocation(scene: Scene) -> Seen:
    """A device was revoked; its old endorsement is published again, and it pushes."""
    verifying = scene.verifier()
    old = endorsement(verifying, 8)
    verifying.take(*old)
    verifying.take(*endorsement(verifying, 9, not_after_s=verifying.now_us // 1_000_000 - 1))
    again = of_call(lambda: verifying.take(*old, retained=True))
    assert again.verdict == "refused"
    verifying.pass_s(1)
    stored, ueid = verifying.store.load(verifying.device.ueid), verifying.device.ueid
    assert stored is not None
    trust = verifying.trust.trust(verifying.now_us, ueid)
    return of_step(step(stored.state, ueid, verifying.device.push(), verifying.now_us, trust))


@FALSE.ways("refused", code=Reason.OBJECT_SIGNATURE_INVALID, moves=KINDS)
def signed_by_itself(scene: Scene, move: Maker) -> Seen:
    """A key that nobody trusts signs"""
    verifying = scene.verifier()
    return of_call(lambda: verifying.take(*move(verifying, 99, generate_private_key(SECP256R1()))))


@FALSE.ways("refused", moves=KINDS)
def one_bit_changed(scene: Scene, move: Maker) -> Seen:
    """One bit in the middle is flipped of"""
    verifying = scene.verifier()
    kind, name, raw = move(verifying, 99)
    changed = raw[: len(raw) // 2] + bytes([raw[len(raw) // 2] ^ 1]) + raw[len(raw) // 2 + 1 :]
    return of_call(lambda: verifying.take(kind, name, changed))


@FALSE.ways("refused", code=Reason.OBJECT_MISDIRECTED, moves=KINDS)
def on_the_topic_of_another(scene: Scene, move: Maker) -> Seen:
    """On the topic of another object of its kind comes"""
    verifying = scene.verifier()
    kind, name, raw = move(verifying, 99)
    other = ueid_text(FakeDevice(label=b"other").ueid) if kind == TopicKind.ENDORSEMENTS else f"not-{name}"
    return of_call(lambda: verifying.take(kind, other, raw))


@FALSE.attack("refused")
def endorsement_as_reference_values(scene: Scene) -> Seen:
    """A true endorsement is published as a set of reference values, and the other way round."""
    verifying = scene.verifier()
    _, _, vouched = endorsement(verifying, 99)
    seen = of_call(lambda: verifying.take(TopicKind.REFERENCE_VALUES, "good", vouched))
    _, _, values = references(verifying, 99)
    other = of_call(lambda: verifying.take(TopicKind.ENDORSEMENTS, ueid_text(verifying.device.ueid), values))
    return seen if other.verdict == "refused" else other


@FALSE.attack("refused")
def handle_key_signs_an_endorsement(scene: Scene) -> Seen:
    """The distributor's key, which is trusted for handles, signs an endorsement."""
    verifying = scene.verifier()
    return of_call(lambda: verifying.take(*endorsement(verifying, 99, verifying.mint.key)))


@FALSE.attack("affirming")
def policy_that_cannot_be_read(scene: Scene) -> Seen:
    """The endorser signs a policy with a spelling mistake: the one in force stays, and so does the verdict."""
    verifying = scene.verifier()
    verifying.take(*policy(verifying, 8))
    broken = policy(verifying, 9, text=POLICY.replace("[logs]", "[lugs]"))
    refusal = of_call(lambda: verifying.take(*broken))
    assert refusal.reasons == (Reason.POLICY_INVALID.value,)
    verifying.pass_s(1)
    verifying.device.previous = None
    return of_result(verifying.receive(verifying.device.push(full=True, resend={"tcg2": 0, "ima": 0})))


@FALSE.attack("affirming")
def second_policy_for_the_same_group(scene: Scene) -> Seen:
    """The endorser signs a second, laxer policy for the same devices: no statement gives it to them."""
    verifying = scene.verifier()
    verifying.take(*policy(verifying, 8))
    verifying.held_back = True
    verifying.take(*policy(verifying, 9, name="lax"))
    verifying.pass_s(1)
    result = verifying.push()
    assert result.policies == ("fleet/8",)
    return of_result(result)
