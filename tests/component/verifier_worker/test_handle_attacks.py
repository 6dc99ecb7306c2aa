"""Attacks on handles, as the agent meets them: each has its own code, and nothing is bound to what they bring."""

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from prometheus_client import REGISTRY

from attester_agent.adapters.inbox import Received
from attester_agent.core.handle_gate import CLOCK_TOLERANCE_US, ClockTrust
from runtime import clock
from schemas.codecs import cmw, cose
from schemas.media_types import HANDLE, Indicator
from schemas.messages.handle import EPOCH_BELL_IMPRINT, HandleClaims, attach_stamp, sign_claims
from schemas.reasons import Reason
from schemas.tpm.attest import parse_attest
from tests.builders.token_forge import Recipe, certify, tst_info
from tests.fakes.attester import HandleMint
from tests.worlds.agent import T_US, TOPICS, Clock, Rig, S, received

HOUR_S = 3600
LIFETIME_S = 600
REJECTED = "attestream_handles_rejected_total"
OVERDUE = "attestream_handles_overdue_total"


@dataclass
class Thief:
    """Has the distributor's key, and the TSA's ear; not the TSA's key."""

    mint: HandleMint
    nonces: "itertools.count[int]"

    def sign(self, claimed_us: int, *, lifetime_s: int = LIFETIME_S) -> cose.Sign1:
        """Any claims at all: nobody stops the holder of a key from writing a time."""
        claims = HandleClaims(
            issuer="distributor-1",
            not_before_s=claimed_us // S,
            expires_s=claimed_us // S + lifetime_s,
            nonce=hashlib.sha256(b"%d" % next(self.nonces)).digest(),
            epoch_marker=tst_info(EPOCH_BELL_IMPRINT, claimed_us),
            previous=None,
        )
        return sign_claims(claims, self.mint.key)

    def stamp(self, signed: cose.Sign1, time_us: int) -> bytes:
        """What the TSA answers: its own time."""
        return self.mint.authority.token(cose.ctt_imprint(signed), time_us)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """An agent that is bound to a handle of now."""
    moving = Clock()
    monkeypatch.setattr(clock, "monotonic_s", moving.monotonic_s)
    monkeypatch.setattr(clock, "utc_us", moving.utc_us)
    made = Rig(HandleMint(), moving)
    made.turn(made.handle(T_US))
    assert made.sequences == [0]
    return made


@pytest.fixture
def thief(rig: Rig) -> Thief:
    return Thief(rig.mint, itertools.count())


def count(metric: str, reason: Reason) -> float:
    return REGISTRY.get_sample_value(metric, {"reason": reason}) or 0.0


def sent(raw: bytes) -> Received:
    return received(TOPICS.handles("distributor-1"), cmw.wrap(HANDLE, raw, Indicator.HANDLE))


def assert_refused(rig: Rig, attack: Received, reason: Reason) -> None:
    """The attack is counted once, under its own code and no other; what the TPM signs stays what it was."""
    before = {each: count(REJECTED, each) for each in Reason}
    bound, syncs = rig.agent.state.handle, rig.tpm.syncs
    rig.turn(attack)
    rig.turn(after_s=30)  # a heartbeat, to see what it is bound to
    counted = {each: count(REJECTED, each) - before[each] for each in Reason}
    assert {each: number for each, number in counted.items() if number} == {reason: 1}
    assert rig.agent.state.handle == bound
    assert bound is not None
    assert (rig.tpm.syncs, parse_attest(rig.broker.evidence[-1].body.sync.attest).extra_data) == (syncs, bound.id)


def test_a_replayed_handle(rig: Rig) -> None:
    old = rig.handle(T_US + S)
    rig.turn(old)
    rig.turn(rig.handle(T_US + 2 * S))
    assert_refused(rig, old, Reason.HANDLE_NOT_NEWER)


def test_a_stolen_key_and_a_handle_for_tomorrow_with_a_true_stamp_of_now(rig: Rig, thief: Thief) -> None:
    signed = thief.sign(T_US + 24 * HOUR_S * S)
    assert_refused(rig, sent(attach_stamp(signed, thief.stamp(signed, T_US + S))), Reason.HANDLE_TIME_INCONSISTENT)


def test_a_stolen_key_and_a_handle_of_now_that_would_last_for_ever(rig: Rig, thief: Thief) -> None:
    signed = thief.sign(T_US + S, lifetime_s=365 * 24 * HOUR_S)
    assert_refused(rig, sent(attach_stamp(signed, thief.stamp(signed, T_US + S))), Reason.HANDLE_TIME_INCONSISTENT)


