"""``relying-party audit record``: writes an audit log of its own from the messages on the broker.

The recorder only subscribes. It records results and trust objects whose signatures are valid, and evidence when its
result arrives (:mod:`relying_party.audit.evidence_pairing`). It has two connections with persistent sessions, because
evidence may wait unacknowledged and results must not queue behind it. A message is acknowledged once it is on disk;
after ``kill -9`` the broker sends the others again. The receipt time of an entry with a result is the one that the
verifier signed; that of a trust object is by this machine's clock.
"""

from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter, Gauge

from relying_party.audit.evidence_pairing import EvidencePairing, Settled
from relying_party.audit.settings import RecorderSettings, RecorderTrust
from relying_party.result_board import result_keys, verify_result
from relying_party.settings import ROLE
from runtime.audit_log.writer import AuditWriter
from runtime.clock import monotonic_s, utc_us
from runtime.intake import Intake, until_done
from runtime.keys import load_public_keys
from runtime.monitoring.health import Health, broker_condition
from runtime.monitoring.metrics_page import serve_metrics
from runtime.mqtt import Message, MqttConnection, Session
from runtime.service import Stop
from runtime.settings import naming
from runtime.telemetry import Logger, configure_logging
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas.errors import PeerError, WorldError
from schemas.limits import MAX_MESSAGE_BYTES, MAX_REFERENCE_VALUES_BYTES
from schemas.messages.trust_objects import TRUST_OBJECTS, TrustedSigners
from schemas.topics import TopicKind

_LOG: Final = Logger("recorder")
_BATCH_MAX: Final = 256
_QUEUE_MAX: Final = 4096
_REMEMBERED: Final = 16_384

RECORDED_TOTAL: Final = Counter("attestream_recorded_total", "Entries written by the recorder")
REFUSED_TOTAL: Final = Counter(
    "attestream_recorder_refused_total", "Messages not recorded, by kind and reason", ["kind", "reason"]
)
UNANSWERED_TOTAL: Final = Counter(
    "attestream_recorder_unanswered_total", "Evidence given up because no result answered it in time"
)
WAITING: Final = Gauge("attestream_recorder_waiting_messages", "Evidence waiting for its result")


class _TrustedKeys:
    """Verifies results and trust objects."""

    def __init__(self, trust: RecorderTrust) -> None:
        with naming("trust.verifier_keys"):
            self.results = result_keys(load_public_keys(trust.verifier_keys))
        with naming("trust.distributor_keys"):
            distributors = load_public_keys(trust.distributor_keys)
        with naming("trust.endorser_keys"):
            endorsers = load_public_keys(trust.endorser_keys)
        with naming("trust.tsa_roots"):
            stamps = load_time_stamp_verifier(trust.tsa_roots)
        self._signers = TrustedSigners(endorsers=endorsers, distributors=distributors, stamps=stamps)

    def verified(self, kind: TopicKind, payload: bytes) -> bytes:
        """The trust object in a message.

        Raises:
            PeerError: no trusted signer of that kind has signed it.
        """
        raw = TRUST_OBJECTS[kind].unwrap(payload)
        TRUST_OBJECTS[kind].verify(raw, self._signers)
        return raw


