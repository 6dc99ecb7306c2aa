"""The inequalities of ``schemas.time_model`` against a simulated true clock, which alone knows when things were made.

The oscillator counts picoseconds, so that a rate in ppm over whole microseconds loses nothing; a reading cuts it to
milliseconds, as a TPM does.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.time_model import (
    MAX_DRIFT_PPM,
    ClockAnchor,
    Interval,
    age_us,
    agreed,
    clock_rate_ppm,
    clock_was_set,
    least_elapsed_us,
    most_elapsed_us,
    quote_made,
    resolution_us,
    stamped,
    uncertainty_us,
)

T0_US: Final = 1_800_000_000_000_000
PPM: Final = 1_000_000
PS_PER_MS: Final = 10**9
DAY_US: Final = 86_400 * PPM

drifts = st.one_of(st.sampled_from([0, 50, MAX_DRIFT_PPM]), st.integers(0, 900_000))
spans = st.one_of(st.integers(0, 5_000), st.integers(0, 60 * PPM), st.integers(0, 3 * DAY_US))
resolutions = st.sampled_from([1, 10, 1_000, 100_000, PPM])
accuracies = st.one_of(st.just(0), st.integers(0, 60 * PPM))


@dataclass(frozen=True)
class Walk:
    """An oscillator's life: pieces of (true microseconds, rate error in ppm), from a phase within a millisecond."""

    drift_ppm: int
    pieces: list[tuple[int, int]]
    phase_ps: int

    @property
    def length_us(self) -> int:
        return sum(length for length, _ in self.pieces)

    def ticks_ps(self, at_us: int) -> int:
        """What it has counted ``at_us`` true microseconds after its start."""
        counted = self.phase_ps
        for length, ppm in self.pieces:
            part = min(length, at_us)
            counted += part * (PPM + ppm)
            at_us -= part
        return counted

    def reading_ms(self, at_us: int) -> int:
        return self.ticks_ps(at_us) // PS_PER_MS


@st.composite
def walks(draw: st.DrawFn) -> Walk:
    drift_ppm = draw(drifts)
    extremes = st.sampled_from([-drift_ppm, drift_ppm])
    rates = st.one_of(extremes, st.integers(-drift_ppm, drift_ppm))
    pieces = draw(st.lists(st.tuples(spans, rates), min_size=1, max_size=6))
    return Walk(drift_ppm=drift_ppm, pieces=pieces, phase_ps=draw(st.integers(0, 5 * PS_PER_MS)))


@dataclass(frozen=True)
class Token:
    """A TSA's word about true time ``at_us``: within its accuracy, cut to what it writes."""

    at_us: int
    gen_time_us: int
    accuracy_us: int

    @property
    def interval(self) -> Interval:
        return stamped(self.gen_time_us, self.accuracy_us)


