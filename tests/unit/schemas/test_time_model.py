"""The inequalities of ``schemas.time_model`` in numbers computed by hand: every rounding, every edge.

That they hold for every clock within its bound is in ``tests/property/schemas/test_time_model.py``.
"""

import pytest

from schemas.time_model import (
    MAX_DRIFT_PPM,
    ClockAnchor,
    Interval,
    age_us,
    agreed,
    clock_rate_ppm,
    clock_was_set,
    counter_after,
    counter_steps,
    least_elapsed_us,
    most_elapsed_us,
    quote_made,
    resolution_us,
    stamped,
    uncertainty_us,
)

SECOND_US = 1_000_000
BOUNDED = Interval(after_us=5_000_000, before_us=5_200_000)
OPEN = Interval(after_us=5_000_000)


def test_a_tpm_may_drift_by_15_percent() -> None:
    """TPM 2.0 Part 1, "Clock"."""
    assert MAX_DRIFT_PPM == 150_000


# ── intervals ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("after_us", "before_us", "possible"),
    [(5, 6, True), (5, 5, True), (6, 5, False), (6, None, True), (0, None, True), (1, 0, False)],
)
def test_an_interval_is_possible_while_it_holds_a_moment(after_us: int, before_us: int | None, possible: bool) -> None:
    assert Interval(after_us=after_us, before_us=before_us).is_possible is possible


@pytest.mark.parametrize(
    ("gen_time_us", "place"),
    [
        (1_800_000_000_123_456, 1),
        (1_800_000_000_123_450, 10),
        (1_800_000_000_123_400, 100),
        (1_800_000_000_123_000, 1_000),
        (1_800_000_000_120_000, 10_000),
        (1_800_000_000_100_000, 100_000),
        (1_800_000_001_000_000, SECOND_US),
        (1_800_000_000_000_000, SECOND_US),
        (0, SECOND_US),
    ],
)
def test_trailing_zeros_may_have_been_cut_off_up_to_a_second(gen_time_us: int, place: int) -> None:
    assert resolution_us(gen_time_us) == place


def test_a_stamp_is_wrong_by_its_accuracy_and_late_by_what_was_cut_off() -> None:
    assert stamped(7_000_000, 250_000) == Interval(after_us=6_750_000, before_us=8_250_000)
    assert stamped(7_000_001, 250_000) == Interval(after_us=6_750_001, before_us=7_250_002)
    assert stamped(7_000_001, 0) == Interval(after_us=7_000_001, before_us=7_000_002)


def test_what_several_tsas_agree_on_is_what_all_of_them_allow() -> None:
    first, second = Interval(after_us=10, before_us=30), Interval(after_us=20, before_us=40)
    assert agreed([first, second]) == agreed([second, first]) == Interval(after_us=20, before_us=30)
    assert agreed([first]) == first
    assert agreed([Interval(after_us=10), Interval(after_us=20)]) == Interval(after_us=20)
    assert agreed([Interval(after_us=25), first]) == agreed([first, Interval(after_us=25)])
    assert agreed([first, Interval(after_us=25)]) == Interval(after_us=25, before_us=30)


def test_tsas_that_share_one_moment_agree_and_one_microsecond_on_they_do_not() -> None:
    first = Interval(after_us=10, before_us=30)
    assert agreed([first, Interval(after_us=30, before_us=50)]) == Interval(after_us=30, before_us=30)
    assert agreed([first, Interval(after_us=31, before_us=50)]) is None
    assert agreed([]) is None


# ── elapsed time, (1) ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ticks_ms", "drift_ppm", "least_us", "most_us"),
    [
        (0, 0, 0, 1_000),
        (1, 0, 0, 2_000),
        (2, 0, 1_000, 3_000),
        (1_001, 0, 1_000_000, 1_002_000),
        (0, 150_000, 0, 1_177),  # 1,000 / 0.85 = 1,176.47: rounded up
        (1, 150_000, 0, 2_353),  # 2,000 / 0.85 = 2,352.94
        (2, 150_000, 869, 3_530),  # 1,000 / 1.15 = 869.57: rounded down; 3,000 / 0.85 = 3,529.41
        (1_151, 150_000, 1_000_000, 1_355_295),  # 1,150,000 / 1.15; 1,152,000 / 0.85 = 1,355,294.12
        (849, 150_000, 737_391, 1_000_000),  # 848,000 / 1.15 = 737,391.30; 850,000 / 0.85
    ],
)
def test_elapsed_time_is_rounded_to_the_safe_side(ticks_ms: int, drift_ppm: int, least_us: int, most_us: int) -> None:
    assert (least_elapsed_us(ticks_ms, drift_ppm), most_elapsed_us(ticks_ms, drift_ppm)) == (least_us, most_us)


