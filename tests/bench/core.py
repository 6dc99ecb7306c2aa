"""``step`` with decoding and result signing, against one ECDSA P-256 verification and one signature; IMA replay."""

import hashlib
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from schemas import media_types
from schemas.boot_log import records as boot_records
from schemas.boot_log.facts import BootFacts
from schemas.codecs import cmw, cose, jws
from schemas.hashes import SHA1, SHA256
from schemas.media_types import Indicator
from schemas.messages import result
from schemas.messages.evidence import encode_evidence, parse_evidence
from schemas.messages.reference_values import ReferenceValues, sign_reference_values, verify_reference_values
from schemas.reasons import Reason
from schemas.replay.log_replay import IMA, TCG2, Replay, ReplayState
from schemas.verdicts import Tier
from tests.bench.table import Measurement
from tests.builders.log_bytes import FIRMWARE, ima_ng
from tests.worlds.device import T0_US, FakeDevice, make_handle, make_trust
from verifier_worker.core.result_builder import build_result
from verifier_worker.core.step import step

ROUNDS = 5
BOOT_LOG_EVENTS = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class BootLogTime:
    """Medians for a log of ``BOOT_LOG_EVENTS`` events and ``size`` bytes."""

    size: int
    replay_ms: float
    facts_ms: float


def interleaved(first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float]:
    """Medians of rates, measured in turn so that a busy machine slows both."""
    pairs = [(first(), second()) for _ in range(ROUNDS)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def measure_step(pushes: int) -> tuple[Measurement, int]:
    """Heartbeats of one device; returns the measurement and a heartbeat's payload size in bytes."""
    device, handle, key = FakeDevice(), make_handle(), ec.generate_private_key(ec.SECP256R1())
    device.sync(handle)
    trust, key_id = make_trust(device, handles=(handle,)), cose.key_id(key.public_key()).hex()
    payloads = [
        cmw.wrap(media_types.EVIDENCE, encode_evidence(device.push(elapsed_ms=1)), Indicator.EVIDENCE)
        for _ in range(pushes)
    ]
    now_us = T0_US + 5_000_000

    def steps() -> float:
        state = None
        started = time.perf_counter()
        for payload in payloads:
            evidence = parse_evidence(cmw.unwrap(payload, media_types.EVIDENCE, Indicator.EVIDENCE))
            taken = step(state, device.ueid, evidence, now_us, trust)
            state = taken.state
            assert state is not None
            built = build_result(
                device.ueid, state, taken.findings, now_us, "bench", policy=trust.policy, handle=handle
            )
            jws.sign(result.to_claims(built, "bench", "1"), key, key_id)
        rate = pushes / (time.perf_counter() - started)
        assert state is not None
        assert state.verdict.status is Tier.AFFIRMING
        return rate

    public, algorithm, message = key.public_key(), ec.ECDSA(hashes.SHA256()), bytes(150)
    signature = key.sign(message, algorithm)

    def floor() -> float:
        started = time.perf_counter()
        for _ in range(pushes):
            public.verify(signature, message, algorithm)
            key.sign(message, algorithm)
        return pushes / (time.perf_counter() - started)

    rate, floor_rate = interleaved(steps, floor)
    name, floor_name = "step, decode to signed result", "one P-256 verify and one sign"
    measurement = Measurement(name=name, rate=rate, floor_name=floor_name, floor_rate=floor_rate, budget=0.75)
    return measurement, len(payloads[-1])


def measure_boot_log(rounds: int) -> BootLogTime:
    """Parse and replay of a boot log in two banks; what it adds up to (``boot_facts``) is timed beside it."""
    split = boot_records.split_records((FIRMWARE / "binary_bios_measurements").read_bytes())
    first, *others = split.records
    log = first + b"".join(itertools.islice(itertools.cycle(others), BOOT_LOG_EVENTS - 1))
    banks = (SHA1, SHA256)
    replays, facts = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        replay = Replay(ReplayState(banks=banks), {TCG2: log})
        replayed = time.perf_counter()
        BootFacts().after(replay.whole.consumed[TCG2].events, banks)
        replays.append(replayed - started)
        facts.append(time.perf_counter() - replayed)
    return BootLogTime(
        size=len(log), replay_ms=1000 * statistics.median(replays), facts_ms=1000 * statistics.median(facts)
    )


def measure_replay(entries: int) -> Measurement:
    """IMA entries per second, parse and check and extend, against the bare hashing that cannot be left out."""
    records = b"".join(ima_ng(b"/usr/bin/program-%d" % number, b"%d" % number) for number in range(entries))
    data = bytes(90)

    def replay() -> float:
        started = time.perf_counter()
        Replay(ReplayState(banks=(SHA256,)), {IMA: records})
        return entries / (time.perf_counter() - started)

    def floor() -> float:
        sha1, sha256, value = hashlib.sha1, hashlib.sha256, bytes(32)
        started = time.perf_counter()
        for _ in range(entries):
            sha1(data).digest()
            value = sha256(value + sha256(data).digest()).digest()
        return entries / (time.perf_counter() - started)

    rate, floor_rate = interleaved(replay, floor)
    return Measurement(
        name="IMA replay, entries",
        rate=rate,
        floor_name="the three hashes of an entry",
        floor_rate=floor_rate,
        budget=None,
    )


def measure_references(count: int) -> Measurement:
    """Digests per second of a signed set, verified and parsed, against hash, signature and the decoder alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    keys = {cose.key_id(key.public_key()): key.public_key()}
    files = {hashlib.sha256(b"%d" % number).digest(): f"/usr/lib/package/file-{number}" for number in range(count)}
    values = ReferenceValues(name="bench", version=1, signer="bench", not_before_s=0, not_after_s=2**32, files=files)
    raw = sign_reference_values(values, key)
    sign1 = cose.parse(raw, "bench", max_bytes=len(raw))

    def load() -> float:
        started = time.perf_counter()
        assert len(verify_reference_values(raw, keys).files) == count
        return count / (time.perf_counter() - started)

    def floor() -> float:
        started = time.perf_counter()
        expected = {cose.HEADER_CONTENT_TYPE: media_types.CORIM}
        payload = cose.verify(sign1, keys, expected, Reason.OBJECT_SIGNATURE_INVALID)
        for depth in (raw, payload, cbor2.loads(payload).value[1][0].value):
            cbor2.loads(depth)
        return count / (time.perf_counter() - started)

    rate, floor_rate = interleaved(load, floor)
    return Measurement(
        name="reference values, digests",
        rate=rate,
        floor_name="hash, P-256 verify, bare cbor2.loads",
        floor_rate=floor_rate,
        budget=None,
    )
