"""Another device of the fleet, or a stranger, speaks for a device."""

from dataclasses import replace

from schemas.messages.evidence import Evidence, encode_body
from schemas.reasons import Reason
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_state, of_step
from tests.builders import tpm_bytes
from tests.worlds.device import FakeDevice, make_trust
from tests.worlds.step_bench import RECEIVED_US, Bench
from verifier_worker.core.step import step

SPEAK = Kind(by=Attacker.NEIGHBOUR, goal="have its own evidence taken for another device's")
FORGE = Kind(by=Attacker.STRANGER, goal="have evidence taken that no TPM made, or made for something else")


def _with_neighbour(scene: Scene) -> tuple[Bench, FakeDevice]:
    bench = scene.bench()
    bench.device.run(b"/tmp/evil", b"evil")
    neighbour = FakeDevice(label=b"neighbour")
    bench.trust = make_trust(bench.device, neighbour, handles=(bench.handle,), policy=bench.policy)
    neighbour.sync(bench.handle)
    neighbour.clock_ms = bench.device.clock_ms + 1000
    return bench, neighbour


@SPEAK.attack("refused", code=Reason.UEID_MISMATCH)
def its_own_evidence_on_the_others_topic(scene: Scene) -> Seen:
    """It publishes its own good evidence on the topic of the other device."""
    bench, neighbour = _with_neighbour(scene)
    return of_step(step(bench.state, bench.device.ueid, neighbour.push(), bench.now_us, bench.trust))


@SPEAK.attack("refused", code=Reason.ATTESTING_KEY_MISMATCH)
def the_others_name_in_its_own_body(scene: Scene) -> Seen:
    """Its body names the other device, and its own key."""
    bench, neighbour = _with_neighbour(scene)
    body = replace(neighbour.push().body, ueid=bench.device.ueid)
    return of_step(bench.take(neighbour.sign(body, {}, {})))


@SPEAK.attack("refused", code=Reason.QUOTE_SIGNATURE_INVALID)
def the_others_name_and_key(scene: Scene) -> Seen:
    """Its body names the other device and that one's key; its own key signs."""
    bench, neighbour = _with_neighbour(scene)
    body = replace(neighbour.push().body, ueid=bench.device.ueid, environment=bench.device.public.name, sequence=99)
    return of_step(bench.take(neighbour.sign(body, {}, {})))


@SPEAK.attack("refused", code=Reason.SYNC_SIGNATURE_INVALID)
def its_proof_in_the_others_evidence(scene: Scene) -> Seen:
    """The other device is given a proof of synchronisation of the neighbour's TPM, which is of a newer handle."""
    bench, neighbour = _with_neighbour(scene)
    bench.device.proof = neighbour.proof
    return of_step(bench.take(bench.device.push()))


@SPEAK.attack("refused", code=Reason.ATTESTING_KEY_MISMATCH)
def device_of_the_same_name(scene: Scene) -> Seen:
    """A second machine with the same UEID and a key of its own, which the endorser has not approved."""
    bench = scene.bench()
    twin = FakeDevice()
    twin.sync(bench.handle)
    return of_step(bench.take(twin.push()))


def _changed(push: Evidence, **changes: object) -> Evidence:
    body = replace(push.body, **changes)  # type: ignore[arg-type]  # fields by name
    return replace(push, body=body, raw_body=encode_body(body))


@FORGE.attack("refused", code=Reason.QUOTE_NOT_BOUND_TO_BODY)
def true_quote_under_another_body(scene: Scene) -> Seen:
    """A true quote is put under a body that claims another kernel."""
    bench = scene.bench()
    return of_step(bench.take(_changed(bench.device.push(), claims={"kernel": "7"})))


@FORGE.attack("refused", code=Reason.QUOTE_NOT_BOUND_TO_BODY)
def another_place_in_the_chain(scene: Scene) -> Seen:
    """A true quote is put under a body that names another push before it, to hide a lost one."""
    bench = scene.bench()
    known = bench.device.previous
    bench.device.push()
    return of_step(bench.take(_changed(bench.device.push(), previous=known)))