@pytest.mark.parametrize(
    ("ticks_ms", "drift_ppm", "given_away_us"), [(0, 150_000, 0), (1, 0, 1_000), (1_151, 150_000, 151_000)]
)
def test_the_uncertainty_is_what_the_lower_bound_gives_away(ticks_ms: int, drift_ppm: int, given_away_us: int) -> None:
    assert uncertainty_us(ticks_ms, drift_ppm) == given_away_us


def test_an_age_is_counted_from_the_earliest_moment() -> None:
    assert age_us(BOUNDED, 5_500_000) == 500_000
    assert age_us(OPEN, 4_999_999) == -1


# ── a quote after its sync, (2) and (3) ──────────────────────────────────────────────────────────────────────────────


def test_a_quote_after_its_sync_lies_between_least_and_most() -> None:
    made = quote_made(BOUNDED, 1_000, 2_151, 150_000)
    assert made == Interval(after_us=6_000_000, before_us=5_200_000 + 1_355_295)
    assert quote_made(OPEN, 1_000, 2_151, 150_000) == Interval(after_us=6_000_000)


def test_a_quote_after_its_sync_is_the_same_whether_it_names_it() -> None:
    assert quote_made(BOUNDED, 7, 8, 0, names_sync=False) == quote_made(BOUNDED, 7, 8, 0)
    assert quote_made(BOUNDED, 7, 8, 0) == Interval(after_us=5_000_000, before_us=5_202_000)


def test_a_quote_with_the_syncs_reading_is_not_older_only_if_it_names_it() -> None:
    named = quote_made(BOUNDED, 7, 7, 0)
    assert named == Interval(after_us=5_000_000, before_us=5_201_000)
    assert quote_made(BOUNDED, 7, 7, 0, names_sync=False) == Interval(after_us=4_999_000, before_us=5_201_000)


# ── a quote before its sync, (5) and (6) ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("names_sync", [True, False])
def test_a_quote_before_its_sync_lies_as_far_back(names_sync: bool) -> None:
    made = quote_made(BOUNDED, 2_151, 1_000, 150_000, names_sync=names_sync)
    assert made == Interval(after_us=5_000_000 - 1_355_295, before_us=4_200_000)
    assert quote_made(OPEN, 2_151, 1_000, 150_000, names_sync=names_sync) == Interval(after_us=5_000_000 - 1_355_295)


def test_a_quote_one_tick_before_its_sync_may_be_as_late_as_the_sync() -> None:
    assert quote_made(BOUNDED, 8, 7, 0) == Interval(after_us=4_998_000, before_us=5_200_000)


# ── the clock's rate ─────────────────────────────────────────────────────────────────────────────────────────────────


def anchor(clock_ms: int, after_us: int, before_us: int) -> ClockAnchor:
    """An anchor in microseconds of some day, so that no difference starts at zero."""
    day_us = 1_800_000_000_000_000
    return ClockAnchor(clock_ms=clock_ms, after_us=day_us + after_us, before_us=day_us + before_us)


def test_a_quote_anchors_without_the_time_since_power_on() -> None:
    assert anchor(0, 0, 0).time_ms is None


def test_the_rate_lies_between_the_longest_and_the_shortest_time() -> None:
    """1,000 ticks and 1 ms of reading in 0.9 s to 1.1 s: 999 / 1,100 and 1,001 / 900, rounded outwards."""
    rate = clock_rate_ppm(anchor(5_000, 0, 50_000), anchor(6_000, 950_000, 1_100_000))
    assert rate == (-91_819, 112_223)  # -91,818.18 and 112,222.22