def test_a_stolen_key_and_the_stamp_of_an_earlier_handle(rig: Rig, thief: Thief) -> None:
    earlier, signed = thief.sign(T_US + S), thief.sign(T_US + 2 * S)
    reused = attach_stamp(signed, thief.stamp(earlier, T_US + S))
    assert_refused(rig, sent(reused), Reason.HANDLE_STAMP_IMPRINT_MISMATCH)


def test_a_stamp_over_something_else(rig: Rig, thief: Thief) -> None:
    signed = thief.sign(T_US + S)
    token = rig.mint.authority.token(hashlib.sha256(b"a holiday picture").digest(), T_US + S)
    assert_refused(rig, sent(attach_stamp(signed, token)), Reason.HANDLE_STAMP_IMPRINT_MISMATCH)


USAGES: dict[str, Callable[[HandleMint], Recipe]] = {
    "for web servers": lambda mint: Recipe(
        signer=certify("web", mint.authority.root, usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    ),
    "for time stamping, not critical": lambda mint: Recipe(signer=certify("lax", mint.authority.root, critical=False)),
    "for anything": lambda mint: Recipe(signer=certify("any", mint.authority.root, usages=None)),
}


@pytest.mark.parametrize("usage", USAGES)
def test_a_stamp_by_a_certificate_that_is_not_for_time_stamping(rig: Rig, thief: Thief, usage: str) -> None:
    signed = thief.sign(T_US + S)
    token = USAGES[usage](rig.mint).token(cose.ctt_imprint(signed), T_US + S)
    assert_refused(rig, sent(attach_stamp(signed, token)), Reason.HANDLE_STAMP_NOT_FOR_TIME_STAMPING)


def test_a_stamp_by_a_tsa_that_nobody_trusts(rig: Rig, thief: Thief) -> None:
    signed = thief.sign(T_US + S)
    token = HandleMint().authority.token(cose.ctt_imprint(signed), T_US + S)
    assert_refused(rig, sent(attach_stamp(signed, token)), Reason.HANDLE_STAMP_INVALID)


def test_a_handle_signed_by_a_stranger(rig: Rig) -> None:
    stranger = HandleMint()
    stranger.authority = rig.mint.authority
    stranger.stamp = rig.mint.authority.token
    assert_refused(rig, sent(stranger.raw(T_US + S)), Reason.HANDLE_SIGNATURE_INVALID)


def test_a_handle_held_back_until_it_expired(rig: Rig) -> None:
    held = rig.handle(T_US + S)
    rig.turn(after_s=HOUR_S)
    assert_refused(rig, held, Reason.HANDLE_EXPIRED)


def test_a_handle_from_the_future(rig: Rig) -> None:
    """All is in order but the clocks: the TSA's, or this machine's."""
    assert_refused(rig, rig.handle(T_US + HOUR_S * S), Reason.HANDLE_FROM_FUTURE)


def test_handles_withheld_are_said_once_and_the_next_one_ends_it(rig: Rig) -> None:
    before = count(OVERDUE, Reason.HANDLE_OVERDUE)
    pushes = len(rig.sequences)
    rig.turn(after_s=LIFETIME_S + CLOCK_TOLERANCE_US // S)  # the last moment at which it may still come
    assert count(OVERDUE, Reason.HANDLE_OVERDUE) == before
    rig.heartbeats(20)
    assert count(OVERDUE, Reason.HANDLE_OVERDUE) == before + 1
    assert REGISTRY.get_sample_value("attestream_bound_handle_age_seconds") == LIFETIME_S + 60 + 20 * 30
    assert rig.sequences[-1] == pushes + 20  # it goes on pushing as before
    assert rig.tpm.syncs == 1
    newer = rig.handle(rig.time.utc_us())
    rig.turn(newer)
    rig.turn(after_s=2)
    assert REGISTRY.get_sample_value("attestream_bound_handle_age_seconds") == 2
    rig.turn(after_s=HOUR_S)
    assert count(OVERDUE, Reason.HANDLE_OVERDUE) == before + 2


def test_a_clock_that_nobody_trusts_finds_nothing_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    moving = Clock()
    monkeypatch.setattr(clock, "monotonic_s", moving.monotonic_s)
    monkeypatch.setattr(clock, "utc_us", moving.utc_us)
    rig = Rig(HandleMint(), moving, clock=ClockTrust.UNTRUSTED)
    before = count(OVERDUE, Reason.HANDLE_OVERDUE)
    rig.turn(rig.handle(T_US))
    rig.turn(after_s=24 * HOUR_S)
    assert count(OVERDUE, Reason.HANDLE_OVERDUE) == before
