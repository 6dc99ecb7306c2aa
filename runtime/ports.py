"""Interfaces that several services use: the way to the broker, and a Time Stamp Authority."""

from typing import Protocol

from schemas.codecs.tst_info import Stamp


class Publisher(Protocol):
    """The way to the broker, implemented by ``runtime.mqtt.MqttConnection``. Never blocks."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None) -> int | None:
        """Hands over a QoS 1 message.

        Returns:
            The id with which its acknowledgement will be reported; None if it was not taken and must be tried again.
        """


class Transport(Publisher, Protocol):
    """A :class:`Publisher` that knows whether it is connected."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""


class TimeStampAuthority(Protocol):
    """One RFC 3161 Time Stamp Authority, implemented by ``runtime.time_stamps.client.HttpTimeStampAuthority``."""

    @property
    def name(self) -> str:
        """Its name in log lines and metrics."""

    def stamp(self, imprint: bytes, nonce: int) -> Stamp:
        """Asks for a token over ``imprint``, once. Returns or raises within the TSA's deadline.

        Args:
            imprint: a SHA-256, 32 bytes.
            nonce: 64 random bits that the token must repeat.

        Raises:
            WorldError: ``tsa-unreachable``, ``tsa-timeout``, ``tsa-refused``, ``tsa-malformed``,
                ``tsa-imprint-mismatch``, ``tsa-nonce-mismatch`` or ``tsa-untrusted``.
        """
