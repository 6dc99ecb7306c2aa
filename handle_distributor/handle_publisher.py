"""Publishes handles over MQTT: retained, QoS 1, expiring with the handle. Implements the port ``HandlePublisher``.

At most one handle is unacknowledged at a time. After a reconnect the client library sends an unacknowledged message
again. If a newer handle had been sent meanwhile, the older one could arrive last and replace it. So a newer handle
waits for the acknowledgement. After every connect the newest handle is published again, because the broker may have
lost its retained messages.

One thread owns all state and sends all messages. The client library's callbacks run while it holds its own locks, so
they only put an event into that thread's queue.
"""

import queue
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from prometheus_client import Counter

from handle_distributor.settings import ROLE
from runtime.monitoring.health import Condition, broker_condition
from runtime.mqtt import MqttConnection, MqttSettings, Session, Will
from schemas import media_types
from schemas.codecs import cmw
from schemas.instants import SECOND_US
from schemas.media_types import Indicator
from schemas.messages.handle import Handle
from schemas.messages.status import status_message

_MAY_LAG_US: Final = 10 * SECOND_US  # an acknowledgement may still be on its way
_GOODBYE_S: Final = 2.0
_LOST_AFTER_S: Final = 30.0  # a broker that refused or lost a message never acknowledges it


_CONFIRMED: Final = Counter("attestream_handles_confirmed_total", "Handles that the broker has confirmed")


class _Happened(Enum):
    CONNECTED = auto()
    STOPPING = auto()


_Event = Handle | int | _Happened
"""A new handle, the packet id of an acknowledgement, or a change of the connection."""


class MqttHandlePublisher:
    """Publishes the newest handle and this process's status.

    ``_newest``, ``_sent``, ``_under_way`` are owned by the sending thread.
    """

    def __init__(
        self,
        settings: MqttSettings,
        name: str,
        *,
        version: str,
        utc_us: Callable[[], int],
        monotonic_s: Callable[[], float],
    ) -> None:
        """Prepares; :meth:`start` connects.

        Args:
            settings: the broker.
            name: the distributor's name, last level of the topic.
            version: of this software, for the status message.
            utc_us: UTC by this machine's clock.
            monotonic_s: a clock that never runs back.
        """
        self._topic = settings.topics.handles(name)
        self._status_topic = settings.topics.status(ROLE, name)
        self._online = status_message(ROLE, name, online=True, version=version)
        self._offline = status_message(ROLE, name, online=False, version=version)
        self._utc_us = utc_us
        self._monotonic_s = monotonic_s
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()  # a handle and two packet ids an interval
        self._thread = threading.Thread(target=self._serve, name="handle-publisher")
        self._newest: Handle | None = None  # this and _confirmed are also read by the metrics page
        self._sent: Handle | None = None
        self._confirmed: Handle | None = None  # the last one that the broker has
        self._under_way: tuple[int, float] | None = None  # packet id, and when it was sent
        self._connection = MqttConnection(
            settings,
            Session(client_id=f"{ROLE}-{name}", will=Will(topic=self._status_topic, payload=self._offline)),
            on_published=self._events.put,
            on_connected=lambda: self._events.put(_Happened.CONNECTED),
        )

    def start(self) -> None:
        """Connects in the background and stays connected."""
        self._thread.start()
        self._connection.start()

    def stop(self) -> None:
        """Publishes the offline status, waits a moment for its acknowledgement, and disconnects.

        Mosquitto drops a client that closes while acknowledgements to it are on their way, and never reads its
        DISCONNECT.
        """
        self._events.put(_Happened.STOPPING)
        self._thread.join()
        self._connection.stop()

    def publish(self, handle: Handle) -> None:
        """See :meth:`handle_distributor.ports.HandlePublisher.publish`."""
        self._events.put(handle)

    def condition(self) -> Condition:
        """Whether the broker connection is up."""
        return broker_condition(self._connection)

    def delivered(self) -> Condition:
        """Whether the broker has confirmed the newest handle. Any thread may call this."""
        newest, confirmed = self._newest, self._confirmed
        if newest is None:
            return Condition(ok=False, state="nothing to publish yet", next="see the check handle")
        if confirmed is None or confirmed.time_us < newest.time_us - _MAY_LAG_US:
            return Condition(
                ok=False,
                state="the broker has not confirmed the newest handle",
                next="may this client publish on the handles topic? See the broker's log and its access control",
            )
        return Condition(ok=True, state="the broker has the newest handle, or has had it a moment ago")

    def _serve(self) -> None:
        while True:
            match self._events.get():
                case Handle() as handle:
                    self._newest = handle
                case _Happened.STOPPING:
                    self._publish_offline()
                    return
                case _Happened.CONNECTED:
                    self._greet()
                case packet_id:
                    self._acknowledged(packet_id)
            self._send()

    def _greet(self) -> None:
        self._connection.publish(self._status_topic, self._online, retain=True)
        if self._under_way is None:
            self._sent = None
        else:  # the library sends the unacknowledged message again on this connection
            self._under_way = (self._under_way[0], self._monotonic_s())

    def _acknowledged(self, packet_id: int) -> None:
        if self._under_way is not None and self._under_way[0] == packet_id:
            self._under_way = None
            self._confirmed = self._sent
            _CONFIRMED.inc()

    def _send(self) -> None:
        """Sends the newest handle, unless it was sent on this connection, another is unacknowledged, or it expired."""
        if self._newest is None or self._newest is self._sent:
            return
        now_s = self._monotonic_s()
        if self._under_way is not None and now_s - self._under_way[1] < _LOST_AFTER_S:
            return
        expiry_s = (self._newest.expires_us - self._utc_us()) // SECOND_US
        if expiry_s <= 0:
            return
        payload = cmw.wrap(media_types.HANDLE, self._newest.raw, Indicator.HANDLE)
        packet_id = self._connection.publish(self._topic, payload, retain=True, expiry_s=expiry_s)
        if packet_id is not None:
            self._sent, self._under_way = self._newest, (packet_id, now_s)

    def _publish_offline(self) -> None:
        offline = self._connection.publish(self._status_topic, self._offline, retain=True)
        until_s = self._monotonic_s() + _GOODBYE_S
        while offline is not None and (left_s := until_s - self._monotonic_s()) > 0:
            try:
                if self._events.get(timeout=left_s) == offline:
                    return
            except queue.Empty:
                return
