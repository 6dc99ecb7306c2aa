"""What is proved about time: each theorem runs the product's functions on numbers that can have any value.

A theorem names its numbers, its assumptions (those of ``schemas/time_model.py``) and its claims. True times are real
microseconds of UTC. An exact clock is in microseconds too; a reading is the whole milliseconds of it.
"""

from collections.abc import Callable
from typing import Any, Final

from schemas import time_model
from schemas.instants import MILLISECOND_US
from schemas.time_model import MAX_DRIFT_PPM, ClockAnchor, Interval
from tests.proofs.assumptions import DRIFT, PPM, drift_bound, keeps_rate, reading
from tests.proofs.symbols import Values
from tests.proofs.verifier import after_tpm2_clear_it_is_still_true, what_a_verifier_says_of_a_quote_is_true
from verifier_worker.core import clock_record

Theorem = Callable[[Values], None]


def a_token_is_made_within_its_interval(given: Values) -> None:
    """:func:`time_model.stamped`: RFC 3161, 2.4.2."""
    digits, units = given.whole("digits that genTime lacks"), given.whole("genTime in units of its last place")
    accuracy = given.whole("accuracy, us")
    made, told = given.real("token made, us"), given.real("genTime before rounding, us")
    unit = next((10**place for place in range(6) if digits == place), PPM)
    printed = units * unit
    given.assume("the TSA's clock is as accurate as it says", told - accuracy <= made)
    given.assume("the TSA's clock is as accurate as it says", made <= told + accuracy)
    given.assume("genTime loses less than one unit of its last place", printed <= told)
    given.assume("genTime loses less than one unit of its last place", told < printed + unit)
    within = time_model.stamped(printed, accuracy)
    given.claim("made after", within.after_us <= made)
    given.claim("made before", made <= (within.before_us or 0))


def two_readings_bound_the_time_between(given: Values) -> None:
    """Inequality (1): :func:`time_model.least_elapsed_us`, :func:`time_model.most_elapsed_us`."""
    drift, elapsed = drift_bound(given), given.real("true time between, us")
    first, last = given.real("exact clock in the first, us"), given.real("exact clock in the last, us")
    given.limit(elapsed >= 0)
    keeps_rate(given, elapsed, last - first, drift)
    ticks = reading(given, "last", last) - reading(given, "first", first)
    given.claim("at least", time_model.least_elapsed_us(ticks, drift) <= elapsed)
    given.claim("at most", elapsed <= time_model.most_elapsed_us(ticks, drift))


def _two_sided(given: Values, *, names_sync: bool) -> None:
    drift = drift_bound(given)
    sync, quote = given.real("sync proof made, us"), given.real("quote made, us")
    sync_clock, quote_clock = given.real("exact clock in the sync, us"), given.real("exact clock in the quote, us")
    handle, token = given.whole("handle stamped after, us"), given.whole("token over the sync before, us")
    given.assume("a handle is not known before it is stamped", sync >= handle)
    given.assume("a token is made after the proof that it stamps", sync <= token)
    if names_sync:
        given.assume("a quote that names the sync is later", quote >= sync)
    if quote >= sync:
        keeps_rate(given, quote - sync, quote_clock - sync_clock, drift)
    else:
        keeps_rate(given, sync - quote, sync_clock - quote_clock, drift)
    sync_ms, quote_ms = reading(given, "sync", sync_clock), reading(given, "quote", quote_clock)
    for words, before_us in (("one-sided", None), ("two-sided", token)):
        window = Interval(after_us=handle, before_us=before_us)
        made = time_model.quote_made(window, sync_ms, quote_ms, drift, names_sync=names_sync)
        given.claim(f"{words}: made after", made.after_us <= quote)
        if made.before_us is not None:
            given.claim(f"{words}: made before", quote <= made.before_us)


def a_quote_that_names_its_sync_is_made_within_its_interval(given: Values) -> None:
    """Inequalities (2) and (3): :func:`time_model.quote_made`."""
    _two_sided(given, names_sync=True)


def a_quote_is_made_within_its_interval(given: Values) -> None:
    """Inequalities (2), (3), (5), (6), also for a quote before the sync proof."""
    _two_sided(given, names_sync=False)


def an_age_is_never_too_small(given: Values) -> None:
    """:func:`time_model.age_us`, :func:`time_model.uncertainty_us`."""
    drift, elapsed = drift_bound(given), given.real("true time since the sync, us")
    first, last = given.real("exact clock in the sync, us"), given.real("exact clock in the quote, us")
    sync, now, true_now = given.real("sync proof made, us"), given.whole("now, us"), given.real("true now, us")
    handle = given.whole("handle stamped after, us")
    given.assume("a handle is not known before it is stamped", sync >= handle)
    given.assume("the verifier's clock is not slow", now >= true_now)
    given.limit(elapsed >= 0)
    keeps_rate(given, elapsed, last - first, drift)
    sync_ms, quote_ms = reading(given, "sync", first), reading(given, "quote", last)
    made = time_model.quote_made(Interval(after_us=handle), sync_ms, quote_ms, drift)
    given.claim("not younger than it is", true_now - (sync + elapsed) <= time_model.age_us(made, now))
    if quote_ms >= sync_ms:
        least = (quote_ms - sync_ms) * MILLISECOND_US - time_model.uncertainty_us(quote_ms - sync_ms, drift)
        given.claim("within its uncertainty", least <= elapsed)


