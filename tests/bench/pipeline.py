"""Broker to broker: evidence in, signed results out, against a subscriber that only acknowledges."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.table import Measurement
from tests.programs.mosquitto import running_mosquitto
from tests.programs.mqtt_client import Listener, listening
from tests.programs.verifier_rig import ROOT, VerifierRig, verifier_rig

DEVICES = 50
WAIT_SECONDS = 300.0


def measure_pipeline(pushes: int, crypto_floor: float) -> list[Measurement]:
    """Two measurements of one run: against the idle subscriber, and against the cryptographic floor.

    Args:
        pushes: messages in each measurement.
        crypto_floor: verify-and-sign pairs per second on this machine, measured just before.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "broker").mkdir()
        with (
            running_mosquitto(
                folder / "broker", persistence=False, extra_config="max_inflight_messages 1000"
            ) as broker,
            verifier_rig(folder, broker.port, devices=DEVICES) as rig,
        ):
            with listening(broker.port, f"{rig.topics.root}/idle/#") as heard:
                idle_rate = _idle(rig, heard, pushes)
            with listening(broker.port, rig.topics.all_results, rig.topics.all_status) as heard:
                rig.publish_trust(heard)
                rig.start()
                heard.wait_for(bool, "the verifier's status")
                rate = _verified(rig, heard, pushes)
    return [
        Measurement(
            name="broker to broker, SQLite",
            rate=rate,
            floor_name="a subscriber that does nothing",
            floor_rate=idle_rate,
            budget=None,
        ),
        Measurement(
            name="broker to broker, SQLite",
            rate=rate,
            floor_name="one P-256 verify and one sign",
            floor_rate=crypto_floor,
            budget=0.45,
        ),
    ]


def _payloads(rig: VerifierRig, pushes: int) -> list[tuple[str, bytes]]:
    return [
        (rig.topics.evidence(device.ueid), rig.payload(device.push(elapsed_ms=1)))
        for _ in range(pushes // DEVICES)
        for device in rig.devices
    ]


def _idle(rig: VerifierRig, heard: Listener, pushes: int) -> float:
    """The same messages to a process that subscribes like a verifier, acknowledges, and echoes the last."""
    child = subprocess.Popen([sys.executable, "-m", "tests.bench.idle", str(rig.port), str(pushes)], cwd=ROOT)
    try:
        heard.wait_for(bool, "the idle subscriber", WAIT_SECONDS)
        messages = _payloads(rig, pushes)
        started = time.perf_counter()
        for topic, payload in messages:
            heard.publish_soon(topic, payload)
        heard.wait_for(lambda all_heard: len(all_heard) >= 2, "the idle subscriber's end", WAIT_SECONDS)
        return len(messages) / (time.perf_counter() - started)
    finally:
        child.terminate()
        child.wait()


def _verified(rig: VerifierRig, heard: Listener, pushes: int) -> float:
    for device in rig.devices:
        device.previous, device.sent = None, {}  # the idle subscriber had the baselines
    messages = _payloads(rig, pushes)
    before = len(heard.messages)
    started = time.perf_counter()
    for topic, payload in messages:
        heard.publish_soon(topic, payload)
    heard.wait_for(lambda all_heard: len(all_heard) >= before + len(messages), "every result", WAIT_SECONDS)
    return len(messages) / (time.perf_counter() - started)