class Recorder:
    """One recorder; the thread that calls :meth:`run` owns everything but the queue."""

    def __init__(self, settings: RecorderSettings, stop: Stop) -> None:
        """Reads keys and opens the audit log; does not connect yet.

        Raises:
            ConfigError: names the file or field.
        """
        self._settings, self._stop, self._topics = settings, stop, settings.mqtt.topics
        self._trusted = _TrustedKeys(settings.trust)
        self._intake: Intake[tuple[MqttConnection, Message]] = Intake(
            max_waiting=_QUEUE_MAX, max_batch=_BATCH_MAX, on_dropped=REFUSED_TOTAL.labels("queue", "too-many").inc
        )
        self._pairing: EvidencePairing[tuple[MqttConnection, Message]] = EvidencePairing(
            evidence_wait_s=settings.evidence_wait_s,
            result_wait_s=settings.result_wait_s,
            waiting_max=settings.waiting_max,
        )
        self._writer = AuditWriter(settings.place)
        self._pairing.remember(self._writer.recent(_REMEMBERED))
        topics = self._topics
        objects = (topics.all_of(kind.name) for kind in TRUST_OBJECTS.values())
        self._results = self._connection("", (topics.all_results, *objects), MAX_REFERENCE_VALUES_BYTES)
        self._evidence = self._connection("-evidence", (topics.all_evidence,), MAX_MESSAGE_BYTES)

    def run(self) -> None:
        """Runs until asked to stop; however it ends, every acknowledged message is on disk."""
        health = Health("relying-party audit record", monotonic_s=monotonic_s)
        health.ask("broker", lambda: broker_condition(self._results))
        health.ask("broker-evidence", lambda: broker_condition(self._evidence))
        serve_metrics(self._settings.metrics_port, health, host=self._settings.metrics_host)
        self._writer.start()
        self._results.start()
        self._evidence.start()
        _LOG.info("recorder-started", name=self._settings.name)
        while not self._stop.requested:
            health.beat()
            with self._intake.batch() as batch:
                settled = [each for connection, message in batch for each in self._take(connection, message)]
            dropped = self._pairing.dropped
            settled += self._pairing.due(monotonic_s())
            UNANSWERED_TOTAL.inc(self._pairing.dropped - dropped)
            WAITING.set(self._pairing.waiting)
            if not self._write(settled):
                break
        self._evidence.stop()
        self._results.stop()
        self._writer.close()
        _LOG.info("recorder-stopped", name=self._settings.name)

    def _connection(self, suffix: str, subscriptions: Sequence[str], max_bytes: int) -> MqttConnection:
        session = Session(
            client_id=f"recorder-{self._settings.name}{suffix}",
            subscriptions=tuple(subscriptions),
            persistent=True,
            manual_ack=True,
            max_payload_bytes=max_bytes,
        )
        holder: list[MqttConnection] = []
        connection = MqttConnection(
            self._settings.mqtt,
            session,
            on_message=lambda message: self._intake.put((holder[0], message), may_drop=not message.packet_id),
        )
        holder.append(connection)
        return connection

    def _take(self, connection: MqttConnection, message: Message) -> list[Settled[tuple[MqttConnection, Message]]]:
        """Takes one message; returns the messages that are settled at once, among them refused ones."""
        tag, kind = (connection, message), self._topics.kind_of(message.topic)
        nothing: list[Settled[tuple[MqttConnection, Message]]] = [Settled(entry=None, tags=(tag,))]
        if not message.payload:  # an empty message deletes the retained one
            return nothing
        try:
            if kind == TopicKind.EVIDENCE:
                return self._pairing.take_evidence(message.payload, tag, monotonic_s())
            if kind == TopicKind.RESULTS:
                verified = verify_result(message.topic, message.payload, self._trusted.results)
                return self._pairing.take_result(verified, tag, monotonic_s())
            if kind is not None and kind in TRUST_OBJECTS:
                raw = self._trusted.verified(kind, message.payload)
                return self._pairing.take_object(kind, raw, tag, utc_us())
        except PeerError as error:
            REFUSED_TOTAL.labels(kind or "unknown", error.reason).inc()
            _LOG.warning("message-refused", kind=kind, reason=error.reason, detail=error.detail)
        return nothing

    def _write(self, settled: Sequence[Settled[tuple[MqttConnection, Message]]]) -> bool:
        """Writes entries, then acknowledges; returns False when stopped before they were written."""
        entries = [each.entry for each in settled if each.entry is not None]
        numbered = list(enumerate(entries, self._writer.last_number() + 1))
        if not until_done(lambda: self._writer.append(numbered), self._stop, on_failure=_log_failure):
            return False
        RECORDED_TOTAL.inc(len(entries))
        for each in settled:
            for connection, message in each.tags:
                if message.packet_id:
                    connection.ack(message)
        return True


def run_recorder(settings: RecorderSettings) -> None:
    """Runs a recorder until SIGTERM or SIGINT.

    Raises:
        ConfigError: before any work.
    """
    configure_logging(ROLE, settings.log_level)
    Recorder(settings, Stop().on_signals()).run()


def check_recorder(settings: RecorderSettings) -> None:
    """Checks settings and keys; changes nothing.

    Raises:
        ConfigError: names the field.
    """
    _TrustedKeys(settings.trust)
    settings.place.check()


def _log_failure(error: WorldError) -> None:
    _LOG.error("store-unavailable", reason=error.reason, detail=error.detail)
