"""Publishes one MQTT 5 message byte by byte, with properties that no client library sends."""

import socket
import struct

_CONNECT, _PUBLISH_QOS_1 = 0x10, 0x32
_USER_PROPERTY = b"\x26"


def user_property(name: str, value: str) -> bytes:
    """A user property (MQTT 5, 3.3.2.3.7)."""
    return _USER_PROPERTY + _text(name.encode()) + _text(value.encode())


def publish_raw(port: int, topic: str, payload: bytes, *, properties: bytes = b"", retain: bool = False) -> bool:
    """Connects, publishes at QoS 1, and returns whether the broker took the message."""
    connect = _text(b"MQTT") + b"\x05\x02" + struct.pack(">H", 60) + b"\x00" + _text(b"")
    publish = _text(topic.encode()) + b"\x00\x01" + _length(len(properties)) + properties + payload
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(_packet(_CONNECT, connect))
        connection.recv(256)
        connection.sendall(_packet(_PUBLISH_QOS_1 | int(retain), publish))
        return connection.recv(256)[:1] == b"\x40"  # PUBACK


def _text(raw: bytes) -> bytes:
    return struct.pack(">H", len(raw)) + raw


def _length(count: int) -> bytes:
    raw = b""
    while True:
        count, digit = divmod(count, 128)
        raw += bytes([digit | (128 if count else 0)])
        if not count:
            return raw


def _packet(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + _length(len(body)) + body
