"""The enrolment service: passes messages between broker and registrar, and publishes endorsements.

Anyone may publish on the request topics. Therefore the size of payloads, the length of the queue, and the rate of each
topic and of all together are limited; messages beyond the limits are dropped and counted. An endorsement is published,
retained, until the broker acknowledges it; this includes those that ``endorser approve`` made in another process.
"""

import queue
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from endorser.adapters.registry import Registry
from endorser.core.enrolment import Standing
from endorser.core.rate_limit import RateLimit
from endorser.registrar import Registrar, digest_of
from endorser.settings import LimitSettings
from endorser.stating import Stating
from runtime import clock
from runtime.monitoring.health import Condition, Health
from runtime.mqtt import Message, Will
from runtime.ports import Publisher
from runtime.service import Stop
from runtime.telemetry import Logger
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import PeerError, WorldError
from schemas.identifiers import Ueid, ueid_text
from schemas.media_types import Indicator
from schemas.messages.enrolment import MAX_REQUEST_BYTES
from schemas.reasons import Reason
from schemas.topics import Topics

MAX_PAYLOAD_BYTES: Final = MAX_REQUEST_BYTES + 128
WHO: Final = "service"
_LOG: Final = Logger("endorser")
_ENROLMENTS: Final = Counter(
    "attestream_enrolments_total", "Requests and activations by what became of them", ["outcome"]
)
_QUEUE: Final = Gauge("attestream_enrolment_queue_messages", "Requests and activations that wait for the registrar")
_SECONDS: Final = Histogram("attestream_enrolment_seconds", "Time to answer one request or activation, or to refuse it")
_PENDING: Final = Gauge("attestream_enrolments_pending", "Devices that proved who they are and wait for an operator")
_UNPUBLISHED: Final = Gauge("attestream_endorsements_unpublished", "Endorsements that the broker has not confirmed yet")
_DEVICES: Final = Gauge("attestream_devices", "Devices in the registry, by standing", ["standing"])
_WELL: Final = Condition(ok=True, state="the last transaction succeeded")
_REPAIR: Final = "make room, or repair the disk or the file's owner; devices ask again by themselves"
_GAUGES_EVERY_S: Final = 5.0
_QUEUED_MESSAGES: Final = 1000
_TICK_S: Final = 0.5
_RESEND_S: Final = 30.0


class Inbox:
    """Passes events from the connection's thread to the service's. Bounded; never blocks; drops further messages."""

    def __init__(self) -> None:
        self._messages: queue.Queue[Message] = queue.Queue(_QUEUED_MESSAGES)
        self._confirmed: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._connections: queue.SimpleQueue[None] = queue.SimpleQueue()

    def message(self, message: Message) -> None:
        """Takes a received message."""
        if len(message.payload) > MAX_PAYLOAD_BYTES:  # MQTT 5 brokers keep these away themselves
            _ENROLMENTS.labels(Reason.TOO_LARGE).inc()
            return
        try:
            self._messages.put_nowait(message)
        except queue.Full:
            _ENROLMENTS.labels(Reason.ENROLMENT_RATE_LIMITED).inc()

    def published(self, packet_id: int) -> None:
        """Takes the id of a message that the broker acknowledged."""
        self._confirmed.put(packet_id)

    def next_message(self, seconds: float) -> Message | None:
        """The next message; None if none arrives in time."""
        try:
            return self._messages.get(timeout=seconds)
        except queue.Empty:
            return None

    def waiting(self) -> int:
        """How many messages wait."""
        return self._messages.qsize()

    def connected(self) -> None:
        """Notes a connection."""
        self._connections.put(None)

    def is_newly_connected(self) -> bool:
        """Whether there was a connection since the last call."""
        newly = not self._connections.empty()
        while not self._connections.empty():
            self._connections.get()
        return newly

    def confirmations(self) -> list[int]:
        """The ids acknowledged since the last call."""
        return [self._confirmed.get() for _ in range(self._confirmed.qsize())]


