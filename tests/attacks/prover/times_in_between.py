"""A true proof about a time at which the device was bad, made where both sides look good."""

from schemas.errors import PeerError
from schemas.hashes import SHA256
from schemas.messages.reference_values import sign_reference_values
from schemas.topics import TopicKind
from schemas.tpm.pcr import parse_selection_text
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.prover.proofs import answered
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_error
from tests.worlds.device import GOOD_FILES, make_references
from tests.worlds.proven_log import Proven, ProvenLog, go_on
from tests.worlds.recorded_verifier import POLICY

ROOT = Kind(
    by=Attacker.ROOT, goal="have a proof say yes about a time at which the device was bad", layer=Layer.COMPONENT
)
NOBODY = Kind(
    by=Attacker.NOBODY, goal="have a proof say yes about a time at which the device was bad", layer=Layer.COMPONENT
)
CEL = "ima = [10]\ncel = { app = { pcrs = [16], resettable = true } }\n"
WITH_PCR_16 = POLICY.replace('"sha256:0-10"', '"sha256:0-10,16"').replace("ima = [10]\n", CEL)
APP = "cel/app"


def _log(scene: Scene, policy: str = POLICY) -> ProvenLog:
    """A device that was good, with a stamped checkpoint behind it."""
    log = scene.enter(ProvenLog(scene.folder(), policy_text=policy))
    recording, device = log.recording, log.recording.device
    if policy != POLICY:
        device.selection = parse_selection_text("sha256:0-10,16")
        files = {**make_references(device).files, SHA256.digest(b"good"): "/etc/app.conf"}
        references = make_references(device, version=2, files=files)
        recording.take(TopicKind.REFERENCE_VALUES, "good", sign_reference_values(references, recording.endorser))
        device.measure_file(APP, "/etc/app.conf", b"good", 16)
    device.sync(recording.new_handle())
    recording.pass_s(3600)
    device.sync(recording.new_handle())
    _push(log)
    log.publish()
    recording.pass_s(20)
    return log


def _push(log: ProvenLog, **how: object) -> None:
    log.recording.deliver(log.recording._made(**how))
    log.recording.pass_s(1)


def _asked(log: ProvenLog, at_us: int) -> Seen:
    """The later side, and the answer to the proof about the time."""
    log.recording.device.sync(log.recording.new_handle())
    log.recording.pass_s(1)
    _push(log)
    log.publish()
    go_on(log)
    try:
        return answered(log.check(Proven(log=log, at_us=at_us).prove().read_bytes()))
    except PeerError as error:
        return of_error(error)


@ROOT.attack("no", "not proven", "refused")
def found_and_reset(scene: Scene) -> Seen:
    """A bad configuration in PCR 16 is found; then PCR 16 is reset, and the good one measured."""
    log = _log(scene, WITH_PCR_16)
    device = log.recording.device
    device.measure_file(APP, "/etc/app.conf", b"evil", 16)
    device.sync(log.recording.new_handle())
    _push(log)
    log.recording.pass_s(5)
    at_us = log.recording.now_us
    log.recording.pass_s(5)
    device.pcrs[16], device.cel_logs[APP], device.sent[APP] = bytes(32), [], 0
    device.measure_file(APP, "/etc/app.conf", b"good", 16)
    _push(log, full=True, resend={"tcg2": 0, "ima": 0, APP: 0})
    return _asked(log, at_us)


@ROOT.attack("no", "not proven", "refused")
def reset_before_anybody_looked(scene: Scene) -> Seen:
    """A bad configuration is used between two pushes, and PCR 16 is reset before the later one."""
    log = _log(scene, WITH_PCR_16)
    device = log.recording.device
    device.measure_file(APP, "/etc/app.conf", b"evil", 16)
    at_us = log.recording.now_us
    log.recording.pass_s(10)
    device.pcrs[16], device.cel_logs[APP], device.sent[APP] = bytes(32), [], 0
    device.measure_file(APP, "/etc/app.conf", b"good", 16)
    log.recording.pass_s(10)
    device.sync(log.recording.new_handle())
    log.recording.pass_s(1)
    _push(log, full=True, resend={"tcg2": 0, "ima": 0, APP: 0})
    return _asked(log, at_us)


@NOBODY.attack("no", "not proven", "refused")
def approved_afterwards(scene: Scene) -> Seen:
    """An unknown file ran and was found; a later set of reference values lists it before the later side."""
    log = _log(scene)
    recording, device = log.recording, log.recording.device
    device.run(b"/opt/new", b"new")
    device.sync(recording.new_handle())
    _push(log)
    recording.pass_s(5)
    at_us = recording.now_us
    recording.pass_s(5)
    files = {SHA256.digest(content): path.decode() for path, content in GOOD_FILES.items()}
    files[SHA256.digest(b"new")] = "/opt/new"
    more = make_references(device, version=5, files=files)
    recording.take(TopicKind.REFERENCE_VALUES, "good", sign_reference_values(more, recording.endorser))
    recording.pass_s(1)
    return _asked(log, at_us)


@ROOT.attack("no", "not proven", "refused")
def quoted_without_pcr_10(scene: Scene) -> Seen:
    """An unknown file runs while PCR 10 is left out of the quotes; then PCR 10 is quoted again, and its list sent."""
    log = _log(scene)
    recording, device = log.recording, log.recording.device
    device.selection = parse_selection_text("sha256:0-9")
    device.run(b"/tmp/evil", b"evil")
    _push(log)
    at_us = recording.now_us
    recording.pass_s(5)
    device.selection = parse_selection_text("sha256:0-10")
    _push(log, full=True, resend={"tcg2": 0, "ima": 0})
    return _asked(log, at_us)
