"""Publishes signed objects on their topics, retained, and waits until the broker has acknowledged them."""

import queue
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from runtime import clock
from runtime.mqtt import MqttConnection, MqttSettings, Session
from schemas.errors import WorldError
from schemas.messages.endorsement import Endorsement
from schemas.messages.policy import SignedPolicy
from schemas.messages.reference_values import ReferenceValues
from schemas.messages.trust_objects import kind_of, topic_of
from schemas.messages.trust_statement import TrustStatement
from schemas.reasons import Reason
from schemas.topics import Topics

BROKER_PATIENCE_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One retained message: a topic and a CMW record."""

    topic: str
    payload: bytes


def publication_of(
    verified: Endorsement | ReferenceValues | SignedPolicy | TrustStatement, raw: bytes, topics: Topics
) -> Publication:
    """The message that publishes a verified object.

    Args:
        verified: the object.
        raw: its signed bytes.
        topics: the topic names.

    Raises:
        PeerError: ``malformed`` if the name of a set of reference values cannot be a topic level.
    """
    return Publication(topic=topic_of(verified, topics), payload=kind_of(verified).wrap(raw))


def publish(settings: MqttSettings, publications: Sequence[Publication], patience_s: float = BROKER_PATIENCE_S) -> None:
    """Publishes each message at least once.

    Raises:
        WorldError: ``broker-unreachable`` if the broker did not acknowledge all within ``patience_s`` seconds. Some may
            be published then; publishing them again does no harm.
    """
    events: queue.SimpleQueue[int | None] = queue.SimpleQueue()  # None: connected; otherwise a confirmed packet id
    session = Session(client_id=f"endorser-{clock.random_bytes(6).hex()}")
    connection = MqttConnection(settings, session, on_published=events.put, on_connected=lambda: events.put(None))
    deadline_s = clock.monotonic_s() + patience_s
    waiting: set[int] = set()
    confirmed: set[int] = set()
    remaining = list(publications)
    connection.start()
    try:
        while remaining or waiting - confirmed:
            event = _next_event(events, deadline_s, settings)
            if event is not None:
                confirmed.add(event)
                continue
            while remaining:
                packet_id = connection.publish(remaining[-1].topic, remaining[-1].payload, retain=True)
                if packet_id is None:  # disconnected; continues with the next connection
                    break
                remaining.pop()
                waiting.add(packet_id)
    finally:
        connection.stop()


def _next_event(events: "queue.SimpleQueue[int | None]", deadline_s: float, settings: MqttSettings) -> int | None:
    try:
        return events.get(timeout=max(0.0, deadline_s - clock.monotonic_s()))
    except queue.Empty:
        message = f"{settings.host}:{settings.port} did not acknowledge all messages in time"
        raise WorldError(Reason.BROKER_UNREACHABLE, message) from None
