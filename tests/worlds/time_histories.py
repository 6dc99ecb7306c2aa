"""Whole histories of one device, its handles and its verifier, made from a seed by someone who knows the true time.

    outcome = run_history(seed)            # raises AssertionError that names the seed

True time is integer microseconds. A TPM's oscillator counts picoseconds, so that a rate in ppm loses nothing. What
happens to a history -- lost, late and replayed handles, reboots, suspends, TPM2_Clear, TPM2_ClockSet by an attacker,
spools, a verifier whose clock is off -- is drawn in :class:`Plan`. Every push goes through ``step`` and every state it
leaves is held against the truth by :class:`Judge`; one history in ``WIRE_EVERY`` through real bytes of everything.
"""

import functools
import hashlib
import heapq
import itertools
import random
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from typing_extensions import override

from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.identifiers import HandleId
from schemas.messages.evidence import (
    Evidence,
    EvidenceBody,
    LogIncrement,
    PcrBanks,
    SyncProof,
    encode_evidence,
    parse_evidence,
)
from schemas.messages.handle import Handle, verify_handle
from schemas.reasons import Reason
from schemas.time_model import quote_made
from schemas.verdicts import Freshness, Tier
from tests.builders import tpm_bytes
from tests.fakes.attester import HandleMint
from tests.worlds.device import FakeDevice, make_handle, make_policy, make_trust
from verifier_worker.core.state import AttesterState
from verifier_worker.core.state_codec import decode_state, encode_state
from verifier_worker.core.step import Step, overdue, step
from verifier_worker.core.trust import Trust

