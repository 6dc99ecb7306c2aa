"""A time series in bounded memory: keeps the newest records completely, and earlier ones thinned out. Pure.

Invariant: it holds at most ``recent + earlier`` records, and always the first and the newest one. When the earlier part
is full, every second record of it is dropped, and from then on it grows half as fast.
"""

import struct
from collections.abc import Iterator
from typing import Final

FIRST_SPACING_S: Final = 10.0


class Series:
    """One bounded series. Owned by the thread that calls it.

    A record is packed by ``layout``, whose first member is its time in seconds as a double.
    """

    __slots__ = ("_earlier", "_earlier_bytes", "_layout", "_next_earlier_s", "_recent", "_recent_bytes", "_spacing_s")

    def __init__(self, layout: struct.Struct, *, recent: int, earlier: int) -> None:
        """Starts empty.

        Args:
            layout: of a record; begins with ``<d``.
            recent: how many of the newest records are kept completely.
            earlier: how many records are kept for all the time before; at least two.
        """
        self._layout = layout
        self._recent_bytes, self._earlier_bytes = recent * layout.size, earlier * layout.size
        self._recent, self._earlier = bytearray(), bytearray()
        self._spacing_s, self._next_earlier_s = FIRST_SPACING_S, float("-inf")

    def append(self, at_s: float, *values: float) -> None:
        """Adds a record, unless it is not later than the newest one."""
        size = self._layout.size
        if self._recent and at_s <= self._time(self._recent, len(self._recent) - size):
            return
        record = self._layout.pack(at_s, *values)
        self._recent += record
        if len(self._recent) > self._recent_bytes:
            del self._recent[:size]
        if at_s < self._next_earlier_s:
            return
        if len(self._earlier) >= self._earlier_bytes:
            kept = [self._earlier[start : start + size] for start in range(0, len(self._earlier), 2 * size)]
            self._earlier = bytearray().join(kept)
            self._spacing_s *= 2
        self._earlier += record
        self._next_earlier_s = at_s + self._spacing_s

    def records(self) -> Iterator[tuple[float, ...]]:
        """All records, oldest first."""
        first_recent_s = self._time(self._recent, 0) if self._recent else float("inf")
        for record in self._layout.iter_unpack(self._earlier):
            if record[0] < first_recent_s:
                yield record
        yield from self._layout.iter_unpack(self._recent)

    def newest(self) -> tuple[float, ...] | None:
        """The newest record, if there is any."""
        if not self._recent:
            return None
        return self._layout.unpack_from(self._recent, len(self._recent) - self._layout.size)

    def _time(self, records: bytearray, position: int) -> float:
        (at_s,) = _TIME.unpack_from(records, position)
        return float(at_s)


_TIME: Final = struct.Struct("<d")
