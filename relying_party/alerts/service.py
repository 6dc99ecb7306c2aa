"""The alert service: takes results, stores the changes, wakes the receivers.

Order of effects (invariant I33): results and the alerts that follow from them are stored in one transaction; then the
ledger counts them as reported; only stored alerts are sent. Killed in between, the service neither loses a change nor
repeats a stored report: it restores the board from the stored results, so the board does not go back, and retained
results bring the changes of the meantime.

While the broker is away, and until retained results have been redelivered, an expiring result is an artefact of our own
disconnection. It leads to no alert about its attester; the lost broker is reported instead.
"""

import queue
from typing import Final

from prometheus_client import Counter, Gauge

from relying_party.alerts.alert_text import plain
from relying_party.alerts.delivery import Receivers
from relying_party.alerts.ledger import AlertLedger, Batch
from relying_party.alerts.receiver_thread import ReceiverThread
from relying_party.alerts.receivers import (
    AlertmanagerRunner,
    QueueRunner,
    TopicSender,
    topic_runner,
    webhook_runner,
)
from relying_party.alerts.settings import MQTT_RECEIVER, AlertSettings
from relying_party.alerts.silence import Silence
from relying_party.alerts.store import AlertStore
from relying_party.alerts.storms import Storms
from relying_party.result_board import ResultBoard, result_keys, standing_of
from relying_party.settings import load_verifier_keys
from runtime import clock
from runtime.monitoring.health import Health, broker_condition
from runtime.mqtt import Message, MqttConnection, Session
from runtime.service import Stop
from runtime.settings import naming
from runtime.telemetry import Logger
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import PeerError, WorldError
from schemas.identifiers import Ueid, ueid_text
from schemas.messages.result import AttestationResult
from schemas.messages.status import parse_unverified_status
from schemas.reasons import Reason
from schemas.topics import Role, TopicKind

_LOG: Final = Logger("alerts")
_ALERTS: Final = Counter("attestream_alerts_total", "Alerts made, by kind", ["kind"])
_REFUSED: Final = Counter(
    "attestream_alert_results_refused_total", "Messages on the results topic that were refused", ["reason"]
)
_ATTESTERS: Final = Gauge("attestream_alert_attesters", "Attesters with a result")
_QUEUED: Final = Gauge("attestream_alert_queue_depth", "Alerts that wait for a receiver", ["receiver"])
_OLDEST: Final = Gauge("attestream_alert_oldest_seconds", "Age of the oldest alert that waits", ["receiver"])
_FAILED: Final = Gauge("attestream_alert_failed", "Alerts given up and kept for an operator", ["receiver"])
_DROPPED: Final = Counter("attestream_alert_queue_full_total", "Times a queue was full", ["receiver"])
_QUEUE_MESSAGES: Final = 256  # each at most MAX_MESSAGE_BYTES; then the network thread waits and the broker queues
_TAKE_S: Final = 0.2
_MAX_AT_ONCE: Final = 5000  # messages between two looks at the time
_GAUGES_S: Final = 5.0
_MAX_BEHIND_S: Final = 60  # waiting messages may be newer results; a flood of messages must not hide an expiry longer


