"""Watches the broker for the demo, and plays the stranger: an MQTT client without any key.

The network thread only counts and stores; the main thread reads.
"""

import threading
from collections import Counter, deque
from dataclasses import replace
from typing import Final

from runtime import clock
from runtime.mqtt import Message, MqttConnection, MqttSettings, Session
from schemas import media_types
from schemas.codecs import cmw
from schemas.identifiers import Ueid
from schemas.media_types import Indicator
from schemas.messages.evidence import encode_evidence, parse_evidence
from schemas.topics import TopicKind

CAPTURED_PER_ATTESTER: Final = 200
OLD_ENOUGH: Final = 3  # a push is old when so many newer ones exist
_ATTEST_HEAD_BYTES: Final = 6
_CLOCK_HIGH_BYTE: Final = 3


class Observer:
    """Counts the messages of each kind and captures evidence, as any client of the broker can.

    The lock protects ``_counts`` and ``_captured``.
    """

    def __init__(self, settings: MqttSettings) -> None:
        """Does not connect yet."""
        self._topics = settings.topics
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._captured: dict[str, deque[bytes]] = {}
        filters = (self._topics.all_handles, self._topics.all_evidence)
        session = Session(client_id=f"stranger-{clock.random_bytes(6).hex()}", subscriptions=filters)
        self._connection = MqttConnection(settings, session, on_message=self._received)

    def start(self) -> None:
        """Connects in the background."""
        self._connection.start()

    def stop(self) -> None:
        """Disconnects."""
        self._connection.stop()

    def counts(self) -> dict[str, int]:
        """Messages so far by the kind of their topic."""
        with self._lock:
            return dict(self._counts)

    def evidence_of(self, ueid: Ueid) -> list[bytes]:
        """The captured evidence of one attester, oldest first."""
        with self._lock:
            return list(self._captured.get(self._topics.evidence(ueid), ()))

    def publish_as(self, ueid: Ueid, payload: bytes) -> bool:
        """Publishes on an attester's topic; False when the broker is away."""
        return self._connection.publish(self._topics.evidence(ueid), payload) is not None

    def _received(self, message: Message) -> None:
        kind = self._topics.kind_of(message.topic)
        with self._lock:
            self._counts[kind or "unknown"] += 1
            if kind is TopicKind.EVIDENCE:
                self._captured.setdefault(message.topic, deque(maxlen=CAPTURED_PER_ATTESTER)).append(message.payload)


def newer_clock(payload: bytes) -> bytes:
    """An old push with one changed bit in the quote's TPM clock, so that it claims to be newer than all others.

    Args:
        payload: a well-formed CMW record with evidence, made in the first 49 days of the TPM's life.
    """
    evidence = parse_evidence(cmw.unwrap(payload, media_types.EVIDENCE, Indicator.EVIDENCE))
    quote = bytearray(evidence.quote)
    position = _ATTEST_HEAD_BYTES  # TPM 2.0 Part 2, TPMS_ATTEST: magic, type, qualifiedSigner, extraData, clockInfo
    for _ in range(2):
        position += 2 + int.from_bytes(quote[position : position + 2], "big")
    quote[position + _CLOCK_HIGH_BYTE] ^= 1  # milliseconds, 64 bits big-endian
    forged = encode_evidence(replace(evidence, quote=bytes(quote)))
    return cmw.wrap(media_types.EVIDENCE, forged, Indicator.EVIDENCE)


def replayable(captured: list[bytes]) -> bytes | None:
    """An old push; not one of the newest, which could pass as a second delivery."""
    return captured[-1 - OLD_ENOUGH] if len(captured) > OLD_ENOUGH else None
