"""Points in time as dates and texts."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from schemas.instants import MILLISECOND_US, SECOND_US, iso_text, microseconds, utc

WHEN_US = 1_700_000_000_123_456


def test_the_units() -> None:
    assert timedelta(microseconds=SECOND_US) == timedelta(seconds=1)
    assert timedelta(microseconds=MILLISECOND_US) == timedelta(milliseconds=1)


def test_a_date_and_back() -> None:
    assert utc(WHEN_US) == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert microseconds(utc(WHEN_US)) == WHEN_US
    assert microseconds(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == -3600 * SECOND_US


def test_texts() -> None:
    assert iso_text(WHEN_US) == "2023-11-14T22:13:20.123456Z"
    assert iso_text(WHEN_US, "milliseconds") == "2023-11-14T22:13:20.123Z"
    assert iso_text(WHEN_US, "seconds") == "2023-11-14T22:13:20Z"
    assert iso_text(0) == "1970-01-01T00:00:00.000000Z"


@pytest.mark.parametrize("time_us", [2**62, -(2**62)])
def test_a_time_beyond_the_calendar_is_its_number(time_us: int) -> None:
    assert iso_text(time_us) == str(time_us)
    with pytest.raises(OverflowError):
        utc(time_us)
