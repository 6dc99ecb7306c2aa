"""A running verifier: two broker connections feed one queue, and one loop takes batches from it.

The *trust* connection receives handles, endorsements, reference values and policies. All of them are retained, so its
session is clean. The *evidence* connection has a persistent session with manual acknowledgement: while the worker is
away, the broker keeps the pushes of attesters. It starts after the trust connection has its subscriptions, so that the
first evidence finds its endorsement. The loop's thread owns everything; network threads only put into the queue.
"""

import functools
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

from runtime.audit_log.writer import AuditPlace, AuditWriter
from runtime.clock import monotonic_s, utc_us
from runtime.durable import check_folder_of
from runtime.intake import Intake, until_done
from runtime.monitoring.metrics_page import serve_metrics
from runtime.monitoring.tracing import open_tracer
from runtime.mqtt import Message, MqttConnection, Session, Will
from runtime.service import Stop
from runtime.telemetry import Logger, configure_logging
from schemas.audit.entry import ObjectEntry
from schemas.errors import PeerError, WorldError
from schemas.identifiers import HandleId
from schemas.limits import MAX_REFERENCE_VALUES_BYTES
from schemas.messages.handle import handle_id
from schemas.messages.result_token import ResultFormat
from schemas.messages.status import status_message
from schemas.messages.trust_objects import TRUST_OBJECTS
from schemas.topics import Role, TopicKind
from verifier_worker.adapters import queue_metrics, result_metrics
from verifier_worker.adapters.build import BUILD
from verifier_worker.adapters.loaded_files import ROLE, LoadedFiles, compile_policy, load_files
from verifier_worker.adapters.push_progress import PushProgress
from verifier_worker.adapters.readiness import Readiness
from verifier_worker.adapters.receipt_clock import ReceiptClock
from verifier_worker.adapters.solicitor import Identity
from verifier_worker.adapters.state_store import SqliteStateStore
from verifier_worker.adapters.trust_store import TrustStore
from verifier_worker.audit.opening_entries import opening_entries
from verifier_worker.core.policy.in_force import Policies
from verifier_worker.settings import Settings
from verifier_worker.worker import Received, Worker

_LOG: Final = Logger("verifier")
_EXPIRE_EVERY_S: Final = 0.5
_PRUNE_EVERY_S: Final = 600.0
_COUNT_EVERY_S: Final = 5.0
_TRUST_WAIT_S: Final = 10.0


