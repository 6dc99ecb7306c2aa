"""When a TPM made a quote: the inequalities, and nothing else (invariant I15; REIM 7.2; TUDA).

All true times are UTC, integer microseconds; TPM clocks are the integer milliseconds of TPMS_CLOCK_INFO. Every rounding
goes to the side that keeps the statement true.

The only assumptions:

* **Stamp** (RFC 3161, 2.4.2). A TSA whose genTime is ``g`` with accuracy ``a`` made its token within
  ``[g - a, g + a]``. A genTime without a fraction may have lost up to a second, so the upper end here is
  ``g + a + r``, where ``r`` is one unit of the last place of genTime.
* **Order.** Nobody knows the digest of a handle before the handle is stamped, so a sync proof over it was made later:
  ``true(sync) >= T``, with ``T = g - a``. A token over a sync proof was made later than the proof:
  ``true(sync) <= T'``, with ``T' = g' + a' + r'`` (TUDA's right side).
* **Clock** (TPM 2.0 Part 1, "Clock"). Within one reset count and one restart count a TPM's clock runs at between
  ``1 - rho`` and ``1 + rho`` of true time, and a reading has lost up to one millisecond. TPM 2.0 allows
  ``rho = 0.15``. A clock that was *set* (TPM2_ClockSet) breaks this; :func:`clock_was_set` finds it from two proofs.
  TPM2_Clear sets clock and counters back: two Clears without a reset produce two clock epochs with identical counters.
  Then only (2) still holds. A pair of TPM2_GetTime proofs reveals this; a quote cannot.

From these, with ``d = c_q - c_s >= 0`` the difference of two readings of one clock epoch, and ``e`` the true time
between them:

    (d - 1 ms) / (1 + rho)  <=  e  <=  (d + 1 ms) / (1 - rho)                  (1)

    made after   T  + max(0, d - 1 ms) / (1 + rho)                             (2)
    made before  T' + (d + 1 ms) / (1 - rho)                                   (3)
    made before  its receipt                                                   (4)

For a quote made *before* the sync proof of its epoch, ``d = c_s - c_q``, (1) runs backwards:

    made before  T' - max(0, d - 1 ms) / (1 + rho)                             (5)
    made after   T  - (d + 1 ms) / (1 - rho)                                   (6)

Equal readings do not show which came first. If the quote's body holds the proof, the quote is the later one.

The interval grows with the drift bound and the time since the sync: by (2) alone, the time of a quote made ``d`` after
its sync is uncertain by ``d - (d - 1 ms) / (1 + rho)``, see :func:`uncertainty_us`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from schemas.instants import MILLISECOND_US

MAX_DRIFT_PPM: Final = 150_000  # TPM 2.0 Part 1, "Clock": within 15 % of real time
READING_MS: Final = 1  # TPMS_CLOCK_INFO counts whole milliseconds
SET_TOLERANCE_MS: Final = 1_000  # how far a TPM's two clocks may come apart before one of them must have been set
_PPM: Final = 1_000_000
COUNTER_MODULUS: Final = 2**32  # of reset and restart count (TPM 2.0 Part 2, TPMS_CLOCK_INFO)
_MOST_PPM: Final = 10**12  # a greater rate carries no information; the least is the rate of a clock that does not move


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """True time of an event: not before ``after_us``, not after ``before_us`` (None: no upper bound)."""

    after_us: int
    before_us: int | None = None

    @property
    def is_possible(self) -> bool:
        """Whether the interval is not empty."""
        return self.before_us is None or self.after_us <= self.before_us


def resolution_us(gen_time_us: int) -> int:
    """The most that a genTime can have lost by rounding: one unit of its last place (DER has no trailing zeros)."""
    place = 1
    while place < _PPM and gen_time_us % (10 * place) == 0:
        place *= 10
    return place


def stamped(gen_time_us: int, accuracy_us: int) -> Interval:
    """The interval in which a TSA made a token, as the token states it.

    Args:
        gen_time_us: genTime.
        accuracy_us: the accuracy field; if the TSA does not state it, the accuracy of its policy.
    """
    latest_us = gen_time_us + accuracy_us + resolution_us(gen_time_us)
    return Interval(after_us=gen_time_us - accuracy_us, before_us=latest_us)


def agreed(intervals: Iterable[Interval]) -> Interval | None:
    """The time of one event by several TSAs; None if they contradict each other."""
    after_us: int | None = None
    before_us: int | None = None
    for each in intervals:
        after_us = each.after_us if after_us is None else max(after_us, each.after_us)
        if each.before_us is not None:
            before_us = each.before_us if before_us is None else min(before_us, each.before_us)
    if after_us is None:
        return None
    both = Interval(after_us=after_us, before_us=before_us)
    return both if both.is_possible else None


def least_elapsed_us(ticks_ms: int, drift_ppm: int) -> int:
    """The least true time between two readings ``ticks_ms`` apart: left side of (1), never negative."""
    return max(0, ticks_ms - READING_MS) * MILLISECOND_US * _PPM // (_PPM + drift_ppm)


def most_elapsed_us(ticks_ms: int, drift_ppm: int) -> int:
    """The most true time between two readings ``ticks_ms`` apart: right side of (1)."""
    return -(-(ticks_ms + READING_MS) * MILLISECOND_US * _PPM // (_PPM - drift_ppm))


def quote_made(
    sync: Interval, sync_clock_ms: int, quote_clock_ms: int, drift_ppm: int, *, names_sync: bool = True
) -> Interval:
    """The interval in which a quote was made, by one sync proof of its clock epoch: (2) and (3), or (5) and (6).

    Args:
        sync: the interval in which the sync proof was made: after its handle, before the token over it if there is one.
        sync_clock_ms: TPM clock in the sync proof.
        quote_clock_ms: TPM clock in the quote, with the same reset and restart count.
        drift_ppm: bound on the clock's rate error, less than a million.
        names_sync: the quote signs a body that holds the proof, so the quote is later. This matters for equal readings:
            otherwise the quote may be up to a millisecond of the clock older than the proof.
    """
    ticks_ms = abs(quote_clock_ms - sync_clock_ms)
    least_us, most_us = least_elapsed_us(ticks_ms, drift_ppm), most_elapsed_us(ticks_ms, drift_ppm)
    if quote_clock_ms >= sync_clock_ms:
        before_us = sync.before_us + most_us if sync.before_us is not None else None
        after_us = sync.after_us + least_us if ticks_ms or names_sync else sync.after_us - most_us
        return Interval(after_us=after_us, before_us=before_us)
    return Interval(
        after_us=sync.after_us - most_us, before_us=sync.before_us - least_us if sync.before_us is not None else None
    )


def age_us(made: Interval, now_us: int) -> int:
    """The greatest possible age at ``now_us``, to be compared with an age limit."""
    return now_us - made.after_us


def uncertainty_us(ticks_ms: int, drift_ppm: int) -> int:
    """The uncertainty of (2) due to drift, ``ticks_ms`` after the sync; 0 at the sync itself."""
    return ticks_ms * MILLISECOND_US - least_elapsed_us(ticks_ms, drift_ppm)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockAnchor:
    """A synchronisation of one attester, kept to estimate its clock's rate.

    Attributes:
        clock_ms: the TPM's clock in the sync proof.
        after_us: earliest time of the sync proof (earliest TSA time of its handle).
        before_us: latest time of the sync proof (the token over it, or the verifier's receipt).
        time_ms: the TPM's time since power-on in the proof; None for a quote, which does not state it.
    """

    clock_ms: int
    after_us: int
    before_us: int
    time_ms: int | None = None


def clock_rate_ppm(first: ClockAnchor, later: ClockAnchor) -> tuple[int, int] | None:
    """Bounds on a clock's rate from two synchronisations, as ppm of difference from the true rate.

    With ``d`` the clock's advance, the rate lies between ``(d - 1 ms) / longest`` and ``(d + 1 ms) / shortest``, where
    the true time between the two is at least ``later.after - first.before`` and at most ``later.before - first.after``.

    Returns:
        The smallest and the greatest rate that both allow; None if the two are too close together, or contradict each
        other.
    """
    advanced_ms = later.clock_ms - first.clock_ms
    shortest_us = later.after_us - first.before_us
    longest_us = later.before_us - first.after_us
    if shortest_us <= 0 or longest_us <= 0 or advanced_ms <= 0:
        return None
    low = (advanced_ms - READING_MS) * MILLISECOND_US * _PPM // longest_us - _PPM
    high = -(-(advanced_ms + READING_MS) * MILLISECOND_US * _PPM // shortest_us) - _PPM
    return (min(low, _MOST_PPM), min(high, _MOST_PPM)) if low <= high else None


def counter_steps(earlier: int, later: int) -> int:
    """Steps of a TPM's reset or restart count from one reading to another; negative when it went back.

    Keys outside the endorsement hierarchy see the counts with a secret constant added, modulo 2^32
    (``schemas.tpm.attest``), so a count may wrap at any time.
    """
    steps = (later - earlier) % COUNTER_MODULUS
    return steps if 2 * steps < COUNTER_MODULUS else steps - COUNTER_MODULUS


def counter_after(count: int, steps: int) -> int:
    """The reading of a reset or restart count ``steps`` after ``count``."""
    return (count + steps) % COUNTER_MODULUS


def clock_was_set(clock_ms: int, time_ms: int) -> bool:
    """Whether a TPM's clock and its time since power-on, which nobody can set, advanced differently.

    Both are counted by one oscillator; TPM2_ClockSet moves the clock alone (TPM 2.0 Part 3, "TPM2_ClockSet").

    Args:
        clock_ms: advance of ``clock`` between two TPM2_GetTime attests of one reset and restart count.
        time_ms: advance of ``time`` between them.
    """
    return abs(clock_ms - time_ms) > SET_TOLERANCE_MS
