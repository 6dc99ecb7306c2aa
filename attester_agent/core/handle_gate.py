"""Which verified handles the agent binds its TPM to.

Promises: the time of accepted handles only ever rises, so a replayed handle changes nothing. With a trusted clock a
handle is also current. Does not verify: a :class:`schemas.messages.handle.Handle` is verified already.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.errors import PeerError
from schemas.identifiers import HandleId
from schemas.messages.handle import Handle
from schemas.reasons import Reason

CLOCK_TOLERANCE_US: Final = 60_000_000
"""How far a clock that is called trusted may still be off, ahead or behind."""


class ClockTrust(StrEnum):
    """Whether this machine's UTC may judge a handle. Many devices start in 1970 and learn the time late."""

    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedHandle:
    """What must be remembered of a handle: enough to bind to it again, and to know a newer one.

    Attributes:
        id: SHA-256 of its bytes; what the TPM signs.
        time_us: the TSA's time.
        expires_us: when it stops being current.
    """

    id: HandleId
    time_us: int
    expires_us: int


def is_overdue(handle: AcceptedHandle, *, now_us: int) -> bool:
    """Whether a newer handle should have come: this one is past its expiry by a clock that can be trusted.

    Args:
        handle: bound to.
        now_us: UTC by this machine's clock.
    """
    return now_us > handle.expires_us + CLOCK_TOLERANCE_US


def accept_handle(
    handle: Handle, last: AcceptedHandle | None, *, now_us: int, clock: ClockTrust = ClockTrust.TRUSTED
) -> AcceptedHandle:
    """Decides on a verified handle.

    Args:
        handle: what a distributor published.
        last: the handle accepted before, if any.
        now_us: UTC by this machine's clock; ignored unless ``clock`` says that it can be trusted.
        clock: whether it can.

    Returns:
        The handle to bind to.

    Raises:
        PeerError: ``handle-not-newer``, ``handle-expired``, ``handle-from-future``.
    """
    accepted = AcceptedHandle(id=handle.id, time_us=handle.time_us, expires_us=handle.expires_us)
    if last is not None and accepted.time_us <= last.time_us:
        raise PeerError(
            Reason.HANDLE_NOT_NEWER, f"handle of {accepted.time_us} us, the last accepted is of {last.time_us} us"
        )
    if clock is ClockTrust.UNTRUSTED:
        return accepted
    if now_us > handle.expires_us + CLOCK_TOLERANCE_US:
        raise PeerError(
            Reason.HANDLE_EXPIRED, f"handle expired at {handle.expires_us} us, this machine's clock says {now_us} us"
        )
    if handle.earliest_us > now_us + CLOCK_TOLERANCE_US:
        raise PeerError(
            Reason.HANDLE_FROM_FUTURE, f"handle of {handle.time_us} us, this machine's clock says {now_us} us"
        )
    return accepted
