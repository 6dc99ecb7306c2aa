"""The looked-up bounds equal the best of all anchors tried one by one, and the true time lies within them."""

from hypothesis import given
from hypothesis import strategies as st

from relying_party.audit.time_anchors import Anchor, AnchorTable
from schemas.time_model import Interval, most_elapsed_us, quote_made

T_US = 1_800_000_000_000_000
SLACK_US = 4_000  # two readings of the clock, each at most a millisecond off, at a rate that may be a fifth fast

anchors = st.lists(
    st.tuples(
        st.integers(0, 10_000_000),
        st.none() | st.integers(T_US, T_US + 10**10),
        st.none() | st.integers(T_US, T_US + 10**10),
    ).map(lambda each: Anchor(clock_ms=each[0], after_us=each[1], before_us=each[2])),
    max_size=12,
)
drifts = st.sampled_from([0, 100, 150_000])


@given(anchors, st.integers(0, 10_000_000), drifts)
def test_looking_up_finds_what_trying_all_finds(given_anchors: list[Anchor], clock_ms: int, drift_ppm: int) -> None:
    def made(each: Anchor, after_us: int, before_us: int | None) -> Interval:
        return quote_made(Interval(after_us=after_us, before_us=before_us), each.clock_ms, clock_ms, drift_ppm)

    lower = [
        made(each, each.after_us, None).after_us
        if each.clock_ms != clock_ms
        else each.after_us - most_elapsed_us(0, drift_ppm)
        for each in given_anchors
        if each.after_us is not None
    ]
    upper = [made(each, 0, each.before_us).before_us for each in given_anchors if each.before_us is not None]
    after_us, before_us = AnchorTable(given_anchors, drift_ppm).bounds(clock_ms)
    assert (after_us is None, before_us is None) == (not lower, not upper)
    if after_us is not None:
        assert max(lower) - SLACK_US <= after_us <= max(lower)
    if before_us is not None:
        known = [each for each in upper if each is not None]
        assert min(known) <= before_us <= min(known) + SLACK_US


@given(
    st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=12),
    st.integers(0, 10**10),
    drifts,
    st.integers(-150_000, 150_000),
)
def test_the_true_time_is_within(
    events: list[tuple[int, int, int]], quote_us: int, drift_ppm: int, rate_ppm: int
) -> None:
    rate_ppm = max(-drift_ppm, min(drift_ppm, rate_ppm))

    def clock(true_us: int) -> int:
        return true_us * (1_000_000 + rate_ppm) // 10**9

    table = AnchorTable(
        (
            Anchor(clock_ms=clock(true_us), after_us=T_US + true_us - early, before_us=T_US + true_us + late)
            for true_us, early, late in events
        ),
        drift_ppm,
    )
    after_us, before_us = table.bounds(clock(quote_us))
    assert after_us is not None
    assert before_us is not None
    assert after_us <= T_US + quote_us <= before_us