class Service:
    """Wires one worker; :meth:`run` is the loop."""

    def __init__(self, settings: Settings, stop: Stop, files: LoadedFiles, store: SqliteStateStore) -> None:
        """Opens the audit log; connects nothing yet. The caller closes ``store``.

        Raises:
            ConfigError: names the file or field.
        """
        self._settings = settings
        self._stop = stop
        self._topics = settings.mqtt.topics
        self._intake: Intake[Message] = Intake(
            max_waiting=settings.queue_max, max_batch=settings.batch_max, on_dropped=queue_metrics.DROPPED_TOTAL.inc
        )
        self._receipts = ReceiptClock()
        self._prune_s = self._count_s = 0.0
        # Packet id and when: appended to by the network thread, emptied by the loop.
        self._published: deque[tuple[int, float]] = deque()
        self._files, self._store = files, store
        pending = [item.number for item in self._store.pending() if item.audit is not None]
        self._audit = AuditWriter(_audit_place(settings), repeated_from=min(pending, default=None))
        self._trust = TrustStore(
            self._store,
            endorsers=files.endorsers,
            distributors=files.distributors,
            stamps=files.stamps,
            policies=Policies(files.policy, compile_policy),
            scopes=files.scopes,
        )
        self._trust_connection, self._evidence_connection = self._connections()
        self._readiness = Readiness(ROLE, self._trust_connection, self._evidence_connection)
        self._lag = queue_metrics.PartitionLag()
        self._tracer = open_tracer(settings.tracing, ROLE, settings.name)
        self._audit_log_is_new = self._audit.last_number() == 0
        self._worker = Worker(
            Identity(
                name=settings.name,
                key=files.key,
                topics=self._topics,
                result_format=ResultFormat(settings.result_format),
            ),
            self._store,
            self._audit,
            self._evidence_connection,
            trust=self._trust.trust,
            solicit_interval_s=settings.solicit_interval_s,
            cached_states=settings.cached_states,
            progress=PushProgress(self._tracer),
        )

    def run(self) -> None:
        """Runs until asked to stop. Loses nothing that was acknowledged, whenever it ends."""
        serve_metrics(self._settings.metrics_port, self._readiness.health, host=self._settings.metrics_host)
        self._show_queue()
        for error in self._trust.load(utc_us()):
            _LOG.warning("stored-object-refused", reason=error.reason, detail=error.detail)
        if not self._record_start():
            self._shut_down(evidence_started=False)
            return
        self._audit.start()
        self._withdraw()
        self._trust_connection.start()
        deadline_s, expire_s = monotonic_s() + _TRUST_WAIT_S, 0.0
        evidence_started = False
        while not self._stop.requested:
            self._readiness.beat()
            if not evidence_started and (self._trust_is_here() or monotonic_s() > deadline_s):
                self._evidence_connection.start()
                evidence_started = True
                _LOG.info("verifier-started", name=self._settings.name, attesters=len(self._trust.attesters))
            with self._intake.batch() as batch:
                self._take(batch)
            if monotonic_s() >= expire_s:
                self._housekeeping()
                expire_s = monotonic_s() + _EXPIRE_EVERY_S
        self._shut_down(evidence_started=evidence_started)

    def _show_queue(self) -> None:
        """Connects the metrics that must be right even while the loop hangs."""
        queue_metrics.LAG.read_from(lambda: self._lag.by_partition(self._waiting_evidence(), monotonic_s()))
        queue_metrics.QUEUE_LIMIT.set(self._settings.queue_max)
        queue_metrics.QUEUE_DEPTH.set_function(lambda: self._intake.waiting)
        result_metrics.HANDLE_AGE.set_function(self._readiness.handle_age_s)

    def _waiting_evidence(self) -> list[Message]:
        """Evidence that waits, oldest first. Called on the thread of the metrics page."""
        return [item for item in self._intake.unfinished() if self._topics.kind_of(item.topic) == TopicKind.EVIDENCE]

    def _record_start(self) -> bool:
        """Records this start and the inputs that an auditor needs; False if stopped before that was done."""
        made = opening_entries(self._settings, self._files, self._store, log_is_new=self._audit_log_is_new)
        entries = [ObjectEntry(received_us=self._receipt_us(), kind=kind, raw=raw) for kind, raw in made]
        self._trust.trust(entries[-1].received_us)  # trust is in force from the start on
        return self._until_done(lambda: self._worker.record(entries)) and self._until_done(self._worker.settle)

    def _trust_is_here(self) -> bool:
        """Whether the retained objects were taken: they arrive right after the subscriptions are confirmed."""
        return self._trust_connection.wait_subscribed(0) and not self._intake.waiting

    def _connections(self) -> tuple[MqttConnection, MqttConnection]:
        settings, topics, name = self._settings.mqtt, self._topics, self._settings.name
        will = Will(topic=topics.status(Role.VERIFIER, name), payload=_status(name, online=False))
        trust = MqttConnection(
            settings,
            Session(
                client_id=f"verifier-{name}-trust",
                subscriptions=tuple(topics.all_of(kind.name) for kind in TRUST_OBJECTS.values()),
                max_payload_bytes=MAX_REFERENCE_VALUES_BYTES,
            ),
            on_message=self._enqueue,
        )
        evidence = MqttConnection(
            settings,
            Session(
                client_id=f"verifier-{name}",
                subscriptions=(topics.all_evidence,),
                persistent=True,
                manual_ack=True,
                will=will,
            ),
            on_message=self._enqueue,
            on_published=lambda packet_id: self._published.append((packet_id, monotonic_s())),
            on_connected=self._announce,
        )
        return trust, evidence

    def _announce(self) -> None:
        topic = self._topics.status(Role.VERIFIER, self._settings.name)
        self._evidence_connection.publish(topic, _status(self._settings.name, online=True), retain=True)

    def _enqueue(self, message: Message) -> None:
        self._intake.put(message, may_drop=not message.packet_id)

    def _take(self, batch: list[Message]) -> None:
        self._note_published()
        evidence = [item for item in batch if self._topics.kind_of(item.topic) == TopicKind.EVIDENCE]
        objects = [item for item in batch if self._topics.kind_of(item.topic) != TopicKind.EVIDENCE]
        self._lag.heard(evidence)
        if not self._take_trust_objects(objects) or not evidence:
            return
        received = [
            Received(
                ueid_text=self._topics.last_level(item.topic),
                payload=item.payload,
                received_us=self._receipt_us(),
                arrived_s=item.received_s,
            )
            for item in evidence
        ]
        if self._until_done(lambda: self._worker.process(received)) and self._until_done(self._worker.settle):
            for message in evidence:
                self._evidence_connection.ack(message)

    def _note_published(self) -> None:
        while self._published:
            self._worker.published(*self._published.popleft())

    def _receipt_us(self) -> int:
        """The time now, later than every receipt before and every handle held."""
        return self._receipts.next_us(utc_us(), self._trust.floor_us)

    def _until_done(self, effect: Callable[[], object]) -> bool:
        """Repeats an effect until the disk takes it. False if stopped before; then the broker keeps the messages."""
        done = until_done(effect, self._stop, on_failure=self._store_failed, on_try=self._readiness.beat)
        if done:
            self._readiness.stored()
        return done

    def _store_failed(self, error: WorldError) -> None:
        self._readiness.failed(error)
        queue_metrics.STORE_FAILURES.inc()
        _LOG.error("store-unavailable", reason=error.reason, detail=error.detail)

    def _take_trust_objects(self, messages: Sequence[Message]) -> bool:
        """Takes trust objects, all of them before the evidence in the same batch.

        New objects are stored, since a revocation must survive a crash, and recorded before any evidence that is judged
        with them (invariant I23).

        Returns:
            False if stopped before they were recorded. Then no evidence may be judged, since they are in force already.
        """
        new = [taken for taken in map(self._accepted, messages) if taken is not None]
        objects = [entry for _, entry in new]
        if not new:
            return True
        if not self._until_done(lambda: self._worker.record(objects)) or not self._until_done(self._worker.settle):
            return False
        self._count_s = 0.0  # the number of valid attesters may have changed
        for name, entry in new:
            _LOG.info("object-accepted", kind=entry.kind, name=name)
        self._withdraw()
        self._resolve([handle_id(entry.raw) for entry in objects if entry.kind == TopicKind.HANDLES])
        return True

    def _withdraw(self) -> None:
        """Reports the attesters whose endorsements a new statement withdraws; after a start, of every statement."""
        withdrawn = sorted(self._trust.newly_withdrawn())
        for first in range(0, len(withdrawn), self._settings.batch_max):
            batch, now_us = withdrawn[first : first + self._settings.batch_max], self._receipt_us()
            if not self._until_done(functools.partial(self._worker.withdraw, batch, now_us)):
                return
            self._until_done(self._worker.settle)

    def _resolve(self, handles: Sequence[HandleId]) -> None:
        """Appraises the pushes that waited for these handles."""
        for handle in handles:
            now_us = self._receipt_us()
            if not self._until_done(functools.partial(self._worker.resolve, handle, now_us)):
                return
        if handles:
            self._until_done(self._worker.settle)

    def _accepted(self, message: Message) -> tuple[str, ObjectEntry] | None:
        """Name and entry of a new object; None if it is in force already, refused, or no trust object."""
        kind = self._topics.kind_of(message.topic)
        name = self._topics.last_level(message.topic)
        if kind is None or kind not in TRUST_OBJECTS:
            return None
        if not message.payload:  # an empty retained message is a deletion on the broker
            return None
        try:
            raw = TRUST_OBJECTS[kind].unwrap(message.payload)
            received_us = self._receipt_us()
            is_new = self._trust.accept(kind, name, raw, utc_us(), retained=message.retained, received_us=received_us)
        except PeerError as error:
            result_metrics.REFUSED_TOTAL.labels(kind, error.reason).inc()
            _LOG.warning("object-refused", kind=kind, name=name, reason=error.reason, detail=error.detail)
            return None
        if kind == TopicKind.HANDLES:  # received after it was stamped
            received_us = self._receipt_us()
        return (name, ObjectEntry(received_us=received_us, kind=kind, raw=raw)) if is_new else None

    def _housekeeping(self) -> None:
        try:
            self._worker.expire(self._receipt_us())
            self._worker.settle()
            if monotonic_s() >= self._prune_s:
                self._trust.prune(utc_us())
                self._prune_s = monotonic_s() + _PRUNE_EVERY_S
        except WorldError as error:
            self._store_failed(error)
        queue_metrics.OUTBOX_DEPTH.set(self._worker.unpublished)
        queue_metrics.UNCONFIRMED.set(self._worker.unconfirmed)
        self._readiness.newest_handle(self._trust.newest_handle)
        if monotonic_s() >= self._count_s:
            result_metrics.ATTESTERS.set(self._trust.count_valid(utc_us()))
            self._count_s = monotonic_s() + _COUNT_EVERY_S

    def _shut_down(self, *, evidence_started: bool) -> None:
        self._trust_connection.stop()
        if evidence_started:
            self._evidence_connection.publish(
                self._topics.status(Role.VERIFIER, self._settings.name),
                _status(self._settings.name, online=False),
                retain=True,
            )
            self._evidence_connection.stop()
        self._note_published()  # confirmations that came meanwhile, or they are published again at the next start
        self._worker.flush()
        self._audit.close()
        if self._tracer is not None:
            self._tracer.close()
        _LOG.info("verifier-stopped", name=self._settings.name)


def check_service(settings: Settings) -> None:
    """Checks everything that can be wrong before the first connection. Opens no database and changes nothing.

    Raises:
        ConfigError: names the field and the file.
    """
    load_files(settings)
    check_folder_of(settings.database, "database")
    _audit_place(settings).check()


def _audit_place(settings: Settings) -> AuditPlace:
    return AuditPlace(
        folder=settings.audit_log,
        settings=settings.audit,
        made_by=f"{ROLE} keygen --audit --out audit.key",
        tsa_roots=settings.trust.tsa_roots,
    )


def run_service(settings: Settings) -> None:
    """Runs a worker until SIGTERM or SIGINT.

    Raises:
        ConfigError: before any work.
    """
    configure_logging(ROLE, settings.log_level)
    stop, files = Stop().on_signals(), load_files(settings)
    with closing(SqliteStateStore(settings.database)) as store:
        Service(settings, stop, files, store).run()


def _status(name: str, *, online: bool) -> bytes:
    return status_message(Role.VERIFIER, name, online=online, version=BUILD)