def _two_syncs(given: Values) -> tuple[ClockAnchor, ClockAnchor, Any, Any]:
    """Two synchronisations of one clock epoch; the exact advance of the clock, and the true time between."""
    anchors, times, clocks = [], [], []
    for which in ("first", "later"):
        made, exact = given.real(f"{which} sync made, us"), given.real(f"exact clock in the {which} sync, us")
        after, before = given.whole(f"{which} sync after, us"), given.whole(f"{which} sync before, us")
        given.assume("a sync proof is made within its interval", after <= made)
        given.assume("a sync proof is made within its interval", made <= before)
        shown = reading(given, f"{which} sync", exact)
        anchors.append(ClockAnchor(clock_ms=shown, after_us=after, before_us=before))
        times.append(made)
        clocks.append(exact)
    return anchors[0], anchors[1], clocks[1] - clocks[0], times[1] - times[0]


def a_rate_is_within_its_bounds(given: Values) -> None:
    """:func:`time_model.clock_rate_ppm`: the true mean rate between two synchronisations."""
    first, later, advance, elapsed = _two_syncs(given)
    given.assume("no clock runs a million times too fast", advance <= elapsed * PPM)
    rate = time_model.clock_rate_ppm(first, later)
    if rate is None:
        return
    low, high = rate
    given.claim("at least", low * elapsed <= (advance - elapsed) * PPM)
    given.claim("at most", (advance - elapsed) * PPM <= high * elapsed)


def an_honest_clock_is_never_suspect(given: Values) -> None:
    """:func:`clock_record._broken`: a clock within its drift bound is called neither too fast nor too slow."""
    drift = drift_bound(given)
    first, later, advance, elapsed = _two_syncs(given)
    given.limit(elapsed >= 0)
    keeps_rate(given, elapsed, advance, drift)
    broken = clock_record._broken(time_model.clock_rate_ppm(first, later), drift)
    given.claim("not suspect", broken is None)


def a_clock_that_nobody_set_is_not_called_set(given: Values) -> None:
    """:func:`time_model.clock_was_set`: one oscillator counts clock and time."""
    advance, time = given.real("advance of the clock, us"), given.real("advance of the time, us")
    first, started = given.real("exact clock in the first, us"), given.real("exact time in the first, us")
    given.assume("nobody set the clock", advance == time)
    clock_ms = reading(given, "last", first + advance) - reading(given, "first", first)
    time_ms = reading(given, "last proof's time", started + time) - reading(given, "first proof's time", started)
    given.claim("not called set", not time_model.clock_was_set(clock_ms, time_ms))


def a_count_that_wraps_is_followed(given: Values) -> None:
    """:func:`time_model.counter_steps`: reset and restart counts are seen modulo 2^32."""
    count, ahead = given.whole("count"), given.whole("steps forward")
    given.limit(count < time_model.COUNTER_MODULUS)
    given.limit(count >= 0)
    given.limit(ahead >= 0)
    given.assume("fewer than half of all counts lie between two readings", ahead < time_model.COUNTER_MODULUS // 2)
    later = time_model.counter_after(count, ahead)
    given.claim("steps forward", time_model.counter_steps(count, later) == ahead)
    given.claim("steps back", time_model.counter_steps(later, count) == -ahead)


def tokens_about_one_event_agree(given: Values) -> None:
    """:func:`time_model.agreed`: the time of one event by two TSAs."""
    event, intervals = given.real("event, us"), []
    for which in ("first", "second"):
        after, before = given.whole(f"{which} after, us"), given.whole(f"{which} before, us")
        given.assume("each TSA tells the truth", after <= event)
        given.assume("each TSA tells the truth", event <= before)
        intervals.append(Interval(after_us=after, before_us=before))
    both = time_model.agreed(intervals)
    given.claim("they agree", both is not None)
    if both is not None and both.before_us is not None:
        given.claim("after", both.after_us <= event)
        given.claim("before", event <= both.before_us)


THEOREMS: Final[dict[str, Theorem]] = {
    theorem.__name__.replace("_", " "): theorem
    for theorem in (
        a_token_is_made_within_its_interval,
        two_readings_bound_the_time_between,
        a_quote_that_names_its_sync_is_made_within_its_interval,
        a_quote_is_made_within_its_interval,
        an_age_is_never_too_small,
        a_rate_is_within_its_bounds,
        an_honest_clock_is_never_suspect,
        a_clock_that_nobody_set_is_not_called_set,
        a_count_that_wraps_is_followed,
        tokens_about_one_event_agree,
        what_a_verifier_says_of_a_quote_is_true,
        after_tpm2_clear_it_is_still_true,
    )
}
# Remainders are exact in whole numbers only; the solver takes these as they are.
IN_WHOLE_NUMBERS: Final = frozenset({"a count that wraps is followed"})
# In a counter-example: the solver finds whole numbers quickly where nothing is divided by an unknown.
FIXED: Final = {
    DRIFT: MAX_DRIFT_PPM,
    "first sync after, us": 1_000_000,
    "first sync before, us": 1_002_000,
    "later sync after, us": 61_000_000,
    "later sync before, us": 61_002_000,
}