class EnrolmentService:
    """Owned by the thread that calls :meth:`run`."""

    def __init__(
        self,
        registrar: Registrar,
        registry: Registry,
        publisher: Publisher,
        topics: Topics,
        limits: LimitSettings,
        online: Will,
        health: Health,
        stating: Stating,
    ) -> None:
        """Sends nothing yet; ``online`` is the status message to publish after connecting."""
        self._health = health
        self._stating = stating
        self._gauges_s = float("-inf")
        self._registrar = registrar
        self._registry = registry
        self._publisher = publisher
        self._topics = topics
        self._limit = RateLimit(
            burst=limits.burst,
            per_minute=limits.requests_per_minute,
            key_burst=limits.device_burst,
            key_per_minute=limits.device_requests_per_minute,
        )
        self._online = online
        self._under_way: dict[int, tuple[Ueid, int]] = {}
        self._sent_s: dict[tuple[Ueid, int], float] = {}

    def run(self, inbox: Inbox, stop: Stop) -> None:
        """Serves until ``stop``."""
        self._health.report("registry", _WELL)
        _QUEUE.set_function(inbox.waiting)
        while not stop.requested:
            self._health.beat()
            message = inbox.next_message(_TICK_S)
            if inbox.is_newly_connected():
                self._sent_s.clear()
                self._stating.reconnected()
                self._publisher.publish(self._online.topic, self._online.payload, retain=True)
            try:
                if message is not None:
                    self.handle(message.topic, message.payload, clock.utc_s(), clock.monotonic_s())
                confirmed = inbox.confirmations()
                self._note(confirmed)
                self._stating.confirmed(confirmed)
                self.publish_endorsements(clock.monotonic_s())
                self._stating.turn(clock.utc_s(), clock.monotonic_s())
                self._show_registry(clock.monotonic_s())
            except WorldError as error:
                self._health.report("registry", Condition(ok=False, state=error.detail, next=_REPAIR))
                self._gauges_s = float("-inf")
                _LOG.error("store-failed", reason=error.reason, detail=error.detail)
                stop.wait(_TICK_S)

    def _show_registry(self, monotonic_s: float) -> None:
        if monotonic_s < self._gauges_s + _GAUGES_EVERY_S:
            return
        self._gauges_s = monotonic_s
        tally = self._registry.tally()
        _PENDING.set(tally.pending)
        _UNPUBLISHED.set(tally.unpublished)
        for standing in Standing:
            _DEVICES.labels(standing).set(tally.standings.get(standing, 0))
        self._health.report("registry", _WELL)

    def handle(self, topic: str, payload: bytes, now_s: int, monotonic_s: float) -> None:
        """Answers one message, or drops it.

        Raises:
            WorldError: ``store-unavailable``; the message is lost, and its sender asks again.
        """
        try:
            ueid = self._topics.ueid_of(topic)
            if not self._limit.allows(topic, monotonic_s):
                raise PeerError(Reason.ENROLMENT_RATE_LIMITED, "too many messages")
        except PeerError as error:
            _ENROLMENTS.labels(error.reason).inc()
            return
        try:
            with _SECONDS.time():
                answer = self._answer(ueid, payload, now_s)
        except PeerError as error:
            self._refuse(ueid, payload, error)
            return
        _ENROLMENTS.labels("answered").inc()
        self._publisher.publish(self._topics.enrolment(ueid), answer)

    def publish_endorsements(self, monotonic_s: float) -> None:
        """Publishes endorsements that the broker has not acknowledged; repeats them after a while."""
        for ueid, version, signed in self._registry.unpublished():
            if monotonic_s - self._sent_s.get((ueid, version), float("-inf")) < _RESEND_S:
                continue
            payload = cmw.wrap(media_types.SIGNED_CORIM, signed, Indicator.ENDORSEMENTS)
            packet_id = self._publisher.publish(self._topics.endorsements(ueid), payload, retain=True)
            if packet_id is None:  # not connected; tried again in the next turn
                return
            self._under_way[packet_id] = (ueid, version)
            self._sent_s[ueid, version] = monotonic_s

    def _note(self, confirmed: list[int]) -> None:
        for packet_id in confirmed:
            sent = self._under_way.pop(packet_id, None)
            if sent is not None:
                self._registry.published(*sent)
                self._sent_s.pop(sent, None)
                _LOG.info("endorsement-published", ueid=ueid_text(sent[0]), version=sent[1])

    def _answer(self, ueid: Ueid, payload: bytes, now_s: int) -> bytes:
        if cmw.unverified_type(payload, max_bytes=MAX_PAYLOAD_BYTES) == media_types.ENROLMENT_ACTIVATION:
            return self._registrar.accept(payload, ueid, now_s, WHO)[1]
        return self._registrar.challenge(payload, ueid, now_s)[1]

    def _refuse(self, ueid: Ueid, payload: bytes, error: PeerError) -> None:
        _ENROLMENTS.labels(error.reason).inc()
        _LOG.warning("refused", ueid=ueid_text(ueid), reason=error.reason, detail=error.detail)
        request = digest_of(payload)
        if request is not None:
            self._publisher.publish(self._topics.enrolment(ueid), self._registrar.refusal(ueid, request, error))