START_US: Final = 1_800_000_000_000_000
US: Final = 1_000_000
HOUR_US: Final = 3_600 * US
PPM: Final = 1_000_000
PS_PER_MS: Final = 10**9
NV_STEP_PS: Final = 2**22 * PS_PER_MS  # TPM 2.0 Part 1, "Clock": stored at least so often
FIRMWARE: Final = 0x2019_1023_0016_3636
MAX_DRIFT_PPM: Final = 150_000
WIRE_EVERY: Final = 12
_KEY: Final = ec.derive_private_key(0xC10C, ec.SECP256R1())


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one history is made of; times in microseconds, chances per event."""

    interval_us: int
    heartbeat_us: int
    length_us: int
    distributors: int
    accuracy_us: int
    resolution_us: int
    drift_ppm: int
    verifier_off_us: int
    max_age_us: int
    max_handle_age_us: int
    lost: float
    late: float
    replayed: float
    withheld_from_verifier: float
    trouble: float
    clears: float
    clock_sets: float
    lazy: float
    link_down: float
    wire: bool


def draw_plan(dice: random.Random, *, wire: bool) -> Plan:
    """A plan; some are calm, so that most of what can be affirmed is."""
    interval_us = int(US * dice.choice([1, 10, 60, 600, 3_600, 86_400]) * dice.uniform(0.8, 1.2))
    calm, attacked = dice.random() < 0.25, dice.random() < 0.3

    def chance(most: float) -> float:
        return 0.0 if calm else dice.choice([0.0, most * dice.random()])

    return Plan(
        interval_us=interval_us,
        heartbeat_us=int(interval_us * dice.choice([0.2, 0.5, 1.3])) + 50_000,
        length_us=interval_us * dice.randint(4, 12),
        distributors=dice.choice([1, 1, 2]),
        accuracy_us=dice.choice([0, 0, 1_000, 500_000, dice.randint(0, 60 * US)]),
        resolution_us=dice.choice([1, 1_000, US]),
        drift_ppm=dice.choice([MAX_DRIFT_PPM, MAX_DRIFT_PPM, 20_000, 100, 0]),
        verifier_off_us=dice.choice([0, 0, dice.randint(-5 * US, 5 * US)]),
        max_age_us=int(interval_us * dice.choice([0.05, 0.5, 2])) + dice.randint(0, 120 * US),
        max_handle_age_us=int(interval_us * dice.choice([1.5, 3])) + 70 * US,
        lost=chance(0.5),
        late=chance(0.4),
        replayed=chance(0.3),
        withheld_from_verifier=chance(0.5),
        trouble=chance(0.35),
        clears=chance(0.1),
        clock_sets=dice.uniform(0.05, 0.3) if attacked and not calm else 0.0,
        lazy=chance(0.3),
        link_down=chance(0.15),
        wire=wire,
    )


@dataclass
class ClockedDevice(FakeDevice):
    """A device whose ``time``, ``safe`` and firmware version somebody sets."""

    time_ms: int = 0
    safe: bool = True
    firmware: int = FIRMWARE
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: _KEY)
    sync_stamp: bytes | None = None

    @override
    def sign(self, body: EvidenceBody, increments: Mapping[str, LogIncrement], pcrs: PcrBanks) -> Evidence:
        return super().sign(replace(body, sync_stamp=self.sync_stamp), increments, pcrs)

    @override
    def attest(self, attested: bytes, kind: int, extra_data: bytes) -> tuple[bytes, bytes]:
        raw = tpm_bytes.attest_bytes(
            attested, kind=kind, extra_data=extra_data, clock_info=self._clock(), firmware_version=self.firmware
        )
        r, s = decode_dss_signature(self.key.sign(raw, ec.ECDSA(hashes.SHA256())))
        parts = tpm_bytes.sized(r.to_bytes(32, "big")) + tpm_bytes.sized(s.to_bytes(32, "big"))
        return raw, bytes.fromhex("0018000b") + parts

    @override
    def sync(self, handle: Handle) -> None:
        attested = struct.pack(">Q", self.time_ms) + self._clock() + struct.pack(">Q", self.firmware)
        attest, signature = self.attest(attested, tpm_bytes.TPM_ST_ATTEST_TIME, handle.id)
        self.proof = SyncProof(attest=attest, signature=signature)

    def _clock(self) -> bytes:
        return tpm_bytes.clock_bytes(self.clock_ms, self.reset_count, self.restart_count, int(self.safe))


class Oscillator:
    """A TPM's clock and time, as true time passes and power comes and goes (TPM 2.0 Part 1, "Clock")."""

    def __init__(self, at_us: int, rate_ppm: int, clock_ps: int) -> None:
        self.at_us, self.rate_ppm = at_us, rate_ppm
        self.clock_ps, self.time_ps = clock_ps, 0
        self.stored_ps = clock_ps // NV_STEP_PS * NV_STEP_PS
        self.powered, self.safe = True, True

    def advance(self, now_us: int) -> None:
        if self.powered:
            ticks = (now_us - self.at_us) * (PPM + self.rate_ppm)
            self.clock_ps += ticks
            self.time_ps += ticks
            self._store()
        self.at_us = now_us

    def set_forward(self, ms: int) -> None:
        """TPM2_ClockSet, which also stores."""
        self.clock_ps += ms * PS_PER_MS
        self._store()

    def power_on(self, *, orderly: bool) -> None:
        self.powered, self.time_ps = True, 0
        if orderly:
            self.stored_ps = self.clock_ps
        else:
            self.clock_ps, self.safe = self.stored_ps, False

    def clear(self) -> None:
        """TPM2_Clear."""
        self.clock_ps, self.stored_ps, self.safe = 0, 0, True

    def _store(self) -> None:
        if self.clock_ps - self.stored_ps >= NV_STEP_PS:
            self.stored_ps, self.safe = self.clock_ps // NV_STEP_PS * NV_STEP_PS, True


@dataclass(frozen=True, kw_only=True)
class Synchronised:
    """The truth about a sync proof."""

    true_us: int
    handle: Handle
    clock_ps: int
    boot: int


@dataclass(frozen=True, kw_only=True)
class Made:
    """The truth about a push."""

    true_us: int
    sync: Synchronised
    clock_ms: int
    boot: int
    safe: bool
    clock_was_set: bool
    evidence: Evidence


@functools.cache
def _wire_authority() -> tuple[HandleMint, TimeStampVerifier]:
    mint = HandleMint()
    return mint, TimeStampVerifier(mint.authority.root.pem)


@functools.cache
def _base_trust() -> Trust:
    device = ClockedDevice()
    return make_trust(device)


