"""An attester agent and a verifier worker, both real down to their databases, with a faulty network in between.

The TPM, the logs and the broker are fakes. Nothing moves but by :meth:`Coupled.turn`: what the agent published since
then goes through ``network``, which may lose, repeat or reorder it, to the worker; what the worker solicits reaches the
agent with the next turn.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from attester_agent.adapters.inbox import Acknowledged, Event
from attester_agent.adapters.inbox import Received as Heard
from attester_agent.adapters.spool import SqliteSpool
from attester_agent.agent import Agent, Collaborators
from attester_agent.core.handle_gate import ClockTrust
from attester_agent.core.trust import Trust
from attester_agent.push_maker import PushMaker
from attester_agent.settings import EvidenceSettings
from runtime.clock import utc_us
from runtime.mqtt import Message
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas import media_types
from schemas.codecs import cmw, cose, jws
from schemas.hashes import SHA256
from schemas.identifiers import ueid_text
from schemas.media_types import Indicator
from schemas.messages.evidence import Evidence
from schemas.messages.handle import verify_handle
from schemas.messages.reference_values import ReferenceValues
from schemas.messages.result import AttestationResult, from_claims
from schemas.messages.solicit import Solicit, verify_solicit
from schemas.topics import Topics
from tests.builders.log_bytes import ima_ng, ima_record, measured, spec_id_record
from tests.fakes.attester import Broker, HandleMint, MemoryLog, SoftTpm, read_payload, state_of
from tests.fakes.verifier import FakeAuditLog, FakePublisher
from tests.worlds.device import ALWAYS_CURRENT, SELECTION, make_endorsement, make_policy
from verifier_worker.adapters.solicitor import Identity
from verifier_worker.adapters.state_store import SqliteStateStore
from verifier_worker.core import trust as verifier_trust
from verifier_worker.core.state import AttesterState
from verifier_worker.worker import Received, Worker

Network = Callable[[list[bytes]], list[bytes]]
BOOT_EVENTS = 8  # firmware extends PCRs 0 to 7 always
ROUNDS = 60


def faithful(payloads: list[bytes]) -> list[bytes]:
    """A network without faults."""
    return payloads


def blackhole(payloads: list[bytes]) -> list[bytes]:
    """A broker that acknowledges everything and delivers nothing."""
    return []


class Coupled:
    """One device, its agent, its verifier."""

    def __init__(self, folder: Path, *, max_bytes: int = 100_000, spool_bytes: int = 1 << 22) -> None:
        self.folder = folder
        self.settings = EvidenceSettings(pcrs=SELECTION, max_evidence_bytes=max_bytes, heartbeat_s=1e-9)
        self.spool_bytes = spool_bytes
        self.tpm = SoftTpm()
        self.boot_log, self.ima = MemoryLog(name="tcg2"), MemoryLog()
        self.boot()
        self.mint, self.verifier_key = HandleMint(), generate_private_key(SECP256R1())
        self.stamps = TimeStampVerifier(self.mint.authority.root.pem)
        self.now_us = utc_us()
        self.handle = self.mint.raw(self.now_us)
        self.trust = self._trust()
        self.network: Network = faithful
        self.audit = FakeAuditLog()
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.spool.close()
        self.store.close()

    def _open(self) -> None:
        """Everything that is not on disk, new."""
        self.broker, self.publisher = Broker(), FakePublisher()
        self.spool = SqliteSpool(self.agent_file, max_bytes=self.spool_bytes)
        self.agent = self._agent()
        self.store = SqliteStateStore(self.verifier_file)
        self.worker = self._worker()
        self._heard_handle = False
        self._delivered = self._answered = 0

    @property
    def agent_file(self) -> Path:
        return self.folder / "agent.db"

    @property
    def verifier_file(self) -> Path:
        return self.folder / "verifier.db"

    def boot(self) -> None:
        """The firmware's measurements and the kernel's first one."""
        self.boot_log.records.clear()
        self.ima.records.clear()
        self.boot_log.records.append(spec_id_record({SHA256.tpm_id: 32}))
        for number in range(BOOT_EVENTS):
            data = b"firmware %d " % number
            record = measured(number % 8, data, banks=(SHA256,))
            self.boot_log.measure(self.tpm, record, SHA256.digest(data), number % 8)
        aggregate = hashlib.sha256(b"".join(self.tpm.pcrs[index] for index in range(10))).digest()
        self._append(ima_record(b"ima-ng", b"sha256:\0" + aggregate, b"boot_aggregate\0"))

    def reboot(self) -> None:
        """A TPM reset."""
        self.tpm.reboot()
        self.boot()

    def run(self, count: int = 1, content: bytes = b"good") -> None:
        """The kernel measures so many files."""
        for _ in range(count):
            self._append(ima_ng(b"/usr/bin/%d" % len(self.ima.records), content))

    def _append(self, record: bytes) -> None:
        self.ima.measure(self.tpm, record, SHA256.digest(record[28 + len(b"ima-ng") + 4 :]))

    def _agent(self) -> Agent:
        maker = PushMaker(
            self.tpm,
            [self.boot_log, self.ima],
            selection=self.settings.selection,
            max_bytes=self.settings.max_evidence_bytes,
        )
        collaborators = Collaborators(
            maker=maker,
            logs=[self.boot_log, self.ima],
            spool=self.spool,
            transport=self.broker,
            topics=Topics(),
            collect_claims=lambda: {"os": "x"},
            status=b"",
        )
        verifiers = {cose.key_id(self.verifier_key.public_key()): self.verifier_key.public_key()}
        trust = Trust(distributors=self.mint.keys, verifiers=verifiers, stamps=self.stamps, clock=ClockTrust.TRUSTED)
        return Agent(self.spool.load() or state_of(self.tpm), self.settings, trust, collaborators)

    def _worker(self) -> Worker:
        return Worker(
            Identity(name="v1", key=self.verifier_key, topics=Topics()),
            self.store,
            self.audit,
            self.publisher,
            trust=lambda _now_us, _ueid: self.trust,
            solicit_interval_s=0,
            cached_states=10,
        )

    def _trust(self) -> verifier_trust.Trust:
        policy = make_policy()
        references = ReferenceValues(
            name="good",
            version=1,
            signer="endorser",
            not_before_s=0,
            not_after_s=2**40,
            registers={SHA256: {index: frozenset({self.tpm.pcrs[index]}) for index in range(10)}},
            files={SHA256.digest(b"good"): "good"},
        )
        vouched = make_endorsement(self.tpm.identity.ueid, self.tpm.public)
        handle = verify_handle(self.handle, self.mint.keys, self.stamps)
        return verifier_trust.Trust(
            endorsed={self.tpm.identity.ueid: verifier_trust.endorsed_key(vouched)},
            handles={handle.id: handle},
            policy=policy,
            references=verifier_trust.merge_references(policy.reference_values, {"good": references}, 1),
            current=ALWAYS_CURRENT,
        )

    # -- time goes on --------------------------------------------------------------------------------------------------

    def push(self) -> list[bytes]:
        """The agent takes one turn with all that waits for it; returns what it published."""
        before = len(self.broker.published)
        events: list[Event] = [] if self._heard_handle else [self._message(Topics().handles("d"), self._handle_payload)]
        self._heard_handle = True
        events += [Acknowledged(number) for number in range(1, before + 1)]
        solicits = self._solicit_payloads()
        events += [self._message(Topics().solicit(self.agent.state.ueid), each) for each in solicits[self._answered :]]
        self._answered = len(solicits)
        self.agent.turn(events)
        return [payload for topic, payload in self.broker.published[before:] if "/evidence/" in topic]

    def deliver(self, payloads: list[bytes]) -> None:
        """The worker takes these."""
        name = ueid_text(self.agent.state.ueid)
        self.now_us += 1000
        self.worker.process([Received(ueid_text=name, payload=each, received_us=self.now_us) for each in payloads])
        self.worker.settle()

    def turn(self, rounds: int = 1) -> None:
        """So many pushes through the network."""
        for _ in range(rounds):
            self.deliver(self.network(self.push()))

    def settle(self) -> int:
        """Turns until the verifier knows all and affirms; returns after how many."""
        for turns in range(ROUNDS):
            if self.is_current:
                return turns
            self.turn()
        raise AssertionError((self.result.status, self.result.reasons, self.result.logs, self.solicits))

    # -- calamities ----------------------------------------------------------------------------------------------------

    def crash(self, *, verifier_file: bytes | None = None, lose: tuple[Path, ...] = ()) -> None:
        """Both sides and the broker die without a word and start again.

        Args:
            verifier_file: what the verifier's database then holds; None for what it held.
            lose: files that are then gone.
        """
        self.spool.close()
        self.store.close()
        if verifier_file is not None:
            self.verifier_file.write_bytes(verifier_file)
        for path in lose:
            path.unlink()
        self._open()

    def backup(self) -> bytes:
        """What the verifier's database holds."""
        self.crash()
        self.store.close()
        content = self.verifier_file.read_bytes()
        self.store = SqliteStateStore(self.verifier_file)
        self.worker = self._worker()
        return content

    def restart_agent(self) -> None:
        """Kill -9 of the agent alone."""
        self.spool.close()
        self.spool = SqliteSpool(self.agent_file, max_bytes=self.spool_bytes)
        self.agent = self._agent()

    def restart_verifier(self) -> None:
        """Kill -9 of the verifier alone."""
        self.store.close()
        self.store = SqliteStateStore(self.verifier_file)
        self.worker = self._worker()

    # -- what came of it -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> AttesterState:
        """As the verifier has stored it."""
        stored = self.store.load(self.agent.state.ueid)
        assert stored is not None
        assert stored.state is not None
        return stored.state

    @property
    def results(self) -> list[AttestationResult]:
        """All results since the start, verified."""
        key = self.verifier_key.public_key()
        tokens = self.publisher.on(ueid_text(self.agent.state.ueid), "results")
        unwrapped = (cmw.unwrap(token, media_types.RESULT, Indicator.ATTESTATION_RESULTS) for token in tokens)
        return [from_claims(jws.verify(token, {cose.key_id(key).hex(): key})) for token in unwrapped]

    @property
    def result(self) -> AttestationResult:
        """The last one."""
        return self.results[-1]

    @property
    def solicits(self) -> list[Solicit]:
        """All solicits since the start, verified."""
        key = self.verifier_key.public_key()
        keys = {cose.key_id(key): key}
        return [verify_solicit(cmw.unwrap(each, media_types.SOLICIT, None), keys) for each in self._solicit_payloads()]

    @property
    def evidence(self) -> list[Evidence]:
        """All that the agent published since the start."""
        return self.broker.evidence

    @property
    def totals(self) -> dict[str, int]:
        """How long the device's logs are."""
        return {"ima": len(self.ima.records), "tcg2": len(self.boot_log.records)}

    @property
    def is_current(self) -> bool:
        """Whether the last result affirms, and the state behind it is all that the device has measured."""
        published = self.publisher.on(ueid_text(self.agent.state.ueid), "results")
        if not published or self.result.reasons or self.result.logs != self.totals:
            return False
        owned = self.state.replay.registers[SHA256]
        return self.result.status == "affirming" and all(self.tpm.pcrs[index] == owned[index] for index in owned)

    @property
    def _handle_payload(self) -> bytes:
        return cmw.wrap(media_types.HANDLE, self.handle, Indicator.HANDLE)

    def _solicit_payloads(self) -> list[bytes]:
        return self.publisher.on(ueid_text(self.agent.state.ueid), "solicit")

    @staticmethod
    def _message(topic: str, payload: bytes) -> Heard:
        return Heard(Message(topic=topic, payload=payload, retained=False, packet_id=0, connection=1))


def starts_of(payload: bytes) -> dict[str, int]:
    """Where a push's increments start."""
    return dict(read_payload(payload).body.logs)
