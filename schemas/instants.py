"""Points in time: UTC, as whole microseconds since 1970.

A name ends in its unit: ``_us`` for microseconds, ``_ms`` for milliseconds, ``_s`` for seconds.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

SECOND_US: Final = 1_000_000
MILLISECOND_US: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def utc(time_us: int) -> datetime:
    """A point in time as a date.

    Raises:
        OverflowError: it is beyond the year 9999, or before the year 1.
    """
    return _EPOCH + timedelta(microseconds=time_us)


def microseconds(when: datetime) -> int:
    """A date with a time zone as a point in time."""
    return (when - _EPOCH) // timedelta(microseconds=1)


def iso_text(time_us: int, timespec: Literal["seconds", "milliseconds", "microseconds"] = "microseconds") -> str:
    """A point in time by RFC 3339; one that :func:`utc` refuses as its number."""
    try:
        return utc(time_us).isoformat(timespec=timespec).replace("+00:00", "Z")
    except OverflowError:
        return str(time_us)
