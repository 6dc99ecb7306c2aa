"""The agent dies before or after each effect it has on the world; started again, the chain of its pushes is whole."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self, TypeVar

import pytest

from attester_agent.adapters.inbox import Acknowledged, Event, Received
from attester_agent.adapters.spool import SqliteSpool
from attester_agent.agent import Agent, Collaborators
from attester_agent.core.handle_gate import ClockTrust
from attester_agent.core.trust import Trust
from attester_agent.push_maker import PushMaker
from attester_agent.settings import EvidenceSettings
from runtime.clock import utc_us
from runtime.mqtt import Message
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.hashes import SHA256
from schemas.messages.evidence import Evidence
from schemas.topics import Topics
from tests.builders.log_bytes import ima_ng
from tests.fakes.attester import Broker, HandleMint, MemoryLog, SoftTpm, state_of

T = TypeVar("T")
TURNS = 8
MAX_BYTES = 4096


class PowerCutError(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class PowerCut:
    """Cuts the power at one moment: before, or after, one numbered effect."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.left = at
        self.after = after

    def __call__(self, effect: Callable[[], T]) -> T:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise PowerCutError
        result = effect()
        if self.left == 0:
            raise PowerCutError
        return result


class Life:
    """One device through several lives of its agent. Effects: quote, every write to the spool, publish."""

    def __init__(self, path: Path, cut: PowerCut) -> None:
        self.path = path
        self.cut = cut
        self.mint = HandleMint()
        self.tpm = SoftTpm()
        self.ima = MemoryLog()
        self.broker = Broker()
        self.handle = self.mint.payload(utc_us())
        self.acknowledged = 0
        self._wrap(self.tpm, "quote")
        self._wrap(self.broker, "publish")
        self.agent = self.start()

    def _wrap(self, owner: object, name: str) -> None:
        real = getattr(owner, name)
        setattr(owner, name, lambda *args, **named: self.cut(lambda: real(*args, **named)))

    def start(self) -> Agent:
        settings = EvidenceSettings(pcrs="sha256:0-3,10", max_evidence_bytes=MAX_BYTES, heartbeat_s=1e-9)
        self.spool = spool = SqliteSpool(self.path, max_bytes=1 << 20)
        for name in ("add", "save", "remove"):
            self._wrap(spool, name)
        maker = PushMaker(self.tpm, [self.ima], selection=settings.selection, max_bytes=MAX_BYTES)
        collaborators = Collaborators(
            maker=maker,
            logs=[self.ima],
            spool=spool,
            transport=self.broker,
            topics=Topics(),
            collect_claims=lambda: {"os": "x"},
            status=b"",
        )
        stamps = TimeStampVerifier(self.mint.authority.root.pem)
        trust = Trust(distributors=self.mint.keys, verifiers={}, stamps=stamps, clock=ClockTrust.TRUSTED)
        return Agent(spool.load() or state_of(self.tpm), settings, trust, collaborators)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.spool.close()

    def turn(self) -> None:
        events: list[Event] = [Acknowledged(number) for number in range(self.acknowledged, len(self.broker.published))]
        self.acknowledged = len(self.broker.published)
        message = Message(topic=Topics().handles("d"), payload=self.handle, retained=True, packet_id=0, connection=1)
        self.agent.turn([Received(message), *events])

    def measure(self, count: int) -> None:
        for _ in range(count):
            record = ima_ng(b"/usr/bin/%d" % len(self.ima.records), b"x")
            self.ima.measure(self.tpm, record, SHA256.digest(record[28 + len(b"ima-ng") + 4 :]))


def chain(published: list[Evidence]) -> list[Evidence]:
    """One of each sequence number; the same number must have the same bytes."""
    bodies: dict[int, Evidence] = {}
    for evidence in published:
        assert bodies.setdefault(evidence.body.sequence, evidence) == evidence
    return [bodies[number] for number in sorted(bodies)]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 25))
def test_a_power_cut_at_any_effect_leaves_the_chain_whole(
    tmp_path: Path, at: int, after: bool, at_end: ExitStack
) -> None:
    cut = PowerCut(at, after=after)
    life = at_end.enter_context(Life(tmp_path / "agent.db", cut))
    life.measure(100)
    cuts = 0
    for _ in range(TURNS):
        try:
            life.turn()
            life.measure(1)
        except PowerCutError:
            cuts += 1
            life.spool.close()
            life.agent = life.start()
    assert cuts == 1
    pushed = chain(life.broker.evidence)
    assert [each.body.sequence for each in pushed] == list(range(len(pushed)))
    assert [each.body.previous for each in pushed[1:]] == [each.body_digest for each in pushed[:-1]]
    assert pushed[0].body.previous is None
    sent = b"".join(each.unsigned_increments["ima"].records for each in pushed if each.unsigned_increments)
    assert b"".join(life.ima.records).startswith(sent)
    assert len(sent) > 3 * 2000
