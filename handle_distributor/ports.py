"""What the distributor needs from the world; each has a fake in ``tests/fakes/distributor.py``."""

from typing import Protocol

from schemas.codecs.tst_info import Stamp
from schemas.messages.handle import Handle


class TimeStampAuthority(Protocol):
    """One RFC 3161 Time Stamp Authority."""

    @property
    def name(self) -> str:
        """What logs and metrics call it."""

    def stamp(self, imprint: bytes, nonce: int) -> Stamp:
        """Asks for a token over ``imprint``; answers or raises within the TSA's deadline; does not retry.

        Args:
            imprint: a SHA-256, 32 bytes.
            nonce: 64 random bits that the token must repeat.

        Raises:
            WorldError: ``tsa-unreachable``, ``tsa-timeout``, ``tsa-refused``, ``tsa-malformed``,
                ``tsa-imprint-mismatch``, ``tsa-nonce-mismatch`` or ``tsa-untrusted``.
        """


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
