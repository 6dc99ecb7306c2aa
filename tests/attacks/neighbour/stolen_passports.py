"""A device shows a result that is about another one."""

from collections.abc import Callable
from dataclasses import replace

from schemas.messages.passport_proof import PassportProof, qualifying_data, verify_proof
from schemas.reasons import Reason
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_call, of_step
from tests.fakes.relying_party import result_about
from tests.worlds.device import FakeDevice, make_handle

STOLEN = Kind(by=Attacker.NEIGHBOUR, goal="answer the challenge for a result that is about another device")
SIGN = Kind(by=Attacker.STRANGER, goal="have a device sign evidence by a challenge of the stranger's choice")
TOKEN, CHALLENGE = b"token", bytes(range(32))


def answer(device: FakeDevice, token: bytes = TOKEN, challenge: bytes = CHALLENGE) -> PassportProof:
    """The device's TPM answers a challenge."""
    attest, signature = device.quote(qualifying_data(token, challenge))
    return PassportProof(attest=attest, signature=signature, public=device.raw_public)


def its_own_answer(victim: FakeDevice) -> PassportProof:
    """Its own TPM answers."""
    return answer(FakeDevice(label=b"thief"))


def its_own_answer_under_the_others_key(victim: FakeDevice) -> PassportProof:
    """Its own TPM answers, and the other's public key is named."""
    return replace(answer(FakeDevice(label=b"thief")), public=victim.raw_public)


def answer_to_another_challenge(victim: FakeDevice) -> PassportProof:
    """An answer of the other device to an earlier challenge."""
    return answer(victim, challenge=bytes(32))


def answer_for_another_result(victim: FakeDevice) -> PassportProof:
    """An answer of the other device for an older result."""
    return answer(victim, token=b"older")


def evidence(victim: FakeDevice) -> PassportProof:
    """A quote of the other device's evidence."""
    victim.sync(make_handle())
    push = victim.push()
    return PassportProof(attest=push.quote, signature=push.signature, public=victim.raw_public)


@STOLEN.ways(
    "refused",
    code=Reason.RESULT_PROOF_INVALID,
    moves=(
        its_own_answer,
        its_own_answer_under_the_others_key,
        answer_to_another_challenge,
        answer_for_another_result,
        evidence,
    ),
)
def with_a_copied_token(scene: Scene, move: Callable[[FakeDevice], PassportProof]) -> Seen:
    """It has copied the good result of another device."""
    victim = FakeDevice()
    result = result_about(victim.ueid, environment=victim.public.name)
    return of_call(lambda: verify_proof(move(victim), TOKEN, CHALLENGE, result))


@STOLEN.attack("refused", code=Reason.ATTEST_TYPE_WRONG)
def with_a_proof_of_synchronisation(scene: Scene) -> Seen:
    """A proof of synchronisation of the other device is shown as its answer."""
    victim = FakeDevice()
    victim.sync(make_handle())
    assert victim.proof is not None
    proof = PassportProof(attest=victim.proof.attest, signature=victim.proof.signature, public=victim.raw_public)
    result = result_about(victim.ueid, environment=victim.public.name)
    return of_call(lambda: verify_proof(proof, TOKEN, CHALLENGE, result))


@STOLEN.attack("refused", code=Reason.ATTESTING_KEY_MISMATCH)
def with_a_key_that_signs_anything(scene: Scene) -> Seen:
    """The result names a key that may sign anything, so its answer could have been made without a quote."""
    loose = FakeDevice()
    loose.raw_public = loose.raw_public[:4] + bytes.fromhex("00040072") + loose.raw_public[8:]
    result = result_about(loose.ueid, environment=loose.public.name)
    return of_call(lambda: verify_proof(answer(loose), TOKEN, CHALLENGE, result))


@SIGN.attack("refused", code=Reason.QUOTE_NOT_BOUND_TO_BODY)
def answer_as_evidence(scene: Scene) -> Seen:
    """The answer to a chosen challenge is sent as the quote of a push."""
    bench = scene.bench()
    push = bench.device.push()
    proof = answer(bench.device, token=push.raw_body)
    return of_step(bench.take(replace(push, quote=proof.attest, signature=proof.signature)))
