"""What the distributor needs from the world; each has a fake in ``tests/fakes/distributor.py``."""

from typing import Protocol

from schemas.messages.handle import Handle


class HandleStore(Protocol):
    """Keeps the last handle over a restart: the chain's end, and what must be published again."""

    def load(self) -> bytes | None:
        """The last handle saved; None when there was none.

        Raises:
            WorldError: ``store-unavailable``.
        """

    def save(self, raw: bytes) -> None:
        """Replaces the last handle. When it returns, the handle survives a power cut.

        Raises:
            WorldError: ``store-unavailable``; the previous one is then still there.
        """


class HandlePublisher(Protocol):
    """Gives handles to everyone."""

    def publish(self, handle: Handle) -> None:
        """Makes ``handle`` the retained one; returns at once.

        Keeps trying, over broker outages, until it is delivered, a newer one replaces it, or it expires. A handle may
        be delivered more than once; subscribers refuse one that is older than what they have.
        """


class Clock(Protocol):
    """Time and randomness, so that tests choose both."""

    def utc_us(self) -> int:
        """UTC by this machine's clock, microseconds; may step."""

    def monotonic_s(self) -> float:
        """Seconds that never run back."""

    def random_bytes(self, count: int) -> bytes:
        """From a CSPRNG."""
