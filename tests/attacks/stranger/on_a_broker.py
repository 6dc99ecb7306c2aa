"""A stranger on a real broker, beside a real verifier: what it publishes moves no verdict and stops nothing."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from schemas.messages.evidence import Evidence, LogIncrement
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_result
from tests.fakes.relying_party import STRANGERS_KEY, message_of
from tests.programs.mosquitto import Mosquitto, running_mosquitto
from tests.programs.mqtt_client import Listener, listening
from tests.programs.raw_mqtt import publish_raw, user_property
from tests.programs.verifier_rig import ROOT, VerifierRig, verifier_rig
from tests.programs.waiting import PATIENCE_S

STOP = Kind(by=Attacker.STRANGER, goal="stop a running verifier", layer=Layer.INTEGRATION, needs=("mosquitto",))
HIDE = Kind(
    by=Attacker.NETWORK,
    goal="hide from people that a device is bad",
    layer=Layer.INTEGRATION,
    needs=("mosquitto",),
)


@dataclass
class Stage:
    """A broker, a running verifier, a device and a client that hears results."""

    broker: Mosquitto
    rig: VerifierRig
    client: Listener

    def send(self, push: Evidence) -> None:
        self.client.publish(self.topic, self.rig.payload(push))

    @property
    def topic(self) -> str:
        return self.rig.topics.evidence(self.rig.devices[0].ueid)

    def results(self) -> list[AttestationResult]:
        return self.rig.results(self.client.messages, self.rig.devices[0].ueid)

    def answer_to(self, push: Evidence) -> AttestationResult:
        """Sends a push; the result about it."""
        self.send(push)
        ueid = self.rig.devices[0].ueid

        def there(messages: list[tuple[str, bytes]]) -> bool:
            return any(each.sequence == push.body.sequence for each in self.rig.results(messages, ueid))

        self.client.wait_for(there, f"the result of push {push.body.sequence}")
        return self.results()[-1]

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A relying party's command."""
        trust = ["--verifier-key", str(self.rig.folder / "verifier.pub"), "--port", str(self.broker.port)]
        return subprocess.run(
            [sys.executable, "-m", "relying_party", *command, *trust],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )


@contextlib.contextmanager
def _staged(folder: Path) -> Iterator[Stage]:
    (folder / "broker").mkdir()
    with (
        running_mosquitto(folder / "broker") as broker,
        verifier_rig(folder, broker.port) as rig,
        listening(broker.port, rig.topics.all_results, rig.topics.all_status) as client,
    ):
        rig.publish_trust(client)
        rig.start()
        client.wait_for(bool, "the verifier's status")
        yield Stage(broker, rig, client)


@STOP.attack("affirming")
def poisoned_properties(scene: Scene) -> Seen:
    """MQTT 5 messages with user properties that client libraries choke on, on each topic that the verifier hears."""
    stage = scene.enter(_staged(scene.folder()))
    device, topics = stage.rig.devices[0], stage.rig.topics
    stage.answer_to(device.push(elapsed_ms=1))
    for topic in (
        stage.topic,
        topics.handles("clock"),
        topics.reference_values("good"),
        topics.endorsements(device.ueid),
    ):
        for text in ("\ufeff", "\ufffe", "\x01", "\U0010ffff"):
            with contextlib.suppress(OSError):
                publish_raw(stage.broker.port, topic, b"x", properties=user_property("k", text))
    return of_result(stage.answer_to(device.push(elapsed_ms=1)))


@STOP.attack("affirming")
def noise_of_all_sizes(scene: Scene) -> Seen:
    """Noise of all sizes on each topic that the verifier hears, also retained, and a restart of the verifier."""
    stage = scene.enter(_staged(scene.folder()))
    device, topics = stage.rig.devices[0], stage.rig.topics
    stage.answer_to(device.push(elapsed_ms=1))
    for topic in (stage.topic, topics.handles("x"), topics.reference_values("x"), topics.policies("x")):
        for size in (0, 1, 1000, 262_144, 300_000):
            stage.client.publish(topic, bytes(size))
        stage.client.publish(topic, b"\xff" * 1000, retain=True)
    stage.rig.kill()
    stage.rig.start()
    return of_result(stage.answer_to(device.push(elapsed_ms=1)))


