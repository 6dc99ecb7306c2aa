"""Handles over MQTT: retained, QoS 1, expiring with the handle. Implements the port ``HandlePublisher``.

At most one handle is under way. The client library sends what the broker has not acknowledged again after a reconnect,
and a second handle sent beside it could arrive first and be replaced by the older one; so a newer handle waits for the
acknowledgement. After every connect the newest handle is published again: a broker may have lost its retained messages.
"""

import threading
from collections.abc import Callable
from typing import Final

from runtime.mqtt import MqttConnection, MqttSettings, Session, Will
from schemas import cmw, media_types
from schemas.handle import Handle
from schemas.media_types import Indicator
from schemas.status import Status, encode_status

ROLE: Final = "handle-distributor"
_US: Final = 1_000_000
_GOODBYE_S: Final = 2.0
_LOST_AFTER_S: Final = 30.0  # a broker that refused or forgot a message never acknowledges it


class MqttHandlePublisher:
    """Publishes the newest handle and this process's status.

    ``_lock`` guards the fields below it: the caller's thread and the connection's thread both send.
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
            version: shown in the status.
            utc_us: UTC by this machine's clock.
            monotonic_s: a clock that never runs back.
        """
        self._topic = settings.topics.handles(name)
        self._status_topic = settings.topics.status(ROLE, name)
        self._online = _status(name, version, online=True)
        self._offline = _status(name, version, online=False)
        self._utc_us = utc_us
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._newest: Handle | None = None
        self._sent: Handle | None = None
        self._under_way: tuple[int, float] | None = None  # packet id, since when
        self._goodbye: int | None = None
        self._goodbye_heard = threading.Event()
        self._connection = MqttConnection(
            settings,
            Session(client_id=f"{ROLE}-{name}", will=Will(topic=self._status_topic, payload=self._offline)),
            on_published=self._acknowledged,
            on_connected=self._connected,
        )

    def start(self) -> None:
        """Connects in the background and stays connected."""
        self._connection.start()

    def stop(self) -> None:
        """Says goodbye and disconnects; waits a moment for the broker to have heard it.

        Mosquitto drops a client that closes while acknowledgements to it are on their way, DISCONNECT unread.
        """
        with self._lock:
            self._goodbye = self._connection.publish(self._status_topic, self._offline, retain=True)
        if self._goodbye is not None:
            self._goodbye_heard.wait(_GOODBYE_S)
        self._connection.stop()

    @property
    def is_connected(self) -> bool:
        """Whether the broker is there."""
        return self._connection.is_connected

    def publish(self, handle: Handle) -> None:
        """See :meth:`handle_distributor.ports.HandlePublisher.publish`."""
        with self._lock:
            self._newest = handle
            self._send()

    def _connected(self) -> None:
        self._connection.publish(self._status_topic, self._online, retain=True)
        with self._lock:
            if self._under_way is None:
                self._sent = None
            else:  # the library sends it again on this connection
                self._under_way = (self._under_way[0], self._monotonic_s())
            self._send()

    def _acknowledged(self, packet_id: int) -> None:
        with self._lock:
            if packet_id == self._goodbye:
                self._goodbye_heard.set()
            if self._under_way is not None and self._under_way[0] == packet_id:
                self._under_way = None
                self._send()

    def _send(self) -> None:
        """Sends the newest handle unless that was done on this connection, one is under way, or it has expired."""
        if self._newest is None or self._newest is self._sent:
            return
        now_s = self._monotonic_s()
        if self._under_way is not None and now_s - self._under_way[1] < _LOST_AFTER_S:
            return
        expiry_s = (self._newest.expires_us - self._utc_us()) // _US
        if expiry_s <= 0:
            return
        payload = cmw.wrap(media_types.HANDLE, self._newest.raw, Indicator.HANDLE)
        packet_id = self._connection.publish(self._topic, payload, retain=True, expiry_s=expiry_s)
        if packet_id is not None:
            self._sent, self._under_way = self._newest, (packet_id, now_s)


def _status(name: str, version: str, *, online: bool) -> bytes:
    status = Status(role=ROLE, name=name, online=online, version=version)
    return cmw.wrap(media_types.STATUS, encode_status(status), None)
