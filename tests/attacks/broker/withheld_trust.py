"""The broker holds back what would take trust away, or shows what is out of force."""

from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from schemas.codecs import cose
from schemas.identifiers import ueid_text
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.messages.reference_values import sign_reference_values
from schemas.messages.trust_statement import Listed, Withdrawal, Withdrawn
from schemas.reasons import Reason
from schemas.topics import TopicKind
from schemas.verdicts import Tier
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_call, of_result
from tests.worlds.device import T0_US, make_endorsement, make_references
from tests.worlds.recorded_verifier import POLICY
from tests.worlds.verifier import Verifying

FREEZE = Kind(by=Attacker.BROKER, goal="keep an old endorsement, policy or set in force", layer=Layer.COMPONENT)
FALSE = Kind(by=Attacker.STRANGER, goal="have a false statement of what is current taken", layer=Layer.COMPONENT)
DAY_S = 86_400
NOW_S = T0_US // 1_000_000


def _full(verifying: Verifying) -> Seen:
    """The device pushes all it has, under a new handle."""
    verifying.device.sync(verifying.new_handle())
    verifying.device.previous = None
    verifying.pass_s(1)
    return of_result(verifying.receive(verifying.device.push(full=True, resend={"tcg2": 0, "ima": 0})))


def _revoked(verifying: Verifying) -> dict[object, object]:
    return {verifying.device.ueid: Withdrawal(below=2, standing=Withdrawn.REVOKED, at_s=NOW_S, by="anna")}


def _name(verifying: Verifying) -> str:
    return cose.key_id(verifying.endorser.public_key()).hex()


@FREEZE.attack("none", code=Reason.TRUST_STALE)
def revocation_and_all_statements_dropped(scene: Scene) -> Seen:
    """The device is revoked; the broker drops that, and every statement after it, for a year. All else is delivered."""
    verifying = scene.verifier()
    verifying.held_back = True
    seen = []
    for day in (2, 30, 300):
        verifying.pass_s((T0_US + day * DAY_S * 1_000_000 - verifying.now_us) / 1_000_000)
        seen.append(_full(verifying))
    return best_for_the_attacker(seen)


@FREEZE.attack("contraindicated", code=Reason.ATTESTING_KEY_REVOKED)
def revocation_alone_dropped(scene: Scene) -> Seen:
    """The ended endorsement is dropped; the next statement, which lists the revocation, is delivered."""
    verifying = scene.verifier()
    verifying.state(_revoked(verifying))  # type: ignore[arg-type]  # a mapping
    return of_result(verifying.results[-1])


@FREEZE.attack("none", code=Reason.TRUST_STALE)
def fresh_verifier_beside_old_objects(scene: Scene) -> Seen:
    """A verifier with an empty database is shown the objects of before a revocation, and no statement."""
    verifying = scene.enter(Verifying(scene.folder(), held_back=True))
    return _full(verifying)


@FREEZE.attack("none", code=Reason.TRUST_STALE)
def old_statement_shown_to_a_fresh_verifier(scene: Scene) -> Seen:
    """As before, with a true statement of two days ago."""
    verifying = scene.enter(Verifying(scene.folder(), held_back=True))
    old = verifying.statement()
    verifying.pass_s(2 * DAY_S)
    of_call(lambda: verifying.take(TopicKind.STATEMENTS, _name(verifying), old))
    return _full(verifying)


@FREEZE.attack("refused", code=Reason.OBJECT_ROLLED_BACK)
def statement_of_before_the_revocation(scene: Scene) -> Seen:
    """The statement of before a revocation is published again after it."""
    verifying = scene.verifier()
    old = verifying.statement()
    verifying.state(_revoked(verifying))  # type: ignore[arg-type]  # a mapping
    seen = of_call(lambda: verifying.take(TopicKind.STATEMENTS, _name(verifying), old))
    assert verifying.results[-1].status is Tier.CONTRAINDICATED
    return seen


