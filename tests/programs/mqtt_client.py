"""A plain MQTT client for tests, independent of ``runtime.mqtt``: remembers what it hears, waits by condition."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.programs.waiting import PATIENCE_S


class Listener:
    """One connection; ``messages`` holds (topic, payload) in order of arrival, guarded by its condition."""

    def __init__(self, port: int, topics: Sequence[str] = ()) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._changed = threading.Condition()
        self._published: set[int] = set()
        self._subscribed = threading.Event()
        self._topics = topics
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.max_queued_messages_set(0)
        self._client.max_inflight_messages_set(1000)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._received
        self._client.on_publish = self._confirmed
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S) if topics else True

    def _connected(self, *_: object) -> None:
        if self._topics:
            self._client.subscribe([(topic, 1) for topic in self._topics])

    def _confirmed(self, _client: paho.Client, _data: object, packet_id: int, *_: object) -> None:
        with self._changed:
            self._published.add(packet_id)
            self._changed.notify_all()

    def _received(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.messages.append((message.topic, bytes(message.payload)))
            self._changed.notify_all()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Publishes and waits for the broker's acknowledgement, over a reconnection if need be."""
        packet_id = self._client.publish(topic, payload, qos=qos, retain=retain).mid
        with self._changed:
            arrived = self._changed.wait_for(lambda: packet_id in self._published, PATIENCE_S)
        assert arrived, f"the broker did not confirm a message to {topic}"

    def publish_soon(self, topic: str, payload: bytes, *, retain: bool = False) -> paho.MQTTMessageInfo:
        """Publishes without waiting."""
        return self._client.publish(topic, payload, qos=1, retain=retain)

    def wait_for(
        self, wanted: Callable[[list[tuple[str, bytes]]], bool], what: str, seconds: float = PATIENCE_S
    ) -> list[tuple[str, bytes]]:
        """Waits until ``wanted`` of all messages so far is true; fails naming ``what`` after ``seconds``."""
        with self._changed:
            if not self._changed.wait_for(lambda: wanted(self.messages), seconds):
                raise AssertionError(f"not seen within {seconds} s: {what}; heard {len(self.messages)} messages")
            return list(self.messages)

    def close(self) -> None:
        """Disconnects."""
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def listening(port: int, *topics: str) -> Iterator[Listener]:
    """A connection for the length of a block."""
    listener = Listener(port, topics)
    try:
        yield listener
    finally:
        listener.close()