def test_a_true_clock_over_exact_anchors_is_known_to_the_reading() -> None:
    rate = clock_rate_ppm(anchor(0, 0, 0), anchor(1_000, SECOND_US, SECOND_US))
    assert rate == (-1_000, 1_000)


def test_anchors_that_touch_or_overlap_say_nothing() -> None:
    first = anchor(0, 0, 100)
    assert clock_rate_ppm(first, anchor(1, 100, 200)) is None
    assert clock_rate_ppm(first, anchor(1, 99, 200)) is None
    assert clock_rate_ppm(first, anchor(1, 101, 200)) == (-1_000_000, 1_999_000_000)
    assert clock_rate_ppm(anchor(0, 0, 0), anchor(1, 1, 1)) == (-1_000_000, 1_999_000_000)


def test_a_clock_that_did_not_advance_says_nothing() -> None:
    later = (2 * SECOND_US, 3 * SECOND_US)
    assert clock_rate_ppm(anchor(7, 0, 0), anchor(7, *later)) is None
    assert clock_rate_ppm(anchor(7, 0, 0), anchor(6, *later)) is None
    assert clock_rate_ppm(anchor(7, 0, 0), anchor(8, *later)) == (-1_000_000, -999_000)


def test_anchors_whose_bounds_cross_say_nothing() -> None:
    """The later anchor's upper bound lies far below its lower one: no rate fits both."""
    first = anchor(0, 0, 0)
    assert clock_rate_ppm(first, anchor(1_000, 2 * SECOND_US, SECOND_US)) is None
    assert clock_rate_ppm(first, anchor(1_000, SECOND_US, 0)) is None
    assert clock_rate_ppm(first, anchor(1_000, SECOND_US, -1)) is None


def test_bounds_that_meet_are_a_rate_and_bounds_that_cross_are_not() -> None:
    """(3 - 1) ms in 4 ms and (3 + 1) ms in 8 ms: half of the true rate, and nothing else."""
    first = anchor(0, 0, 0)
    assert clock_rate_ppm(first, anchor(3, 8_000, 4_000)) == (-500_000, -500_000)
    assert clock_rate_ppm(first, anchor(3, 8_001, 4_000)) is None
    assert clock_rate_ppm(first, anchor(3, 8_000, 3_999)) is None


def test_an_absurd_rate_is_cut_to_a_million_times_the_true_one() -> None:
    rate = clock_rate_ppm(anchor(0, 0, 0), anchor(2**42, 1, 10**12))
    assert rate == (4_398_046_511_103 // 1_000 - 1_000_000, 10**12)


def test_the_bounds_of_an_absurd_rate_do_not_cross() -> None:
    """A clock that was set forward by 139 years within a second: even its least rate is beyond the limit."""
    assert clock_rate_ppm(anchor(0, 0, 0), anchor(2**42, SECOND_US, SECOND_US)) == (10**12, 10**12)
    assert clock_rate_ppm(anchor(0, 0, 0), anchor(2**42, SECOND_US, 10_000 * SECOND_US)) == (439_803_651_110, 10**12)


@pytest.mark.parametrize(
    ("clock_ms", "time_ms", "was_set"),
    [
        (5_000, 5_000, False),
        (6_000, 5_000, False),
        (6_001, 5_000, True),
        (5_000, 6_000, False),
        (5_000, 6_001, True),
        (0, 0, False),
    ],
)
def test_a_clock_was_set_if_it_and_the_time_came_apart_by_more_than_a_second(
    clock_ms: int,
    time_ms: int,
    was_set: bool,
) -> None:
    assert clock_was_set(clock_ms, time_ms) is was_set


# ── counters ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("earlier", "later", "steps"),
    [
        (0, 0, 0),
        (0, 1, 1),
        (1, 0, -1),
        (2**32 - 1, 0, 1),
        (0, 2**32 - 1, -1),
        (2**32 - 1, 2**32 - 1, 0),
        (2**32 - 2, 3, 5),
        (0, 2**31 - 1, 2**31 - 1),
        (0, 2**31, -(2**31)),
        (2**31, 0, -(2**31)),
    ],
)
def test_counters_count_modulo_two_to_the_32(earlier: int, later: int, steps: int) -> None:
    assert counter_steps(earlier, later) == steps
    assert counter_after(earlier, steps) == later