class SimulatedTime:
    """One history; see the module."""

    def __init__(self, seed: int, *, believed_drift_ppm: int | None = None) -> None:
        """``believed_drift_ppm``: what the policy says of the clock, where not the truth."""
        self.seed, self.dice = seed, random.Random(seed)
        self.plan = plan = draw_plan(self.dice, wire=seed % WIRE_EVERY == 0)
        self.now_us = START_US
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.device = ClockedDevice()
        clock_ps = self.dice.choice([1, NV_STEP_PS - 5 * PS_PER_MS, self.dice.randint(0, 10**21)])
        self.oscillator = Oscillator(START_US, self._rate(), clock_ps)
        self.boot = 0  # of power: counts every start, whatever the TPM's own counters do
        self.sets: list[int] = []
        self.agents_handle: Handle | None = None
        self.sync: Synchronised | None = None
        self.full = True
        self.spool: list[Evidence] | None = None
        self.made: dict[bytes, Made] = {}
        self.known: dict[HandleId, Handle] = {}
        self._numbers = itertools.count(seed * 1_000)
        believed = plan.drift_ppm if believed_drift_ppm is None else believed_drift_ppm
        policy = replace(
            make_policy(deadline_s=plan.heartbeat_us * 3 / US, drift_ppm=believed),
            max_age_us=plan.max_age_us,
            max_handle_age_us=plan.max_handle_age_us,
        )
        self.trust = replace(_base_trust(), handles=self.known, policy=policy)
        self.state: AttesterState | None = None
        self.judge = Judge(self)

    # ── true time ────────────────────────────────────────────────────────────────────────────────────────────────────

    def at(self, delay_us: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_us + max(0, delay_us), next(self._order), action))

    def run(self) -> "Judge":
        for _ in range(self.plan.distributors):
            self.at(self.dice.randint(0, self.plan.interval_us), self._stamp)
        self.at(self.plan.interval_us, self._beat)
        self.at(self.plan.interval_us, self._happen)
        end_us = START_US + self.plan.length_us
        while self._events and self._events[0][0] <= end_us:
            self.now_us, _, action = heapq.heappop(self._events)
            self.oscillator.advance(self.now_us)
            action()
        return self.judge

    def _chance(self, share: float) -> bool:
        return self.dice.random() < share

    def _rate(self) -> int:
        most = self.plan.drift_ppm
        return self.dice.choice([-most, most, self.dice.randint(-most, most)])

    def _delay(self) -> int:
        """Of the network: most messages are quick, some take hours."""
        if self._chance(self.plan.late):
            return self.dice.randint(0, self.dice.choice([self.plan.interval_us * 3, 6 * HOUR_US]))
        return self.dice.choice([0, self.dice.randint(0, min(self.plan.interval_us // 10, US // 2))])

    # ── handles ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _shown_us(self) -> int:
        """What a TSA writes now: off by no more than its accuracy, cut to what it shows."""
        most_us, place_us = self.plan.accuracy_us, self.plan.resolution_us
        error_us = self.dice.choice([-most_us, most_us, 0, self.dice.randint(-most_us, most_us)])
        return (self.now_us + error_us) // place_us * place_us

    def _stamp(self) -> None:
        plan = self.plan
        shown_us = self._shown_us()
        lifetime_s = max(5, plan.interval_us * 3 // US)
        handle = self._wire_handle(shown_us, lifetime_s) if plan.wire else self._plain_handle(shown_us, lifetime_s)
        if not self._chance(plan.lost):
            self.at(self._delay(), lambda: self._handle_reaches_device(handle))
        if not self._chance(plan.withheld_from_verifier):
            self.at(self._delay(), lambda: self._handle_reaches_verifier(handle))
        if self._chance(plan.replayed):
            self.at(self.dice.randint(0, 3 * plan.interval_us), lambda: self._handle_reaches_device(handle))
            self.at(self.dice.randint(0, 3 * plan.interval_us), lambda: self._handle_reaches_verifier(handle))
        self.at(int(plan.interval_us * self.dice.uniform(0.9, 1.1)), self._stamp)

    def _plain_handle(self, shown_us: int, lifetime_s: int) -> Handle:
        return make_handle(
            next(self._numbers), time_us=shown_us, accuracy_us=self.plan.accuracy_us, lifetime_s=lifetime_s
        )

    def _wire_handle(self, shown_us: int, lifetime_s: int) -> Handle:
        mint, stamps = _wire_authority()
        accuracy_us = self.plan.accuracy_us
        mint.stamp = lambda imprint, time_us: mint.authority.token(imprint, time_us, accuracy_us=accuracy_us)
        handle = verify_handle(mint.raw(shown_us, lifetime_s=lifetime_s), mint.keys, stamps)
        assert (handle.time_us, handle.accuracy_us) == (shown_us, accuracy_us)
        return handle

    def _handle_reaches_verifier(self, handle: Handle) -> None:
        self.known[handle.id] = handle
        if len(self.known) > 1 and self._chance(self.plan.lost / 10):
            del self.known[min(self.known.values(), key=lambda each: each.time_us).id]  # too old to be kept

    def _handle_reaches_device(self, handle: Handle) -> None:
        if self.agents_handle is not None and handle.time_us <= self.agents_handle.time_us:
            return  # the agent's gate
        self.agents_handle = handle
        if self.oscillator.powered and self._chance(0.8):
            self._synchronise()

    # ── the device ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _look_at_clock(self) -> None:
        self.device.clock_ms = self.oscillator.clock_ps // PS_PER_MS
        self.device.time_ms = self.oscillator.time_ps // PS_PER_MS
        self.device.safe = self.oscillator.safe

    def _synchronise(self) -> None:
        if self.agents_handle is None:
            return
        self._look_at_clock()
        self.device.sync(self.agents_handle)
        self.sync = Synchronised(
            true_us=self.now_us, handle=self.agents_handle, clock_ps=self.oscillator.clock_ps, boot=self.boot
        )

    def _stamp_on(self, proof: SyncProof | None) -> bytes | None:
        """TUDA's second stamp: the TSA saw the proof now, which was made before."""
        if proof is None:
            return None
        mint, _ = _wire_authority()
        imprint = hashlib.sha256(proof.attest).digest()
        return mint.authority.token(imprint, self._shown_us(), accuracy_us=self.plan.accuracy_us)

    def _beat(self) -> None:
        self.at(int(self.plan.heartbeat_us * self.dice.uniform(0.9, 1.1)), self._beat)
        if self.oscillator.powered:
            self._push()

    def _push(self, delay_us: int | None = None) -> None:
        if self.sync is None:
            self._synchronise()
        if self.sync is None:
            return
        self._look_at_clock()
        full, self.full = self.full or self.device.previous is None, False
        self.device.sync_stamp = self._stamp_on(self.device.proof) if self.plan.wire and self._chance(0.6) else None
        pushed = self.device.push(full=full, resend={"tcg2": 0, "ima": 0} if full else None, elapsed_ms=0)
        evidence = parse_evidence(encode_evidence(pushed))
        self.made[evidence.body_digest] = Made(
            true_us=self.now_us,
            sync=self.sync,
            clock_ms=self.device.clock_ms,
            boot=self.boot,
            safe=self.device.safe,
            clock_was_set=any(self.sync.true_us <= each <= self.now_us for each in self.sets),
            evidence=evidence,
        )
        if delay_us is not None:
            self.at(delay_us, lambda: self._arrive(evidence))
        elif self.spool is not None:
            self.spool.append(evidence)
        elif not self._chance(self.plan.lost / 4):
            self.at(self._delay(), lambda: self._arrive(evidence))

    def _happen(self) -> None:
        """Whatever may happen to a device, about once in a handle's interval."""
        plan = self.plan
        self.at(int(plan.interval_us * self.dice.uniform(0.2, 1)), self._happen)
        self.oscillator.rate_ppm = self._rate()
        if not self.oscillator.powered:
            return
        if self._chance(plan.trouble):
            off_us = self.dice.choice([0, 1_000, self.dice.randint(0, plan.interval_us * 2)])
            self.oscillator.powered = False
            kind = self.dice.choice([self._boot_orderly, self._boot_after_power_cut, self._resume])
            self.at(off_us, kind)
        elif self._chance(plan.clears):
            self.oscillator.clear()
            self.device.reset_count = self.device.restart_count = 0
            self._after_restart()
        elif self._chance(plan.clock_sets):
            ahead_ms = int(self.dice.choice([500, 5_000, plan.interval_us // 1000, 3 * plan.interval_us // 1000]))
            self.oscillator.set_forward(ahead_ms)
            self.sets.append(self.now_us)
            self._push(delay_us=ahead_ms * 1000 + self.dice.randint(-US, US))  # good until then, he hopes
        elif self._chance(plan.link_down) and self.spool is None:
            self.spool = []
            self.at(self.dice.randint(0, max(6 * HOUR_US, plan.interval_us)), self._link_up)

    def _link_up(self) -> None:
        waiting, self.spool = self.spool or [], None
        for evidence in waiting:  # events of one moment keep their order
            self.at(0, functools.partial(self._arrive, evidence))

    def _boot_orderly(self) -> None:
        self._reset(orderly=True)

    def _boot_after_power_cut(self) -> None:
        self._reset(orderly=False)

    def _reset(self, *, orderly: bool) -> None:
        self.oscillator.power_on(orderly=orderly)
        proof = self.device.proof
        self.device.reboot()
        self.device.proof, self.full = proof, True
        self._after_restart()

    def _resume(self) -> None:
        self.oscillator.power_on(orderly=True)
        self._look_at_clock()
        if self._chance(self.plan.lazy):
            self.device.restart_count += 1  # and the agent does not tell
        else:
            self.device.resume()
        self._after_restart()

    def _after_restart(self) -> None:
        """An honest agent binds the new clock epoch to the handle it has; a lazy one goes on with its old proof."""
        self.boot += 1
        if not self._chance(self.plan.lazy):
            self.sync = self.device.proof = None

    # ── the verifier ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _arrive(self, evidence: Evidence) -> None:
        received_us = self.now_us + self.plan.verifier_off_us
        before = self.state
        taken = step(before, self.device.ueid, evidence, received_us, self.trust)
        self.judge.hear(before, taken, evidence, received_us)
        self.state = taken.state
        if self.plan.wire and taken.state is not None:
            self.state = decode_state(encode_state(taken.state))
            assert self.state == taken.state, self.judge.story("a stored state differs")
        if taken.solicit is not None:
            self.full = True
        if self._chance(self.plan.replayed / 2):
            self.at(self.dice.randint(0, 2 * self.plan.interval_us), lambda: self._arrive(evidence))


@dataclass
class Judge:
    """Holds what a verifier concludes against the truth, and counts."""

    world: SimulatedTime
    counts: "Counter[str]" = field(default_factory=Counter)

    def story(self, what: str) -> str:
        return f"seed {self.world.seed}: {what}; {self.world.plan}"

    def hear(self, before: AttesterState | None, taken: Step, evidence: Evidence, received_us: int) -> None:
        """Checks one step."""
        if taken.refused is not None or taken.duplicate:
            self.counts["duplicate" if taken.duplicate else f"refused {taken.refused and taken.refused.reason}"] += 1
            moved = taken.state is not None and before is not None and taken.state.verdict != before.verdict
            assert not moved, self.story("a refused push moved the verdict")
            return
        state = taken.state
        assert state is not None, self.story("an accepted push left no state")
        made = self.world.made[evidence.body_digest]
        verdict = state.verdict
        self.counts[f"{verdict.status} {verdict.freshness}"] += 1
        self.counts.update(f"reason {reason}" for reason in verdict.reasons)
        self._check_bounds(state, made, received_us)
        self._check_verdict(state, made, received_us)
        self._check_rate(state, made)
        silent = overdue(state, (state.deadline_us or 0) + 1)
        assert silent.verdict.status is Tier.NONE, self.story("silence was held against the device")

    def _check_bounds(self, state: AttesterState, made: Made, received_us: int) -> None:
        handle = self.world.known.get(made.sync.handle.id)
        after_us, before_us = state.made_after_us, getattr(state, "made_before_us", None)
        if handle is None:
            assert after_us is None, self.story("a bound from a handle that is not known")
        slow_us = max(0, -self.world.plan.verifier_off_us)
        if before_us is not None:
            late_us = made.true_us - before_us
            assert late_us <= slow_us or made.clock_was_set, self.story(f"made {late_us} us after the upper bound")
            assert before_us <= received_us, self.story("an upper bound after the receipt")
        if handle is None or made.clock_was_set:
            self.counts["bounds waived" if made.clock_was_set else "bounds unknown"] += 1
            return
        if after_us is None:
            assert made.boot != made.sync.boot or not made.safe, self.story("no lower bound, and no reason for it")
            return
        self.counts["bounds checked"] += 1
        early_us = after_us - made.true_us
        assert early_us <= 0, self.story(f"made {early_us} us before the lower bound")
        if made.boot == made.sync.boot:
            assert after_us >= handle.earliest_us, self.story("a lower bound before the handle")

    def _check_verdict(self, state: AttesterState, made: Made, received_us: int) -> None:
        world, verdict = self.world, state.verdict
        plan, known = world.plan, made.sync.handle.id in world.known
        assert verdict.status is not Tier.CONTRAINDICATED, self.story(f"contraindicated: {verdict.reasons}")
        if verdict.status is Tier.AFFIRMING:
            assert known, self.story("affirming with an unknown handle")
            assert verdict.freshness is Freshness.FRESH, self.story(f"affirming and {verdict.freshness}")
        if verdict.freshness is Freshness.FRESH:
            assert known, self.story("fresh with an unknown handle")
            age_us = world.now_us - made.true_us - max(0, -plan.verifier_off_us)
            limit_us = plan.max_handle_age_us if made.clock_was_set else plan.max_age_us
            assert age_us <= limit_us, self.story(f"called fresh {age_us - limit_us} us after the limit")
            assert age_us <= plan.max_handle_age_us, self.story("called fresh on an older handle than allowed")
        if self._must_be_fresh(made, received_us):
            self.counts["must be fresh"] += 1
            reasons = [str(reason) for reason in verdict.reasons]
            if plan.clears and state.clock.suspect in {Reason.CLOCK_RAN_BACK, Reason.CLOCK_SET}:
                return  # a second TPM2_Clear within one boot looks like a TPM that was set back
            assert verdict.freshness is Freshness.FRESH, self.story(f"{verdict.freshness} without need: {reasons}")

    def _must_be_fresh(self, made: Made, received_us: int) -> bool:
        """An honest device, its handle known, young by the formula: nothing may be held against it."""
        world, handle = self.world, self.world.known.get(made.sync.handle.id)
        policy = world.trust.policy
        honest = not world.sets and made.safe and made.boot == made.sync.boot and world.plan.verifier_off_us == 0
        if handle is None or policy is None or not honest:
            return False
        sync_ms = made.sync.clock_ps // PS_PER_MS
        lower_us = quote_made(handle.made, sync_ms, made.clock_ms, policy.drift_ppm).after_us
        return (
            received_us - lower_us <= policy.max_age_us
            and received_us - handle.earliest_us <= policy.max_handle_age_us
            and received_us <= handle.expires_us + policy.grace_us
        )

    def _check_rate(self, state: AttesterState, made: Made) -> None:
        """The bounds of the clock's rate hold its true mean since the first synchronisation of this boot."""
        world, rate, anchor = self.world, state.clock.rate_ppm, state.clock.first
        if rate is None or anchor is None or world.sets or world.plan.verifier_off_us < 0:
            return
        handle = world.known.get(made.sync.handle.id)
        if (
            handle is None
            or handle.earliest_us <= anchor.before_us
            or made.sync.clock_ps // PS_PER_MS <= anchor.clock_ms
        ):
            return  # the bounds are of an earlier synchronisation: from this one nothing can be said
        firsts = [
            each.sync
            for each in world.made.values()
            if each.sync.clock_ps // PS_PER_MS == anchor.clock_ms and each.sync.handle.earliest_us == anchor.after_us
        ]
        if firsts and (elapsed_us := made.sync.true_us - firsts[0].true_us):
            self.counts["rates checked"] += 1
            mean_ppm = (made.sync.clock_ps - firsts[0].clock_ps) // elapsed_us - PPM
            assert rate[0] <= mean_ppm + 1, self.story(f"rate {mean_ppm} ppm, bounds {rate}")
            assert mean_ppm <= rate[1], self.story(f"rate {mean_ppm} ppm, bounds {rate}")


def run_history(seed: int, *, believed_drift_ppm: int | None = None) -> "Counter[str]":
    """Runs one history.

    Returns:
        what was counted.

    Raises:
        AssertionError: names the seed and what was wrong.
    """
    return SimulatedTime(seed, believed_drift_ppm=believed_drift_ppm).run().counts
