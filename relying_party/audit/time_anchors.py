"""Finds the best bounds on the time of a quote that the other events of its clock epoch give. Pure.

Each event has a reading of the TPM's clock and an interval of true time. By (2), (3), (5) and (6) of
:mod:`schemas.time_model` it bounds every quote of its epoch. Among the events before a quote, the one with the best
bound is also the best one for every later quote; likewise among the events after it for every earlier quote. So the
best ones are computed once and then looked up.

Two readings of the same millisecond are in unknown order. A quote always follows the sync proof in its own body; the
caller uses that fact.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from schemas.instants import MILLISECOND_US
from schemas.time_model import SET_TOLERANCE_MS, Interval, most_elapsed_us, quote_made

_PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """An event of one clock epoch: a sync proof, or a quote that was received.

    Attributes:
        clock_ms: the TPM's clock.
        after_us: lower bound for its time, UTC microseconds; None without one.
        before_us: upper bound; None without one.
    """

    clock_ms: int
    after_us: int | None
    before_us: int | None


def clock_eras(offsets_ms: Iterable[int]) -> list[int]:
    """The beginnings of the eras in which a clock was neither set nor cleared; one era if it never was.

    Args:
        offsets_ms: for each timed proof of one epoch, its clock minus its time since power-on, which nobody can set.
    """
    starts: list[int] = []
    for offset_ms in sorted(offsets_ms):
        if not starts or offset_ms - starts[-1] > SET_TOLERANCE_MS:
            starts.append(offset_ms)
    return starts


class _Side:
    """Anchors for one side, sorted by clock, with the best anchor up to and from each position."""

    def __init__(self, anchors: list[tuple[int, int]], drift_ppm: int, *, lower: bool) -> None:
        """Takes (clock, bound) of each anchor; ``lower`` for lower bounds, where the greatest is the best."""
        self._anchors = sorted(anchors, key=lambda each: (each[0], each[1] if lower else -each[1]))
        self._clocks = [clock_ms for clock_ms, _ in self._anchors]
        choose: Callable[..., tuple[int, int]] = max if lower else min

        def best(rate: int) -> Callable[[tuple[int, int], tuple[int, int]], tuple[int, int]]:
            def score(each: tuple[int, int]) -> int:
                return each[1] * rate - each[0] * MILLISECOND_US * _PPM

            return lambda one, other: choose(one, other, key=score)

        slow, fast = _PPM + drift_ppm, _PPM - drift_ppm
        self._before = list(accumulate(self._anchors, best(slow if lower else fast)))
        self._after = list(accumulate(reversed(self._anchors), best(fast if lower else slow)))[::-1]

    def candidates(self, clock_ms: int) -> set[tuple[int, int]]:
        """A few anchors that include the best one for a quote at ``clock_ms``."""
        place = bisect_right(self._clocks, clock_ms)
        found = {self._anchors[place - 1], self._before[place - 1]} if place else set()
        return found | ({self._anchors[place], self._after[place]} if place < len(self._anchors) else set())


class AnchorTable:
    """All anchors of one clock epoch. Immutable."""

    def __init__(self, anchors: Iterable[Anchor], drift_ppm: int) -> None:
        """Takes the anchors and the bound on the clock's rate error."""
        given = list(anchors)
        self._drift_ppm = drift_ppm
        lower = [(each.clock_ms, each.after_us) for each in given if each.after_us is not None]
        upper = [(each.clock_ms, each.before_us) for each in given if each.before_us is not None]
        self._lower = _Side(lower, drift_ppm, lower=True)
        self._upper = _Side(upper, drift_ppm, lower=False)

    def bounds(self, clock_ms: int) -> tuple[int | None, int | None]:
        """Lower and upper bound, UTC microseconds, for a quote at ``clock_ms``; None without a bound."""
        after = [
            quote_made(Interval(after_us=bound), at_ms, clock_ms, self._drift_ppm).after_us
            if at_ms != clock_ms
            else bound - most_elapsed_us(0, self._drift_ppm)
            for at_ms, bound in self._lower.candidates(clock_ms)
        ]
        before = [
            quote_made(Interval(after_us=0, before_us=bound), at_ms, clock_ms, self._drift_ppm).before_us
            for at_ms, bound in self._upper.candidates(clock_ms)
        ]
        known = [each for each in before if each is not None]
        return max(after, default=None), min(known, default=None)
