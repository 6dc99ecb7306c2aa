"""A worker on a real SQLite file, with its audit log and its publisher in memory, and a device."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from schemas import media_types
from schemas.codecs import cmw, cose
from schemas.identifiers import ueid_text
from schemas.media_types import Indicator
from schemas.messages import result_token
from schemas.messages.evidence import Evidence, encode_evidence
from schemas.messages.result import AttestationResult
from schemas.messages.result_token import ResultFormat
from schemas.topics import Topics
from tests.fakes.verifier import FakeAuditLog, FakePublisher
from tests.worlds.device import T0_US, FakeDevice, make_handle, make_trust
from verifier_worker.adapters.solicitor import Identity
from verifier_worker.adapters.state_store import SqliteStateStore
from verifier_worker.worker import Received, Worker

KEY = ec.generate_private_key(ec.SECP256R1())


KEY_ID = cose.key_id(KEY.public_key())


NOW_US = T0_US + 5_000_000


class WorkerRig:
    """A worker on a database file, and a device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.device = FakeDevice()
        self.handle = make_handle()
        self.device.sync(self.handle)
        self.name = ueid_text(self.device.ueid)
        self.trust = make_trust(self.device, handles=(self.handle,))
        self.audit, self.publisher = FakeAuditLog(), FakePublisher()
        self.store = SqliteStateStore(folder / "state.db")
        self.worker = self.start()

    result_format = ResultFormat.JWT

    def start(self) -> Worker:
        """A worker over the stored state, as after a restart."""
        return Worker(
            Identity(name="v1", key=KEY, topics=Topics(), result_format=self.result_format),
            self.store,
            self.audit,
            self.publisher,
            trust=lambda _now_us, _ueid: self.trust,
            solicit_interval_s=3600,
            cached_states=100,
        )

    def process(self, batch: list[Received]) -> None:
        """A batch through all effects."""
        self.worker.process(batch)
        self.worker.settle()

    def expire(self, now_us: int) -> int:
        """Missed deadlines through all effects."""
        count = self.worker.expire(now_us)
        self.worker.settle()
        return count

    def crash(self, *, publisher_lost: bool = True) -> None:
        """The process dies without a word and starts again."""
        self.store.close()
        self.store = SqliteStateStore(self.folder / "state.db")
        if publisher_lost:
            self.publisher = FakePublisher()
        self.worker = self.start()

    def message(self, evidence: Evidence, now_us: int = NOW_US) -> Received:
        """A push as it arrives."""
        payload = cmw.wrap(media_types.EVIDENCE, encode_evidence(evidence), Indicator.EVIDENCE)
        return Received(ueid_text=self.name, payload=payload, received_us=now_us)

    def results(self) -> list[AttestationResult]:
        """What was published about the device, verified."""
        keys = {KEY_ID.hex(): KEY.public_key()}
        tokens = [result_token.unwrap(payload) for payload in self.publisher.on(self.name, "results")]
        return [result_token.verify(token, keys) for token in tokens]
