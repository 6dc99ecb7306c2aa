"""The second stamp of two-sided mode: when the agent asks for it, which pushes carry it, and that none waits for it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY

from attester_agent.adapters.sync_stamper import FIRST_PAUSE_S, TsaSyncStamper
from runtime import clock
from schemas.codecs.tst_info import Stamp, TstInfo
from schemas.errors import WorldError
from schemas.reasons import Reason
from tests.fakes.attester import HandleMint
from tests.worlds.agent import T_US, Clock, Rig


@dataclass
class Tsa:
    """Stamps by naming what it stamps; ``failure`` makes it fail."""

    name: str = "tsa"
    failure: Reason | None = None
    asked: list[tuple[bytes, int]] = field(default_factory=list)
    size: int = 0

    def stamp(self, imprint: bytes, nonce: int) -> Stamp:
        self.asked.append((imprint, nonce))
        if self.failure is not None:
            raise WorldError(self.failure, "was told to fail")
        info = TstInfo(policy="1.2", imprint=imprint, serial=1, gen_time_us=T_US, accuracy_us=0, nonce=nonce)
        return Stamp(token=b"stamp over " + imprint + bytes(self.size), info=info)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moving = Clock()
    monkeypatch.setattr(clock, "monotonic_s", moving.monotonic_s)
    monkeypatch.setattr(clock, "utc_us", moving.utc_us)
    return moving


Make = Callable[..., Rig]


@pytest.fixture
def make(time: Clock) -> Make:
    mint = HandleMint()

    def made(*tsas: Tsa, **settings: object) -> Rig:
        drawn = iter(range(1, 10_000))
        stamper = TsaSyncStamper(
            tsas, monotonic_s=time.monotonic_s, random_bytes=lambda size: next(drawn).to_bytes(size, "big")
        )
        return Rig(mint, time, stamper=stamper, **settings)  # type: ignore[arg-type]  # as a test names them

    return made


def carried(rig: Rig) -> list[bool]:
    """Which pushes carry a stamp: each of them carries the stamp of its own sync proof."""
    bodies = [evidence.body for evidence in rig.broker.evidence]
    assert all(body.sync_stamp in {None, b"stamp over " + body.sync_imprint} for body in bodies)
    return [body.sync_stamp is not None for body in bodies]


def test_the_first_push_after_a_sync_carries_the_stamp_and_the_others_do_not(make: Make) -> None:
    tsa = Tsa()
    rig = make(tsa)
    rig.turn(rig.handle())
    rig.heartbeats(2)
    rig.turn(rig.handle())
    rig.heartbeats(1)
    assert carried(rig) == [True, False, False, True, False]
    assert (len(tsa.asked), rig.tpm.syncs) == (2, 2)
    assert len({nonce for _, nonce in tsa.asked}) == 2


def test_a_full_push_carries_it_again_and_nobody_is_asked_again(make: Make) -> None:
    tsa = Tsa()
    rig = make(tsa, baseline_every=2)
    rig.turn(rig.handle())
    rig.heartbeats(4)
    assert [evidence.body.previous is None for evidence in rig.broker.evidence] == [True, False, False, True, False]
    assert carried(rig) == [True, False, False, True, False]
    assert len(tsa.asked) == 1


def test_a_solicited_push_is_synchronised_and_stamped_anew(make: Make) -> None:
    tsa = Tsa()
    rig = make(tsa)
    rig.turn(rig.handle())
    rig.turn(rig.solicit(full=True))
    assert carried(rig) == [True, True]
    assert len({imprint for imprint, _ in tsa.asked}) == 2


def test_without_a_stamp_the_push_goes_out_and_a_later_one_carries_it(make: Make) -> None:
    tsa = Tsa(failure=Reason.TSA_TIMEOUT)
    rig = make(tsa)
    before = failures(Reason.TSA_TIMEOUT)
    rig.turn(rig.handle())
    assert (carried(rig), len(tsa.asked), failures(Reason.TSA_TIMEOUT) - before) == ([False], 1, 1)
    rig.measure()
    rig.heartbeats(1, every_s=1)
    assert (carried(rig), len(tsa.asked)) == ([False, False], 1)  # too soon to ask for the same proof again
    tsa.failure = None
    rig.heartbeats(1, every_s=FIRST_PAUSE_S)
    rig.heartbeats(1)
    assert (carried(rig), len(tsa.asked), rig.tpm.syncs) == ([False, False, True, False], 2, 1)


def test_the_next_tsa_is_asked_after_a_failure_and_at_once_for_another_proof(make: Make) -> None:
    first, second = Tsa(failure=Reason.TSA_UNREACHABLE), Tsa()
    rig = make(first, second)
    rig.turn(rig.handle())
    rig.turn(rig.handle())
    rig.turn(rig.handle())
    assert (carried(rig), len(first.asked), len(second.asked)) == ([False, True, True], 1, 2)


def test_a_push_made_again_after_a_full_disk_carries_it_again(make: Make) -> None:
    tsa = Tsa()
    rig = make(tsa)
    rig.spool.failures = [WorldError(Reason.STORE_UNAVAILABLE, "full")]
    rig.turn(rig.handle())
    assert rig.sequences == []
    rig.turn(after_s=60)
    assert (rig.sequences, carried(rig), len(tsa.asked)) == ([0], [True], 1)


def test_a_reboot_between_stamp_and_quote_loses_the_stamp_and_not_the_push(make: Make) -> None:
    tsa = Tsa()
    rig = make(tsa)
    rig.turn(rig.handle())
    rig.tpm.reboot()
    rig.turn(after_s=30)
    rig.turn(after_s=30)
    assert carried(rig) == [True, False, True]
    assert len(tsa.asked) == 2


def test_a_stamp_takes_its_room_from_the_logs(make: Make) -> None:
    rig = make(Tsa(size=6000), max_evidence_bytes=16_000)
    rig.measure(200)
    rig.turn(rig.handle())
    for _ in range(5):
        rig.turn()
    sizes = [len(payload) for topic, payload in rig.broker.published if "/evidence/" in topic]
    assert max(sizes) <= 16_000
    assert b"".join(each.unsigned_increments["ima"].records for each in rig.broker.evidence) == b"".join(
        rig.ima.records
    )
    first, *others = [evidence.body.sync_stamp is not None for evidence in rig.broker.evidence]
    assert (first, any(others)) == (True, False)


def test_the_quote_binds_the_stamp(make: Make) -> None:
    rig = make(Tsa())
    rig.turn(rig.handle())
    (evidence,) = rig.broker.evidence
    assert evidence.body.sync_stamp is not None
    assert evidence.body.sync_stamp in evidence.raw_body
    assert hashlib.sha256(evidence.raw_body).digest() in evidence.quote


def failures(reason: Reason) -> float:
    return REGISTRY.get_sample_value("attestream_sync_stamp_failures_total", {"reason": reason}) or 0.0
