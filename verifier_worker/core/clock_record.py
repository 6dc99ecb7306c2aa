"""The measured rate of one attester's clock, and whether the verifier still trusts that clock (invariant I17)."""

from dataclasses import dataclass, replace
from typing import Final

from schemas.reasons import Reason
from schemas.time_model import MAX_DRIFT_PPM, ClockAnchor, clock_rate_ppm, clock_was_set

_BY_RATE: Final = frozenset({Reason.CLOCK_TOO_FAST, Reason.CLOCK_TOO_SLOW})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRecord:
    """Synchronisations of one clock epoch (reset and restart count), and the rate they show.

    Attributes:
        first: the first one of this epoch with a known handle.
        last: the last one.
        timed: the last one that states the time since power-on; the attester chooses which of its proofs do.
        rate_ppm: bounds of the clock's mean rate error since ``first``, or the bounds that convicted it in this epoch;
            None while this epoch has measured nothing.
        suspect: why this clock is not trusted at present; None if it is.
        suspect_ppm: the bounds that convicted a clock that is too fast or too slow, of this epoch or an earlier one.
    """

    first: ClockAnchor | None = None
    last: ClockAnchor | None = None
    timed: ClockAnchor | None = None
    rate_ppm: tuple[int, int] | None = None
    suspect: Reason | None = None
    suspect_ppm: tuple[int, int] | None = None


def next_epoch(record: ClockRecord) -> ClockRecord:
    """The record after a reboot or a resume: the clock stood still or was set back, so its anchors are void.

    A clock that was set is trusted again, since the first proof of the new epoch synchronises it. A clock with a wrong
    rate stays suspect. The rate of the epoch before says nothing of this one.
    """
    suspect = record.suspect if record.suspect is not Reason.CLOCK_SET else None
    return ClockRecord(suspect=suspect, suspect_ppm=record.suspect_ppm)


def went_back() -> ClockRecord:
    """The record after the clock ran back within an epoch: suspect until it has kept its rate for a while."""
    return ClockRecord(suspect=Reason.CLOCK_RAN_BACK)


def synchronised(record: ClockRecord, here: ClockAnchor, drift_ppm: int) -> ClockRecord:
    """Adds one more synchronisation of this epoch.

    The rate is measured over the whole epoch (exact) and since the last proof (notices a change). If the clock is out
    of its bounds, the measurements start again here, so a device recovers by itself: with the next proof that fits if
    its clock was set, or with a later proof whose rate bounds exclude the suspected rate. Bounds too wide to exclude
    anything (two handles close together) do not clear the clock.

    Args:
        record: so far.
        here: this proof; a proof already taken changes nothing.
        drift_ppm: bound on the clock's rate error.
    """
    last, timed = record.last, record.timed
    if last is None or record.first is None:
        return replace(record, first=here, last=here, timed=here if here.time_ms is not None else None)
    if here.clock_ms <= last.clock_ms:
        return record
    was_set = _was_set(timed, here)
    timed = here if here.time_ms is not None else timed
    if was_set:
        return ClockRecord(first=here, last=here, timed=timed, rate_ppm=record.rate_ppm, suspect=Reason.CLOCK_SET)
    recent, rate = clock_rate_ppm(last, here), clock_rate_ppm(record.first, here)
    for measured in (recent, rate):
        broken = _broken(measured, drift_ppm)
        if broken is not None:
            return ClockRecord(
                first=here, last=here, timed=timed, rate_ppm=measured, suspect=broken, suspect_ppm=measured
            )
    cleared = was_set is False if record.suspect is Reason.CLOCK_SET else _cleared(record, (recent, rate))
    return ClockRecord(
        first=record.first,
        last=here,
        timed=timed,
        rate_ppm=rate if rate is not None and (cleared or record.suspect not in _BY_RATE) else record.rate_ppm,
        suspect=None if cleared else record.suspect,
        suspect_ppm=None if cleared else record.suspect_ppm,
    )


def _cleared(record: ClockRecord, measured: tuple[tuple[int, int] | None, ...]) -> bool:
    """Whether one of these measurements, all within bounds, clears the clock of its suspicion."""
    found_low, found_high = record.suspect_ppm or (-MAX_DRIFT_PPM, MAX_DRIFT_PPM)
    for low, high in (each for each in measured if each is not None):
        if record.suspect is Reason.CLOCK_TOO_FAST:
            shows = high < found_low
        elif record.suspect is Reason.CLOCK_TOO_SLOW:
            shows = low > found_high
        else:
            shows = high - low <= 2 * MAX_DRIFT_PPM
        if shows:
            return True
    return False


def _was_set(timed: ClockAnchor | None, here: ClockAnchor) -> bool | None:
    """Whether the clock was set between two proofs; None unless both state the time since power-on."""
    if timed is None or timed.time_ms is None or here.time_ms is None:
        return None
    return clock_was_set(here.clock_ms - timed.clock_ms, here.time_ms - timed.time_ms)


def _broken(rate: tuple[int, int] | None, drift_ppm: int) -> Reason | None:
    """Which bound the clock breaks, if every rate that explains its proofs breaks it."""
    if rate is None:
        return None
    low, high = rate
    if low > drift_ppm:
        return Reason.CLOCK_TOO_FAST
    return Reason.CLOCK_TOO_SLOW if high < -drift_ppm else None
