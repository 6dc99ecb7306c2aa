"""The ports of the distributor. Each has a fake in ``tests/fakes/distributor.py``."""

from typing import Protocol

from schemas.messages.handle import Handle


class HandleStore(Protocol):
    """Keeps the last handle over a restart: it is the end of the chain, and must be published again."""

    def load(self) -> bytes | None:
        """The last saved handle; None if no handle was saved yet.

        Raises:
            WorldError: ``store-unavailable``.
        """

    def save(self, raw: bytes) -> None:
        """Replaces the last handle. When it returns, the handle survives a power cut.

        Raises:
            WorldError: ``store-unavailable``; the store then still holds the previous handle.
        """


class HandlePublisher(Protocol):
    """Sends handles to all attesters and verifiers."""

    def publish(self, handle: Handle) -> None:
        """Publishes ``handle`` as the retained message; returns at once.

        Keeps trying, also after a broker outage, until the handle is delivered, replaced by a newer one, or expired. A
        handle may be delivered more than once; subscribers refuse a handle that is older than the one they have.
        """


class Clock(Protocol):
    """Time and randomness, so that tests can choose both."""

    def utc_us(self) -> int:
        """UTC by this machine's clock, microseconds; may step."""

    def monotonic_s(self) -> float:
        """Seconds that never run back."""

    def random_bytes(self, count: int) -> bytes:
        """From a CSPRNG."""
