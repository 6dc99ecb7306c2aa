"""What a TPM's clock, bound to a handle, proves about when a quote was made (DESIGN 6).

The sync proof was made after the TSA's time ``T`` of its handle. From sync to quote the TPM's clock advanced by
``c_q - c_s`` milliseconds; a clock that runs at most ``rho`` fast needs at least ``(c_q - c_s) / (1 + rho)`` of true
time for it, and time in which the clock stood still only adds. So the quote was made not before
``T + (c_q - c_s) / (1 + rho)``. It was made not after the verifier received it. Integer microseconds; every division
rounds to the safe side.
"""

from dataclasses import dataclass

from schemas.handle import Handle

_PPM = 1_000_000
_US_PER_MS = 1_000
_MOST_PPM = 10**12  # beyond, the number says nothing but "absurd"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockAnchor:
    """A synchronisation of one attester, kept to estimate its clock's rate.

    Attributes:
        clock_ms: the TPM's clock in the sync proof.
        after_us: the sync was made not before this (earliest TSA time of its handle).
        before_us: and not after this (the verifier's receipt).
    """

    clock_ms: int
    after_us: int
    before_us: int


def made_after_us(handle: Handle, sync_clock_ms: int, quote_clock_ms: int, drift_ppm: int) -> int:
    """Lower bound of when a quote was made, UTC microseconds.

    Args:
        handle: the one the sync proof signs.
        sync_clock_ms: TPM clock in the sync proof.
        quote_clock_ms: TPM clock in the quote; same reset and restart count, not less than ``sync_clock_ms``.
        drift_ppm: how much faster than true time the clock may run.
    """
    elapsed_us = (quote_clock_ms - sync_clock_ms) * _US_PER_MS
    return handle.earliest_us + elapsed_us * _PPM // (_PPM + drift_ppm)


def clock_rate_ppm(first: ClockAnchor, later: ClockAnchor) -> tuple[int, int] | None:
    """Bounds of a clock's rate against TSA time from two synchronisations, as a difference from true in ppm.

    Returns:
        The smallest and the greatest rate that both allow; None while they are too close together to say.
    """
    advanced_us = (later.clock_ms - first.clock_ms) * _US_PER_MS
    shortest_us = later.after_us - first.before_us
    longest_us = later.before_us - first.after_us
    if shortest_us <= 0 or longest_us <= 0 or advanced_us <= 0:
        return None
    low = (advanced_us - _US_PER_MS) * _PPM // longest_us - _PPM
    high = -(-(advanced_us + _US_PER_MS) * _PPM // shortest_us) - _PPM
    return max(low, -_MOST_PPM), min(high, _MOST_PPM)
