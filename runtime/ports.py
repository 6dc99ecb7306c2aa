"""Interfaces that several services use: the way to the broker, a Time Stamp Authority, a tracer."""

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from schemas.codecs.tst_info import Stamp

Attributes: TypeAlias = Mapping[str, str | int]


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


class Tracer(Protocol):
    """Takes spans that have ended. Thread-safe; never blocks, never raises, and drops spans when its queue is full."""

    def record(
        self,
        body: bytes,
        name: str,
        started_s: float,
        ended_s: float,
        attributes: Attributes | None = None,
        *,
        root: bool = False,
    ) -> None:
        """Records one span.

        Args:
            body: SHA-256 of the evidence body.
            name: of the service and of the step.
            started_s: by the monotonic clock of this process.
            ended_s: likewise.
            attributes: more about the step; never payloads or keys.
            root: this is the parent of all other spans of the trace.
        """

    def close(self) -> None:
        """Sends the remaining spans, for a few seconds at most."""
