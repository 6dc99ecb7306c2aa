"""People must be told what happened: revoked is not late, and what was bad stays named."""

from schemas.messages.trust_statement import Withdrawal, Withdrawn
from schemas.reasons import Reason
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_result
from tests.worlds.device import T0_US
from tests.worlds.verifier import Verifying

TOLD = Kind(by=Attacker.NOBODY, goal="have people misled about why a device is not affirmed", layer=Layer.COMPONENT)
NAMED = Kind(by=Attacker.ROOT, goal="have the names of what was found bad disappear", layer=Layer.COMPONENT)


def _withdrawn(verifying: Verifying, standing: Withdrawn) -> None:
    by = Withdrawal(below=2, standing=standing, at_s=T0_US // 1_000_000, by="anna")
    verifying.state({verifying.device.ueid: by})


def _silence(verifying: Verifying) -> None:
    verifying.pass_s(3600)
    verifying.worker.expire(verifying.receipt_us())
    verifying.worker.settle()


@TOLD.attack("contraindicated", code=Reason.ATTESTING_KEY_REVOKED)
def revoked_and_silent(scene: Scene) -> Seen:
    """A device is revoked, and goes on pushing, which is refused; an hour later the verifier must not call it late."""
    verifying = scene.verifier()
    _withdrawn(verifying, Withdrawn.REVOKED)
    verifying.pass_s(1)
    verifying.push()
    _silence(verifying)
    result = verifying.results[-1]
    assert Reason.EVIDENCE_OVERDUE not in result.reasons
    assert any("anna" in each for each in result.unexpected), "nobody says who revoked it"
    return of_result(result)


@TOLD.attack("none", code=Reason.ATTESTER_DECOMMISSIONED)
def decommissioned_and_silent(scene: Scene) -> Seen:
    """A device is decommissioned; an hour later the verifier must not call it late."""
    verifying = scene.verifier()
    _withdrawn(verifying, Withdrawn.DECOMMISSIONED)
    _silence(verifying)
    assert Reason.EVIDENCE_OVERDUE not in verifying.results[-1].reasons
    return of_result(verifying.results[-1])


def _bad(scene: Scene) -> Verifying:
    verifying = scene.verifier()
    verifying.pass_s(1)
    verifying.device.run(b"/tmp/evil", b"evil")
    assert "/tmp/evil" in verifying.push().unexpected
    return verifying


def _named(verifying: Verifying) -> Seen:
    result = verifying.results[-1]
    assert "/tmp/evil" in result.unexpected, f"the name is gone: {result.unexpected}"
    return of_result(result)


@NAMED.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def silent_after_it_was_bad(scene: Scene) -> Seen:
    """A device that was found bad falls silent."""
    verifying = _bad(scene)
    _silence(verifying)
    return _named(verifying)


@NAMED.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def silent_and_the_verifier_restarts(scene: Scene) -> Seen:
    """A device that was found bad falls silent, and the verifier is killed and starts again."""
    verifying = _bad(scene)
    verifying.restart()
    _silence(verifying)
    return _named(verifying)


@NAMED.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def gap_after_it_was_bad(scene: Scene) -> Seen:
    """A device that was found bad loses a push on purpose."""
    verifying = _bad(scene)
    verifying.device.push()
    verifying.pass_s(1)
    verifying.push()
    return _named(verifying)


@NAMED.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def decommissioned_after_it_was_bad(scene: Scene) -> Seen:
    """A device that was found bad is decommissioned."""
    verifying = _bad(scene)
    _withdrawn(verifying, Withdrawn.DECOMMISSIONED)
    return _named(verifying)
