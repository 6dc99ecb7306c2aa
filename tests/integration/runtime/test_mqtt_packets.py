"""Messages whose packets no client library would make, from a stranger on a real broker, to a connection of ours."""

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from runtime.mqtt import Message, MqttConnection, MqttSettings, Session
from tests.programs.mosquitto import Mosquitto, running_mosquitto
from tests.programs.raw_mqtt import publish_raw, user_property
from tests.programs.waiting import PATIENCE_S

pytestmark = pytest.mark.needs("mosquitto")
TOPIC = "attestream/v1/evidence/00/AAAA"
POISON = user_property("k", "\ufeff")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with running_mosquitto(tmp_path) as running:
        yield running


class Heard:
    """A connection that acknowledges by hand, and what it heard."""

    def __init__(self, port: int, *, persistent: bool, manual_ack: bool) -> None:
        self.messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        session = Session(
            client_id=f"hears-{persistent}-{manual_ack}",
            subscriptions=("attestream/v1/evidence/+/+",),
            persistent=persistent,
            manual_ack=manual_ack,
        )
        self.connection = MqttConnection(MqttSettings(port=port), session, on_message=self._take)
        self.connection.start()
        assert self.connection.wait_subscribed(PATIENCE_S)

    def _take(self, message: Message) -> None:
        self.messages.put(message)

    def next(self) -> bytes:
        message = self.messages.get(timeout=PATIENCE_S)
        self.connection.ack(message)
        return message.payload


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("manual_ack", [False, True])
@pytest.mark.parametrize("retain", [False, True])
def test_a_message_that_cannot_be_read_is_dropped_and_the_next_one_is_heard(
    broker: Mosquitto, *, persistent: bool, manual_ack: bool, retain: bool
) -> None:
    heard = Heard(broker.port, persistent=persistent, manual_ack=manual_ack)
    assert publish_raw(broker.port, TOPIC, b"poison", properties=POISON, retain=retain)
    assert publish_raw(broker.port, TOPIC, b"good", properties=user_property("k", "v"))
    assert heard.next() == b"good"
    assert heard.connection.connection == 1  # it was not cut off
    name = heard.connection._session.client_id
    assert (REGISTRY.get_sample_value("attestream_mqtt_unreadable_total", {"client": name}) or 0) >= 1
    heard.connection.stop()
    again = Heard(broker.port, persistent=persistent, manual_ack=manual_ack)
    assert publish_raw(broker.port, TOPIC, b"good again")
    assert again.next() == b"good again"
    again.connection.stop()


def test_so_many_that_none_could_be_awaiting_its_acknowledgement(broker: Mosquitto) -> None:
    """The broker sends no more than so many unacknowledged messages: those that are dropped are acknowledged."""
    heard = Heard(broker.port, persistent=True, manual_ack=True)
    for _ in range(1100):
        publish_raw(broker.port, TOPIC, b"poison", properties=POISON)
    publish_raw(broker.port, TOPIC, b"good")
    assert heard.next() == b"good"
    heard.connection.stop()
