"""One MQTT connection with its subscriptions and manual acknowledgements. The only importer of paho-mqtt.

Delivery is at least once in both directions. The broker keeps a QoS 1 message until :meth:`MqttConnection.ack`. An
acknowledgement is valid only on the connection that delivered the message, because packet ids are reused; after a
reconnect the broker delivers the message again, so receivers must be idempotent. The caller keeps a durable copy of a
published message until ``on_published`` reports its packet id.

Callbacks run on the connection's own thread. They may only put something into a queue that cannot block: paho holds its
lock on outgoing messages while it calls ``on_published``, so a callback that waits for a publishing thread never
returns.
"""

import contextlib
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from prometheus_client import Counter, Gauge
from typing_extensions import override

from runtime.clock import monotonic_s
from runtime.keys import read_file
from runtime.telemetry import Logger
from schemas.errors import ConfigError
from schemas.limits import MAX_MESSAGE_BYTES
from schemas.reasons import Reason
from schemas.topics import DEFAULT_ROOT, Topics

_LOG: Final = Logger("mqtt")
_CONNECTED: Final = Gauge("attestream_mqtt_connected", "1 while the broker connection is up, by client id", ["client"])
_CONNECTS: Final = Counter(
    "attestream_mqtt_connects_total", "Connections made, by client id; all but the first are reconnects", ["client"]
)
_REFUSALS: Final = Counter(
    "attestream_mqtt_refusals_total",
    "What the broker refused: connection, subscription or publish",
    ["client", "what"],
)
_UNREADABLE: Final = Counter(
    "attestream_mqtt_unreadable_total",
    "Messages that were dropped because their MQTT packet cannot be read",
    ["client"],
)
_PACKET_OVERHEAD_BYTES: Final = 1024
_PROTOCOLS: Final = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
_QOS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """The broker's address and how to talk to it (table ``[mqtt]``).

    Attributes:
        host, port: the broker.
        root: the first levels of every topic.
        protocol: ``5``, or ``3.1.1`` for brokers without MQTT 5 (results then do not expire on the broker).
        keepalive_s: seconds between pings; a dead peer is noticed after one and a half times that.
        session_expiry_s: how long the broker keeps a persistent session's queue.
        receive_maximum: how many unacknowledged messages the broker may send to this client.
        username, password_file: credentials, if the broker requires them.
        ca_file, certificate_file, key_file: for TLS, which ``ca_file`` switches on.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    root: str = DEFAULT_ROOT
    protocol: str = "5"
    keepalive_s: int = 30
    session_expiry_s: int = 7 * 86_400
    receive_maximum: int = 1000
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if self.protocol not in _PROTOCOLS:
            raise ConfigError(f"protocol: {self.protocol!r}, expected one of {', '.join(_PROTOCOLS)}")
        if not 0 < self.port <= 65_535:  # noqa: PLR2004 TCP ports
            raise ConfigError(f"port: {self.port}, expected 1 to 65535")
        if self.password_file is not None and self.username is None:
            raise ConfigError(f"password_file: {self.password_file}, but no username to send it with")
        Topics(self.root)

    @property
    def topics(self) -> Topics:
        """The topic names under ``root``."""
        return Topics(self.root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A received message.

    Attributes:
        topic, payload, retained, packet_id: as received.
        connection: the number of the connection that delivered it; :meth:`MqttConnection.ack` needs it.
        received_s: time of receipt by the monotonic clock.
    """

    topic: str
    payload: bytes
    retained: bool
    packet_id: int
    connection: int
    received_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """The message that the broker publishes, retained, when this client vanishes."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The purpose of one connection.

    Attributes:
        client_id: if ``persistent``, must be the same after a restart.
        subscriptions: topic filters, all with QoS 1.
        persistent: the broker keeps the session and its queue while this client is disconnected.
        manual_ack: received messages wait for :meth:`MqttConnection.ack`.
        max_payload_bytes: an MQTT 5 broker does not send larger messages to this client.
        will: the last will, if any.
    """

    client_id: str
    subscriptions: Sequence[str] = ()
    persistent: bool = False
    manual_ack: bool = False
    max_payload_bytes: int = MAX_MESSAGE_BYTES
    will: Will | None = None