class Runners:
    """All receivers, each in its thread."""

    def __init__(self, settings: AlertSettings) -> None:
        """Reads secrets and certificates; connects to nothing.

        Raises:
            ConfigError: a file is missing or has the wrong content.
        """
        self._database = settings.database
        self._receivers: list[QueueRunner | AlertmanagerRunner] = [webhook_runner(each) for each in settings.webhooks]
        for each in settings.alertmanagers:
            with naming(f"alertmanagers: {each.name}"):
                self._receivers.append(AlertmanagerRunner(each))
        self._topic = TopicSender(settings.mqtt) if settings.publish else None
        if self._topic is not None:
            self._receivers.append(topic_runner(self._topic))
        self._threads: list[ReceiverThread] = []

    def start(self, stop: Stop) -> None:
        """Starts all threads."""
        if self._topic is not None:
            self._topic.start()
        self._threads = [ReceiverThread(each, self._database, stop) for each in self._receivers]
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Makes all receivers look now for something to send."""
        for thread in self._threads:
            thread.wake()

    def stop(self) -> None:
        """Waits a moment for deliveries under way; undelivered alerts are stored."""
        self.wake()
        for thread in self._threads:
            thread.join(1.0)
        if self._topic is not None:
            self._topic.stop()


class AlertService:
    """Owned by the thread that calls :meth:`run`; only ``_inbox`` is shared with the network thread."""

    def __init__(self, settings: AlertSettings, store: AlertStore) -> None:
        """Loads keys and the last reports; does not connect yet.

        Raises:
            ConfigError: a key file is missing or holds no key.
            WorldError: ``store-unavailable``.
        """
        self._board = ResultBoard(result_keys(load_verifier_keys(settings.verifier_keys)))
        self._settings, self._store = settings, store
        self._topics = settings.mqtt.topics
        self._receivers = receivers_of(settings)
        self._inbox: queue.Queue[Message] = queue.Queue(_QUEUE_MESSAGES)
        now_s = clock.monotonic_s()
        open_keys = [key for key, *_ in store.open_alerts()]
        self._silence = Silence(settings.silence, open_keys, now_s)
        storms = Storms(settings.storm, open_keys, now_s)
        rules = [each.rule for each in settings.rules]
        self._ledger = AlertLedger(rules, storms, self._silence, store.reported(), store.installation, store.serial)
        self._tokens: dict[tuple[Ueid, str], bytes] = {}  # not stored yet
        self._changed: set[Ueid] = set()  # attesters with a result since the last tick
        self._expires_s: dict[Ueid, int] = {}  # of results that have not expired
        session = Session(
            client_id=f"relying-party-alerts-{clock.random_bytes(6).hex()}",
            subscriptions=(self._topics.all_results, self._topics.all_status),
        )
        self._connection = MqttConnection(settings.mqtt, session, on_message=self._inbox.put)
        self.health: Final = Health("relying-party alerts", monotonic_s=clock.monotonic_s)
        self.health.ask("broker", lambda: broker_condition(self._connection))

    def restore(self) -> None:
        """Puts the stored results on the board, except those signed by a key that is no longer trusted.

        Raises:
            WorldError: ``store-unavailable``.
        """
        left_out = 0
        for token in self._store.tokens():
            try:
                verified = self._board.restore(token, clock.utc_s())
            except PeerError:
                left_out += 1
                continue
            self._note(verified.result)
        _LOG.info("restored", attesters=len(self._expires_s), left_out=left_out)

    def run(self, stop: Stop, runners: Runners) -> None:
        """Serves until ``stop``."""
        self._connection.start()
        next_tick_s = next_gauges_s = clock.monotonic_s()
        try:
            while not stop.requested:
                self.health.beat()
                self._take()
                now_s = clock.monotonic_s()
                if now_s >= next_tick_s:
                    next_tick_s = now_s + self._settings.gather_s
                    try:
                        self.tick(runners)
                    except WorldError as error:
                        _LOG.error("store-failed", reason=error.reason, detail=error.detail)
                if now_s >= next_gauges_s:
                    next_gauges_s = now_s + _GAUGES_S
                    self._gauge()
        finally:
            self._connection.stop()

    def tick(self, runners: Runners) -> None:
        """Makes the alerts that are due, stores them, wakes the receivers.

        Raises:
            WorldError: ``store-unavailable``; then the next tick makes them again.
        """
        now_s, monotonic_s = clock.utc_s(), clock.monotonic_s()
        self._silence.connected(monotonic_s, connected=self._connection.wait_subscribed(0))
        behind_s = 0 if self._inbox.empty() else _MAX_BEHIND_S
        settled_s = now_s - behind_s if self._silence.is_settled(monotonic_s - behind_s) else 0
        expired = [ueid for ueid, expires_s in self._expires_s.items() if expires_s <= settled_s]
        standings, tokens, unsettled = [], {}, set()
        for ueid in {*self._changed, *self._ledger.waiting(), *expired}:
            in_force = self._board.in_force(ueid, now_s)
            if in_force is None:
                continue
            if settled_s < in_force.result.expires_s <= now_s:
                unsettled.add(ueid)
            else:
                standings.append(standing_of(in_force.result, now_s))
                tokens[ueid] = in_force.token
        batch = self._ledger.tick(standings, tokens, now_s, monotonic_s)
        if not batch.is_empty or self._tokens:
            dropped = self._store.commit(self._tokens, batch, self._receivers, now_s)
            for receiver in dropped:
                _DROPPED.labels(receiver).inc()
                _LOG.error("queue-full", receiver=receiver, limit=self._settings.max_queued)
        self._ledger.mark_stored(batch, monotonic_s)
        self._tokens = {}
        self._changed = unsettled
        for ueid in expired:
            standing = self._board.standing(ueid, now_s)
            if standing is not None and standing.result.expires_s > now_s:  # another verifier's is in force
                self._expires_s[ueid] = standing.result.expires_s
            else:
                self._expires_s.pop(ueid, None)
        if batch.outgoing or batch.opened or batch.closed:
            _report(batch)
            runners.wake()

    def _take(self) -> None:
        """Takes the messages that have arrived; waits a moment for the first one."""
        wait_s = _TAKE_S
        for _ in range(_MAX_AT_ONCE):
            try:
                message = self._inbox.get(timeout=wait_s) if wait_s else self._inbox.get_nowait()
            except queue.Empty:
                return
            wait_s = 0.0
            if self._topics.kind_of(message.topic) is TopicKind.STATUS:
                self._take_status(message)
            elif message.payload:  # an empty one deletes the retained result
                self._take_result(message)

    def _take_status(self, message: Message) -> None:
        try:
            status = parse_unverified_status(cmw.unwrap(message.payload, media_types.STATUS, None))
        except PeerError:
            return  # a status is unsigned, and no verdict depends on it
        if status.role == Role.VERIFIER and message.topic == self._topics.status(Role.VERIFIER, status.name):
            self._silence.status(status.name, clock.monotonic_s(), online=status.online)

    def _take_result(self, message: Message) -> None:
        try:
            verified = self._board.apply(message.topic, message.payload, clock.utc_s())
        except PeerError as error:
            _REFUSED.labels(error.reason).inc()
            if error.reason is not Reason.OBJECT_ROLLED_BACK:  # an older genuine result, repeated: no alert
                self._silence.refused(error.reason, plain(error.detail, 200))
            return
        result = verified.result
        self._tokens[result.ueid, result.verifier] = verified.token
        self._silence.heard(result.verifier, result.issued_s, clock.monotonic_s())
        self._note(result)

    def _note(self, result: AttestationResult) -> None:
        self._changed.add(result.ueid)
        standing = self._board.standing(result.ueid, 0)
        if standing is not None:
            self._expires_s[result.ueid] = standing.result.expires_s

    def _gauge(self) -> None:
        _ATTESTERS.set(self._board.count)
        for receiver in self._receivers.queued:
            try:
                depth = self._store.depth(receiver)
            except WorldError:
                continue  # the next tick reports it
            _QUEUED.labels(receiver).set(depth.queued)
            _OLDEST.labels(receiver).set(0 if depth.oldest_s is None else max(0, clock.utc_s() - depth.oldest_s))
            _FAILED.labels(receiver).set(depth.failed)


def receivers_of(settings: AlertSettings) -> Receivers:
    """The names of all receivers, by kind."""
    queued = [each.name for each in settings.webhooks]
    return Receivers(
        queued=tuple([*queued, MQTT_RECEIVER] if settings.publish else queued),
        stateful=tuple(each.name for each in settings.alertmanagers),
        max_queued=settings.max_queued,
    )


def _report(batch: Batch) -> None:
    for each in batch.outgoing:
        if not each.is_wanted:
            continue
        alert = each.alert
        _ALERTS.labels(alert.kind).inc()
        _LOG.info(
            "alert",
            id=alert.id,
            kind=alert.kind,
            ueid="-" if alert.ueid is None else ueid_text(alert.ueid),
            condition=alert.condition or "-",
            count="-" if alert.count is None else alert.count,
        )
