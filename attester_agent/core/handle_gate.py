"""Decides which verified handles the agent binds its TPM to.

Each accepted handle is newer than the one before, so a replayed handle changes nothing. With a trusted clock it is also
current. Verifies no signature: a :class:`schemas.messages.handle.Handle` is already verified.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.errors import PeerError
from schemas.identifiers import HandleId
from schemas.messages.handle import Handle
from schemas.reasons import Reason

CLOCK_TOLERANCE_US: Final = 60_000_000
"""How far a trusted clock may be ahead or behind."""


class ClockTrust(StrEnum):
    """Whether this machine's UTC may judge a handle. Many devices boot in 1970 and set their clock later."""

    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedHandle:
    """The part of a handle that the agent remembers: enough to bind to it again and to recognise a newer one.

    Attributes:
        id: SHA-256 of its bytes; the TPM signs this.
        time_us: the TSA's time.
        expires_us: the end of its lifetime.
    """

    id: HandleId
    time_us: int
    expires_us: int


def is_overdue(handle: AcceptedHandle, *, now_us: int) -> bool:
    """Whether the handle has expired by a trusted clock, so that a newer one should have arrived.

    Args:
        handle: the last accepted one.
        now_us: UTC by this machine's clock.
    """
    return now_us > handle.expires_us + CLOCK_TOLERANCE_US


def accept_handle(
    handle: Handle, last: AcceptedHandle | None, *, now_us: int, clock: ClockTrust = ClockTrust.TRUSTED
) -> AcceptedHandle:
    """Decides on a verified handle.

    Args:
        handle: from a distributor.
        last: the handle accepted before, if any.
        now_us: UTC by this machine's clock; ignored if ``clock`` is untrusted.
        clock: whether this machine's clock may judge.

    Returns:
        The handle to bind to.

    Raises:
        PeerError: ``handle-not-newer``, ``handle-expired``, ``handle-from-future``.
    """
    accepted = AcceptedHandle(id=handle.id, time_us=handle.time_us, expires_us=handle.expires_us)
    if last is not None and accepted.time_us <= last.time_us:
        raise PeerError(
            Reason.HANDLE_NOT_NEWER,
            f"handle of {accepted.time_us} us, one of {last.time_us} us was accepted before",
        )
    if clock is ClockTrust.UNTRUSTED:
        return accepted
    if now_us > handle.expires_us + CLOCK_TOLERANCE_US:
        raise PeerError(
            Reason.HANDLE_EXPIRED, f"handle expired at {handle.expires_us} us, this machine's clock reads {now_us} us"
        )
    if handle.earliest_us > now_us + CLOCK_TOLERANCE_US:
        raise PeerError(
            Reason.HANDLE_FROM_FUTURE, f"handle of {handle.time_us} us, this machine's clock reads {now_us} us"
        )
    return accepted