class _Client(paho.Client):
    """Acknowledges and drops a message whose packet paho cannot read, and stays connected.

    MQTT 5 allows some text in properties that paho refuses (U+FEFF). Brokers pass it on, so a stranger can send it to
    every subscriber of a topic. paho would disconnect, and the broker would deliver the message again, without end.
    """

    client_name = ""

    @override
    def _handle_publish(self) -> MQTTErrorCode:
        try:
            return super()._handle_publish()
        except MalformedPacket:
            _UNREADABLE.labels(self.client_name).inc()
            command, packet = self._in_packet["command"], bytes(self._in_packet["packet"])
            if not command >> 1 & 3:  # QoS 0
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            with contextlib.suppress(struct.error):  # MQTT 5, 3.3.2: topic, packet id, properties
                (length,) = struct.unpack_from(">H", packet)
                (packet_id,) = struct.unpack_from(">H", packet, 2 + length)
                return self._send_puback(packet_id)
            raise


class MqttConnection:
    """One broker connection that reconnects by itself.

    Only the network thread writes ``_connection`` and ``_refusal``; other threads read them.
    """

    def __init__(
        self,
        settings: MqttSettings,
        session: Session,
        *,
        on_message: Callable[[Message], None] | None = None,
        on_published: Callable[[int], None] | None = None,
        on_connected: Callable[[], None] | None = None,
    ) -> None:
        """Does not connect yet.

        Args:
            settings: the broker's address.
            session: the purpose of the connection.
            on_message: called with each received message.
            on_published: called with the packet id of each published message that the broker has confirmed.
            on_connected: called after every connect, once the subscriptions are confirmed.
        """
        self._settings = settings
        self._session = session
        self._on_message = on_message
        self._on_published = on_published
        self._on_connected = on_connected
        self._connection = 0
        self._refusal = ""
        self._up = threading.Event()
        self._subscribed = threading.Event()
        self._v5 = settings.protocol == "5"
        self._client = self._make_client()

    def start(self) -> None:
        """Connects in the background and stays connected until :meth:`stop`."""
        host, port, keepalive_s = self._settings.host, self._settings.port, self._settings.keepalive_s
        if self._v5:
            self._client.connect_async(
                host,
                port,
                keepalive=keepalive_s,
                clean_start=not self._session.persistent,
                properties=self._connect_properties(),
            )
        else:
            self._client.connect_async(host, port, keepalive=keepalive_s)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnects cleanly (the will is not sent) and ends the network thread."""
        self._client.disconnect()
        self._client.loop_stop()
        client = self._client  # its callbacks refer to this object: a cycle that would keep the socket open
        client.on_connect = client.on_disconnect = client.on_subscribe = client.on_message = client.on_publish = None
        _CONNECTED.labels(self._session.client_id).set(0)

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted the connection and it is still up."""
        return self._up.is_set()

    @property
    def is_ready(self) -> bool:
        """Whether the connection is up and the broker has confirmed every subscription."""
        return self._up.is_set() and (self._subscribed.is_set() or not self._session.subscriptions)

    @property
    def refusal(self) -> str:
        """The broker's last refusal, in its words; empty if it refused nothing since the last connect."""
        return self._refusal

    @property
    def connection(self) -> int:
        """The number of connects so far; the ``connection`` of messages that are delivered now."""
        return self._connection

    def wait_subscribed(self, seconds: float) -> bool:
        """Waits until the broker has confirmed all subscriptions; False if that takes longer than ``seconds``."""
        return self._subscribed.wait(seconds)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None) -> int | None:
        """Hands a QoS 1 message to the broker.

        Args:
            topic: the topic.
            payload: the content.
            retain: the broker keeps it for later subscribers.
            expiry_s: MQTT 5 message expiry; ignored with 3.1.1.

        Returns:
            The packet id that ``on_published`` will report; None if not connected (try again later).
        """
        if not self._up.is_set():
            return None
        properties = None
        if self._v5 and expiry_s is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho types all but this
            properties.MessageExpiryInterval = max(1, expiry_s)
        info = self._client.publish(topic, payload, qos=_QOS, retain=retain, properties=properties)
        return info.mid if info.rc == paho.MQTT_ERR_SUCCESS else None

    def ack(self, message: Message) -> None:
        """Acknowledges ``message``. Does nothing after a reconnect: the broker then delivers the message again."""
        if message.connection == self._connection and self._up.is_set():
            self._client.ack(message.packet_id, _QOS)

    def _make_client(self) -> paho.Client:
        settings, session = self._settings, self._session
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=session.client_id,
            clean_session=None if self._v5 else not session.persistent,
            protocol=_PROTOCOLS[settings.protocol],
            manual_ack=session.manual_ack,
        )
        client.client_name = session.client_id
        client.max_inflight_messages_set(settings.receive_maximum)
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        if settings.username is not None:
            password = read_file(settings.password_file).decode().strip() if settings.password_file else None
            client.username_pw_set(settings.username, password)
        if settings.ca_file is not None:
            client.tls_set_context(_tls_context(settings))
        if session.will is not None:
            client.will_set(session.will.topic, session.will.payload, qos=_QOS, retain=True)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscriptions_confirmed
        client.on_message = self._received
        client.on_publish = self._published
        return client

    def _connect_properties(self) -> Properties:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho types all but this
        properties.ReceiveMaximum = self._settings.receive_maximum
        properties.MaximumPacketSize = self._session.max_payload_bytes + _PACKET_OVERHEAD_BYTES
        if self._session.persistent:
            properties.SessionExpiryInterval = self._settings.session_expiry_s
        return properties

    def _connected(
        self, client: paho.Client, _data: object, _flags: object, code: ReasonCode, _properties: object
    ) -> None:
        if code.is_failure:
            self._refuse("connection", code)
            _LOG.error("broker-refused", client=self._session.client_id, reason=Reason.BROKER_REFUSED, detail=code)
            return
        self._connection += 1
        self._refusal = ""
        _CONNECTS.labels(self._session.client_id).inc()
        _CONNECTED.labels(self._session.client_id).set(1)
        self._up.set()
        _LOG.info("broker-connected", client=self._session.client_id, port=self._settings.port)
        if self._session.subscriptions:
            client.subscribe([(topic, _QOS) for topic in self._session.subscriptions])
        elif self._on_connected is not None:
            self._on_connected()

    def _disconnected(
        self, _client: paho.Client, _data: object, _flags: object, code: ReasonCode, _properties: object
    ) -> None:
        self._up.clear()
        self._subscribed.clear()
        _CONNECTED.labels(self._session.client_id).set(0)
        if code.is_failure:
            _LOG.warning("broker-lost", client=self._session.client_id, reason=code)

    def _subscriptions_confirmed(
        self, _client: paho.Client, _data: object, _packet_id: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        for topic, code in zip(self._session.subscriptions, codes, strict=False):
            if code.is_failure:
                self._refuse("subscription", code)
                _LOG.error("subscription-refused", client=self._session.client_id, topic=topic, reason=code)
                return
        self._subscribed.set()
        if self._on_connected is not None:
            self._on_connected()

    def _received(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # brokers must not forward such a topic (MQTT 5, 1.5.4), but some do
            _UNREADABLE.labels(self._session.client_id).inc()
            self._client.ack(message.mid, message.qos)
            return
        if self._on_message is not None:
            received = Message(
                topic=topic,
                payload=bytes(message.payload),
                retained=message.retain,
                packet_id=message.mid,
                connection=self._connection,
                received_s=monotonic_s(),
            )
            self._on_message(received)

    def _published(
        self, _client: paho.Client, _data: object, packet_id: int, code: ReasonCode, _properties: object
    ) -> None:
        if code.is_failure:
            self._refuse("publish", code)
            _LOG.warning("publish-refused", client=self._session.client_id, reason=code)
        elif self._on_published is not None:
            self._on_published(packet_id)

    def _refuse(self, what: str, code: ReasonCode) -> None:
        _REFUSALS.labels(self._session.client_id, what).inc()
        self._refusal = f"{what}: {code}"


def _tls_context(settings: MqttSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(settings.ca_file))
        if settings.certificate_file is not None:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"mqtt TLS files: {error}") from error
    return context