@st.composite
def tokens(draw: st.DrawFn, at_us: int) -> Token:
    accuracy_us = draw(accuracies)
    error_us = draw(st.one_of(st.sampled_from([-accuracy_us, accuracy_us]), st.integers(-accuracy_us, accuracy_us)))
    shown_us = draw(resolutions)
    return Token(at_us=at_us, gen_time_us=(at_us + error_us) // shown_us * shown_us, accuracy_us=accuracy_us)


@st.composite
def moments(draw: st.DrawFn, length_us: int) -> tuple[int, int]:
    """Sync and quote within a walk, in any order, often at its ends or at once."""
    some = st.one_of(st.sampled_from([0, length_us]), st.integers(0, length_us))
    return draw(some), draw(some)


@given(st.data(), walks())
def test_the_true_time_of_a_quote_is_in_its_interval(data: st.DataObject, walk: Walk) -> None:
    sync_at, quote_at = data.draw(moments(walk.length_us))
    handle = data.draw(tokens(T0_US + sync_at - data.draw(spans)))  # its digest cannot be signed before
    later = data.draw(tokens(T0_US + sync_at + data.draw(spans)))  # a stamp on the proof cannot be older than it
    sync = Interval(after_us=handle.interval.after_us, before_us=later.interval.before_us)
    readings = walk.reading_ms(sync_at), walk.reading_ms(quote_at)
    later_quote = quote_at >= sync_at
    made = quote_made(sync, *readings, walk.drift_ppm, names_sync=later_quote)
    assert made.before_us is not None
    assert made.after_us <= T0_US + quote_at <= made.before_us
    assert made.is_possible
    without = quote_made(handle.interval, *readings, walk.drift_ppm, names_sync=later_quote)
    assert without.after_us == made.after_us
    assert age_us(made, T0_US + quote_at) >= 0


@given(st.data(), walks())
def test_without_a_stamp_on_the_proof_there_is_no_upper_bound(data: st.DataObject, walk: Walk) -> None:
    sync_at, quote_at = data.draw(moments(walk.length_us))
    sync, later_quote = Interval(after_us=T0_US + sync_at), quote_at >= sync_at
    readings = walk.reading_ms(sync_at), walk.reading_ms(quote_at)
    made = quote_made(sync, *readings, walk.drift_ppm, names_sync=later_quote)
    assert made.before_us is None
    assert made.after_us <= T0_US + quote_at


@given(
    drifts, st.integers(0, 2**45), st.integers(0, 3 * DAY_US // 1000), st.integers(0, DAY_US), st.integers(0, DAY_US)
)
def test_an_interval_is_no_wider_than_the_formula(
    drift_ppm: int, clock_ms: int, ticks_ms: int, after: int, width: int
) -> None:
    """The exact values of (2), (3), (5), (6) as fractions; each bound is off by less than a microsecond, outwards."""
    rho = Fraction(drift_ppm, PPM)
    least = max(0, ticks_ms - 1) * 1000 / (1 + rho)
    most = (ticks_ms + 1) * 1000 / (1 - rho)
    sync = Interval(after_us=after, before_us=after + width)
    forward = quote_made(sync, clock_ms, clock_ms + ticks_ms, drift_ppm)
    assert forward.before_us is not None
    assert 0 <= after + least - forward.after_us < 1
    assert 0 <= forward.before_us - (after + width + most) < 1
    assert uncertainty_us(ticks_ms, drift_ppm) == ticks_ms * 1000 - (forward.after_us - after)
    if ticks_ms:
        backward = quote_made(sync, clock_ms + ticks_ms, clock_ms, drift_ppm)
        assert backward.before_us is not None
        assert 0 <= after - most - backward.after_us < 1
        assert 0 <= backward.before_us - (after + width - least) < 1


@given(drifts, st.integers(0, PS_PER_MS - 1), spans)
def test_no_narrower_interval_would_do(drift_ppm: int, phase_ps: int, length_us: int) -> None:
    """A clock at the edge of its bound takes a quote to the edge of the interval, up to the milliseconds cut off."""
    fast = Walk(drift_ppm=drift_ppm, pieces=[(length_us, drift_ppm)], phase_ps=phase_ps)
    slow = Walk(drift_ppm=drift_ppm, pieces=[(length_us, -drift_ppm)], phase_ps=phase_ps)
    ticks = fast.reading_ms(length_us) - fast.reading_ms(0)
    assert length_us - least_elapsed_us(ticks, drift_ppm) <= 2_001
    ticks = slow.reading_ms(length_us) - slow.reading_ms(0)
    slack_us = Fraction(2_000 * PPM, PPM - drift_ppm) + 1
    assert most_elapsed_us(ticks, drift_ppm) - length_us <= slack_us


def test_equal_readings_leave_the_order_open() -> None:
    """Sync at the end of a millisecond, quote at its start: the test above found it."""
    sync = Interval(after_us=T0_US + 999, before_us=T0_US + 999)
    assert quote_made(sync, 7, 7, 0, names_sync=False) == Interval(after_us=T0_US - 1, before_us=T0_US + 1_999)
    assert quote_made(sync, 7, 7, 0) == Interval(after_us=T0_US + 999, before_us=T0_US + 1_999)
    assert quote_made(sync, 7, 8, 0, names_sync=False) == quote_made(sync, 7, 8, 0)


@given(st.data(), spans)
def test_a_stamp_contains_the_moment_it_was_made(data: st.DataObject, at: int) -> None:
    token = data.draw(tokens(T0_US + at))
    made = token.interval
    assert made.before_us is not None
    assert made.after_us <= token.at_us <= made.before_us
    # No more than the accuracy to either side and what writing the time cut off, which is at most a second.
    assert made.before_us - made.after_us <= 2 * token.accuracy_us + PPM


@given(st.integers(0, 10**16), resolutions)
def test_the_resolution_is_at_least_what_was_cut_off(time_us: int, shown_us: int) -> None:
    written_us = time_us // shown_us * shown_us
    assert shown_us <= resolution_us(written_us)
    assert time_us < written_us + resolution_us(written_us)
    assert resolution_us(written_us) == PPM or written_us % (10 * resolution_us(written_us))


@given(st.data(), spans, st.integers(1, 5))
def test_tsas_that_are_right_agree_on_the_truth(data: st.DataObject, at: int, count: int) -> None:
    said = [data.draw(tokens(T0_US + at)).interval for _ in range(count)]
    both = agreed(said)
    assert both is not None
    assert both.before_us is not None
    assert both.after_us <= T0_US + at <= both.before_us
    assert both.after_us == max(each.after_us for each in said)
    assert both.before_us == min(each.before_us for each in said if each.before_us is not None)


@given(st.data(), spans, st.integers(1, DAY_US))
def test_tsas_that_cannot_all_be_right_do_not_agree(data: st.DataObject, at: int, apart: int) -> None:
    said = data.draw(tokens(T0_US + at)).interval
    assert said.before_us is not None
    liar = Interval(after_us=said.before_us + apart)
    assert agreed([said, liar]) is None
    assert agreed([liar, said]) is None
    assert agreed([]) is None


@given(st.data(), walks())
def test_the_measured_rate_contains_the_true_mean_rate(data: st.DataObject, walk: Walk) -> None:
    one, other = sorted(data.draw(moments(walk.length_us)))
    assume(one < other)
    anchors = [
        ClockAnchor(
            clock_ms=walk.reading_ms(at),
            after_us=T0_US + at - data.draw(spans),
            before_us=T0_US + at + data.draw(spans),
        )
        for at in (one, other)
    ]
    rate = clock_rate_ppm(*anchors)
    mean_ppm = Fraction(walk.ticks_ps(other) - walk.ticks_ps(one), other - one) - PPM
    assert rate is None or rate[0] <= mean_ppm <= rate[1]


@given(st.data(), st.integers(-MAX_DRIFT_PPM, MAX_DRIFT_PPM), st.integers(0, 5 * PS_PER_MS))
def test_measurements_of_a_steady_clock_narrow_to_its_rate(data: st.DataObject, ppm: int, phase_ps: int) -> None:
    times = sorted(data.draw(st.lists(st.integers(0, 3 * DAY_US), min_size=3, max_size=8, unique=True)))
    walk = Walk(drift_ppm=MAX_DRIFT_PPM, pieces=[(3 * DAY_US, ppm)], phase_ps=phase_ps)
    wide = st.integers(0, 10 * PPM)
    anchors = [
        ClockAnchor(
            clock_ms=walk.reading_ms(at), after_us=T0_US + at - data.draw(wide), before_us=T0_US + at + data.draw(wide)
        )
        for at in times
    ]
    for anchor in anchors[1:]:
        known = clock_rate_ppm(anchors[0], anchor)
        assert known is None or known[0] <= ppm <= known[1]


def test_two_proofs_a_day_apart_do_tell_the_rate() -> None:
    """The bounds above are not true for being empty of meaning."""
    walk = Walk(drift_ppm=MAX_DRIFT_PPM, pieces=[(DAY_US, 120_000)], phase_ps=0)
    first, later = (
        ClockAnchor(clock_ms=walk.reading_ms(at), after_us=T0_US + at - 50_000, before_us=T0_US + at + 50_000)
        for at in (0, DAY_US)
    )
    rate = clock_rate_ppm(first, later)
    assert rate is not None
    assert rate[1] - rate[0] < 10
    assert clock_rate_ppm(later, first) is None
    assert clock_rate_ppm(first, first) is None


@given(walks(), st.integers(0, PS_PER_MS - 1), st.one_of(st.just(0), st.integers(-999, 999), st.integers(1_002, 2**40)))
def test_a_set_clock_is_found_beyond_the_tolerance_and_never_without(walk: Walk, phase_ps: int, set_ms: int) -> None:
    """``clock`` and ``time`` are counted by one oscillator from different phases; only the clock can be set."""
    power_on = Walk(drift_ppm=walk.drift_ppm, pieces=walk.pieces, phase_ps=phase_ps)
    clock_ms = walk.reading_ms(walk.length_us) + set_ms - walk.reading_ms(0)
    time_ms = power_on.reading_ms(walk.length_us) - power_on.reading_ms(0)
    assert clock_was_set(clock_ms, time_ms) == (abs(set_ms) > 1_000)