@FORGE.attack("refused", code=Reason.ATTEST_TYPE_WRONG)
def time_attestation_as_a_quote(scene: Scene) -> Seen:
    """The device's own proof of synchronisation is sent as its quote."""
    bench = scene.bench()
    push = bench.device.push()
    proof = push.body.sync
    return of_step(bench.take(replace(push, quote=proof.attest, signature=proof.signature)))


@FORGE.attack("refused", code=Reason.ATTEST_NOT_TPM_GENERATED)
def structure_that_no_tpm_made(scene: Scene) -> Seen:
    """The device's key signed a structure that does not begin with TPM_GENERATED, as a key that signs anything can."""
    bench = scene.bench()
    device = bench.device
    true = device.attest

    def unmarked(attested: bytes, kind: int, extra_data: bytes) -> tuple[bytes, bytes]:
        raw, signature = true(attested, kind, extra_data)
        return bytes(4) + raw[4:], signature

    device.attest = unmarked  # type: ignore[method-assign]  # a key without its TPM
    return of_step(bench.take(device.push()))


@FORGE.attack("refused", code=Reason.ATTEST_TYPE_WRONG)
def certification_as_a_quote(scene: Scene) -> Seen:
    """A TPM2_Certify by the device's key is sent as its quote."""
    bench = scene.bench()
    device = bench.device

    def certify(extra_data: bytes) -> tuple[bytes, bytes]:
        attested = tpm_bytes.sized(b"\x00\x0b" + bytes(32)) + tpm_bytes.sized(b"\x00\x0b" + bytes(32))
        return device.attest(attested, 0x8017, extra_data)

    device.quote = certify  # type: ignore[method-assign]  # another command
    return of_step(bench.take(device.push()))


@FORGE.attack("refused", code=Reason.ATTESTER_UNENDORSED)
def nobody_vouches_for_the_key(scene: Scene) -> Seen:
    """A machine that nobody endorsed pushes."""
    bench = Bench()
    trust = replace(make_trust(bench.device, handles=(bench.handle,)), endorsed={})
    return of_step(step(None, bench.device.ueid, bench.device.push(), RECEIVED_US, trust))


@FORGE.attack("refused", code=Reason.ENDORSEMENT_EXPIRED)
def endorsement_of_last_year(scene: Scene) -> Seen:
    """The endorsement has ended."""
    return _endorsed_from_to(0, RECEIVED_US // 1_000_000 - 1)


@FORGE.attack("refused", code=Reason.ENDORSEMENT_NOT_YET_VALID)
def endorsement_of_next_year(scene: Scene) -> Seen:
    """The endorsement has not begun."""
    return _endorsed_from_to(RECEIVED_US // 1_000_000 + 1, 2**40)


def _endorsed_from_to(begin_s: int, end_s: int) -> Seen:
    bench = Bench()
    trust = make_trust(bench.device, handles=(bench.handle,))
    key = trust.endorsed[bench.device.ueid]
    endorsement = replace(key.endorsement, not_before_s=begin_s, not_after_s=end_s)
    trust = replace(trust, endorsed={bench.device.ueid: replace(key, endorsement=endorsement)})
    return of_step(step(None, bench.device.ueid, bench.device.push(), RECEIVED_US, trust))


@FORGE.attack("affirming")
def flood_of_refused_messages(scene: Scene) -> Seen:
    """A hundred forged pushes: none of them changes the verdict."""
    bench = scene.bench()
    stranger = FakeDevice()
    stranger.sync(bench.handle)
    for _ in range(100):
        bench.take(stranger.push())
    assert bench.state is not None
    assert bench.state.rejections is not None
    assert bench.state.rejections.count == 100
    return of_state(bench)
