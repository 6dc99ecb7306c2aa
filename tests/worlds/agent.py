"""An agent in memory, with a distributor, a verifier and a broker around it, and a clock that a test moves."""

import itertools

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key

from attester_agent.adapters.inbox import Acknowledged, Event, Received
from attester_agent.agent import Agent, Collaborators
from attester_agent.core.agent_state import AgentState
from attester_agent.core.handle_gate import ClockTrust
from attester_agent.core.trust import Trust
from attester_agent.ports import HandleSource, SyncStamper
from attester_agent.push_maker import PushMaker
from attester_agent.settings import EvidenceSettings
from runtime.mqtt import Message
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.codecs import cmw, cose
from schemas.hashes import SHA256
from schemas.media_types import SOLICIT
from schemas.messages.solicit import Solicit, sign_solicit
from schemas.topics import Topics
from tests.builders.log_bytes import ima_ng
from tests.fakes.attester import Broker, HandleMint, MemoryLog, MemorySpool, SoftTpm, state_of

TOPICS = Topics()
T_US = 1_800_000_000_000_000
S = 1_000_000


class Clock:
    """Time that moves only when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def utc_us(self) -> int:
        return T_US + int((self.now_s - 1000) * S)


class Rig:
    """An agent with fakes around it."""

    def __init__(
        self,
        mint: HandleMint,
        time: Clock,
        *,
        stamper: SyncStamper | None = None,
        source: HandleSource | None = None,
        clock: ClockTrust = ClockTrust.TRUSTED,
        **settings: object,
    ) -> None:
        self.mint = mint
        self.stamper = stamper
        self.source = source
        self.clock = clock
        self.time = time
        self.settings = EvidenceSettings(
            **({"pcrs": "sha256:0-3,10", "heartbeat_s": 30.0} | settings)  # type: ignore[arg-type]  # as a test names them
        )
        self.tpm = SoftTpm()
        self.ima = MemoryLog()
        self.spool = MemorySpool()
        self.broker = Broker()
        self.verifier: EllipticCurvePrivateKey = generate_private_key(SECP256R1())
        self.issued = itertools.count(1)
        self.handles = itertools.count()
        self.acknowledged = 0
        self.agent = self.start(state_of(self.tpm))

    def start(self, state: AgentState) -> Agent:
        maker = PushMaker(
            self.tpm,
            [self.ima],
            selection=self.settings.selection,
            max_bytes=self.settings.max_evidence_bytes,
            baseline_every=self.settings.baseline_every,
            stamper=self.stamper,
        )
        collaborators = Collaborators(
            maker=maker,
            logs=[self.ima],
            spool=self.spool,
            transport=self.broker,
            topics=TOPICS,
            collect_claims=lambda: {"os": "x"},
            status=b"here",
            handle_source=self.source,
        )
        trust = Trust(
            distributors=self.mint.keys,
            verifiers={cose.key_id(self.verifier.public_key()): self.verifier.public_key()},
            stamps=TimeStampVerifier(self.mint.authority.root.pem),
            clock=self.clock,
        )
        return Agent(state, self.settings, trust, collaborators)

    def restart(self) -> None:
        """Kills the agent and starts another from what was stored."""
        self.agent = self.start(self.spool.load() or state_of(self.tpm))

    def turn(self, *events: Event, after_s: float = 0) -> None:
        self.time.now_s += after_s
        self.agent.turn(events)

    def acknowledge(self) -> None:
        """The broker has everything that was published."""
        before, self.acknowledged = self.acknowledged, len(self.broker.published)
        self.agent.turn([Acknowledged(number) for number in range(before + 1, self.acknowledged + 1)])

    def heartbeats(self, count: int, every_s: float = 30) -> None:
        """So many turns with nothing new but the time; the broker acknowledges."""
        for _ in range(count):
            self.turn(after_s=every_s)
            self.acknowledge()

    def handle(self, time_us: int | None = None) -> Received:
        chosen = T_US + next(self.handles) * S if time_us is None else time_us
        return received(TOPICS.handles("distributor-1"), self.mint.payload(chosen))

    def solicit(self, *, full: bool = False, logs: dict[str, int] | None = None, issued: int | None = None) -> Received:
        asked = Solicit(
            ueid=self.agent.state.ueid,
            verifier="verifier-1",
            issued_us=next(self.issued) if issued is None else issued,
            reason="sequence-gap",
            full=full,
            logs=logs or {},
        )
        payload = cmw.wrap(SOLICIT, sign_solicit(asked, self.verifier), None)
        return received(TOPICS.solicit(self.agent.state.ueid), payload)

    def measure(self, count: int = 1) -> None:
        for _ in range(count):
            record = ima_ng(b"/bin/%d" % len(self.ima.records), b"x")
            self.ima.measure(self.tpm, record, SHA256.digest(record[28 + len(b"ima-ng") + 4 :]))

    @property
    def sequences(self) -> list[int]:
        return [evidence.body.sequence for evidence in self.broker.evidence]


def received(topic: str, payload: bytes) -> Received:
    return Received(Message(topic=topic, payload=payload, retained=False, packet_id=0, connection=1))