def _policies(verifying: Verifying) -> None:
    """A strict policy for the device's group until 1000 s from now, and a lax one for everybody else."""
    vouched = replace(make_endorsement(verifying.device.ueid, verifying.device.public), version=2, group="db")
    raw = sign_endorsement(vouched, verifying.device.raw_public, verifying.endorser)
    verifying.take(TopicKind.ENDORSEMENTS, ueid_text(verifying.device.ueid), raw)
    strict = POLICY.replace("version = 1\n", "").replace('id = "test"', 'id = "db"\ngroups = ["db"]')
    lax = POLICY.replace("version = 1\n", "").replace('id = "test"', 'id = "rest"\ngroups = ["*"]')
    lax += 'exclude = ["/home/*", "/tmp/*"]\n'
    for name, text, end_s in (("rest", lax, 2**40), ("db", strict, NOW_S + 1000)):
        made = SignedPolicy(
            id=name, version=1, signer="endorser", not_before_s=NOW_S - 10, not_after_s=end_s, text=text
        )
        verifying.take(TopicKind.POLICIES, name, sign_policy(made, verifying.endorser))
    assert _full(verifying).verdict == "affirming"


@FREEZE.attack("none", code=Reason.POLICY_MISSING)
def renewal_of_a_policy_dropped(scene: Scene) -> Seen:
    """The renewal of a group's strict policy is dropped, which then ends; a laxer policy for all others exists."""
    verifying = scene.verifier()
    _policies(verifying)
    verifying.pass_s(1001)
    verifying.device.run(b"/tmp/evil", b"evil")
    return _full(verifying)


@FREEZE.attack("none", code=Reason.POLICY_MISSING)
def newer_policy_dropped_while_the_old_one_is_valid(scene: Scene) -> Seen:
    """A stricter version of the policy is dropped; the statement that lists it is delivered, the old one is valid."""
    verifying = scene.verifier()
    _policies(verifying)
    verifying.held_back = True
    listed = {"db": Listed(2, bytes(32)), "rest": Listed(1, bytes(32))}
    verifying.state(policies=listed)
    return _full(verifying)


@FREEZE.attack("none", code=Reason.REFERENCE_VALUES_MISSING)
def newer_set_dropped_while_the_old_one_is_valid(scene: Scene) -> Seen:
    """A set without a bad file's digest is dropped; the statement that lists it is delivered, the old one is valid."""
    verifying = scene.verifier()
    verifying.held_back = True
    verifying.state(reference_values={"good": Listed(9, bytes(32))})
    return _full(verifying)


@FREEZE.attack("none", code=Reason.REFERENCE_VALUES_MISSING)
def withdrawn_set_shown_again(scene: Scene) -> Seen:
    """A set was withdrawn; it is published again as retained."""
    verifying = scene.verifier()
    verifying.withdraw(TopicKind.REFERENCE_VALUES, "good")
    verifying.held_back = True
    raw = sign_reference_values(make_references(verifying.device), verifying.endorser)
    of_call(lambda: verifying.take(TopicKind.REFERENCE_VALUES, "good", raw, retained=True))
    return _full(verifying)


def of_next_week(verifying: Verifying) -> bytes:
    """of next week, by the endorser, whose clock is wrong."""
    return verifying.statement(issued_s=verifying.now_us // 1_000_000 + 7 * DAY_S)


def of_the_greatest_number(verifying: Verifying) -> bytes:
    """of the greatest number, after which no honest one could come."""
    return verifying.statement(number=2**63)


def flipped(verifying: Verifying) -> bytes:
    """with a flipped bit."""
    raw = bytearray(verifying.statement())
    raw[len(raw) // 2] ^= 1
    return bytes(raw)


def by_a_stranger(verifying: Verifying) -> bytes:
    """by a stranger."""
    true, verifying.endorser = verifying.endorser, generate_private_key(SECP256R1())
    raw = verifying.statement()
    verifying.endorser = true
    return raw


@FALSE.ways("refused", moves=(of_next_week, of_the_greatest_number, flipped, by_a_stranger))
def statement(scene: Scene, move: Callable[[Verifying], bytes]) -> Seen:
    """A statement"""
    verifying = scene.verifier()
    raw = move(verifying)
    return of_call(lambda: verifying.take(TopicKind.STATEMENTS, _name(verifying), raw))


@FALSE.attack("refused", code=Reason.OBJECT_MISDIRECTED)
def statement_on_another_topic(scene: Scene) -> Seen:
    """A true statement is published on the topic of another key."""
    verifying = scene.verifier()
    raw = verifying.statement()
    return of_call(lambda: verifying.take(TopicKind.STATEMENTS, "00" * 8, raw))