@HIDE.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def more_to_come_in_every_heartbeat(scene: Scene) -> Seen:
    """An empty increment with a greater total in each heartbeat of a bad device, and the verifier is killed once."""
    stage = scene.enter(_staged(scene.folder()))
    device = stage.rig.devices[0]
    stage.answer_to(device.push(elapsed_ms=1))
    device.run(b"/tmp/evil", b"evil")
    stage.answer_to(device.push(elapsed_ms=1))
    seen = []
    for number in range(6):
        if number == 3:
            stage.rig.kill()
            stage.rig.start()
        push = device.push(elapsed_ms=1)
        promise = {"ima": LogIncrement(records=b"", total=push.body.logs["ima"] + 1000)}
        seen.append(of_result(stage.answer_to(replace(push, unsigned_increments=promise))))
    return best_for_the_attacker(seen)


@HIDE.attack("exit 1", code=Reason.FILE_UNEXPECTED)
def forged_result_beside_the_true_one(scene: Scene) -> Seen:
    """A forged good result is left on the retained topic, then the old good one; `relying-party show` is asked."""
    stage = scene.enter(_staged(scene.folder()))
    device = stage.rig.devices[0]
    good = stage.answer_to(device.push(elapsed_ms=1))
    old = next(payload for topic, payload in stage.client.messages if "/results/" in topic)
    device.run(b"/tmp/evil", b"evil")
    stage.answer_to(device.push(elapsed_ms=1))
    bad = stage.client.messages[-1]
    topic = stage.rig.topics.results(device.ueid)
    with listening(stage.broker.port) as other:
        other.publish(topic, message_of(replace(good, sequence=99), STRANGERS_KEY), retain=True)
        other.publish(topic, old, retain=True)
        other.publish(topic, bad[1], retain=True)
    told = stage.ask("show", _name_of(stage))
    reasons = tuple(code for code in (Reason.FILE_UNEXPECTED.value,) if code in told.stdout)
    return Seen(verdict=f"exit {told.returncode}", reasons=reasons, detail=told.stderr)


def _name_of(stage: Stage) -> str:
    return stage.topic.rpartition("/")[2]


@HIDE.attack("not 0")
def wrong_key_in_a_script(scene: Scene) -> Seen:
    """A script is given another verifier's key: `relying-party results --once` takes none of the results."""
    stage = scene.enter(_staged(scene.folder()))
    stage.answer_to(stage.rig.devices[0].push(elapsed_ms=1))
    (stage.rig.folder / "verifier.pub").write_bytes((stage.rig.folder / "endorser.pub").read_bytes())
    told = stage.ask("results", "--once")
    return Seen(verdict="0" if told.returncode == 0 else "not 0", detail=f"{told.returncode}: {told.stderr}")


@HIDE.attack("not 0")
def reader_that_closes_the_pipe(scene: Scene) -> Seen:
    """A script pipes `relying-party show` of a bad device into a reader that closes the pipe at once, with pipefail."""
    stage = scene.enter(_staged(scene.folder()))
    device = stage.rig.devices[0]
    stage.answer_to(device.push(elapsed_ms=1))
    device.run(b"/tmp/evil", b"evil")
    stage.answer_to(device.push(elapsed_ms=1))
    show = f"{sys.executable} -m relying_party show {_name_of(stage)}"
    trust = f"--verifier-key {stage.rig.folder / 'verifier.pub'} --port {stage.broker.port}"
    told = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {show} {trust} | true"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    return Seen(verdict="0" if told.returncode == 0 else "not 0", detail=f"{told.returncode}: {told.stderr}")
