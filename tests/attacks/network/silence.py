"""The network lets only what is old through, and wants it to look like life; or the verifier's own clock is wrong."""

from schemas.reasons import Reason
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_result
from tests.worlds.worker import NOW_US, WorkerRig

ALIVE = Kind(
    by=Attacker.NETWORK, goal="keep a device affirmed that nothing is heard of any more", layer=Layer.COMPONENT
)
BACK = Kind(by=Attacker.OPERATOR, goal="make old evidence look young by the verifier's clock", layer=Layer.COMPONENT)
S = 1_000_000


def _rig(scene: Scene) -> WorkerRig:
    rig = WorkerRig(scene.folder())
    scene.at_end(rig.store.close)
    return rig


@ALIVE.attack("none", code=Reason.EVIDENCE_OVERDUE)
def last_push_again_and_again(scene: Scene) -> Seen:
    """The last good push is delivered again every three seconds, beyond the deadline."""
    rig = _rig(scene)
    push = rig.device.push()
    rig.process([rig.message(push)])
    for second in range(3, 31, 3):
        rig.process([rig.message(push, NOW_US + second * S)])
        rig.expire(NOW_US + second * S)
    return of_result(rig.results()[-1])


@ALIVE.attack("none", code=Reason.EVIDENCE_OVERDUE)
def old_pushes_in_turn(scene: Scene) -> Seen:
    """Ten good pushes are delivered in turn, again and again, beyond the deadline."""
    rig = _rig(scene)
    pushes = [rig.device.push(elapsed_ms=1) for _ in range(10)]
    rig.process([rig.message(each) for each in pushes])
    for second in range(3, 31, 3):
        rig.process([rig.message(each, NOW_US + second * S) for each in pushes])
        rig.expire(NOW_US + second * S)
    return of_result(rig.results()[-1])


@ALIVE.attack("none", code=Reason.EVIDENCE_OVERDUE)
def noise_in_its_name(scene: Scene) -> Seen:
    """Messages that are refused arrive on the device's topic every three seconds, beyond the deadline."""
    rig = _rig(scene)
    good = rig.message(rig.device.push())
    rig.process([good])
    for second in range(3, 31, 3):
        payload = good.payload[:-1] + bytes([good.payload[-1] ^ 1])
        rig.process([type(good)(ueid_text=rig.name, payload=payload, received_us=NOW_US + second * S)])
        rig.expire(NOW_US + second * S)
    return of_result(rig.results()[-1])


@ALIVE.attack("none", code=Reason.EVIDENCE_OVERDUE)
def verifier_killed_at_each_deadline(scene: Scene) -> Seen:
    """The verifier is killed again and again, so that no deadline passes while it runs."""
    rig = _rig(scene)
    rig.process([rig.message(rig.device.push())])
    for _ in range(5):
        rig.crash()
    scene.at_end(rig.store.close)
    rig.expire(NOW_US + 60 * S)
    return of_result(rig.results()[-1])


@BACK.attack("none")
def clock_set_back_by_an_hour(scene: Scene) -> Seen:
    """A push is an hour old; the verifier holds a newer handle, and its clock is set back by an hour."""
    verifying = scene.verifier()
    old = verifying.device.push(elapsed_ms=1)
    verifying.pass_s(3600)
    verifying.new_handle()
    verifying.now_us -= 3600 * S
    return best_for_the_attacker([of_result(verifying.receive(old))])
