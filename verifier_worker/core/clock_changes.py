"""What happened to an attester's TPM between two quotes, by its clock and counters alone: a table.

TPMS_CLOCK_INFO (TPM 2.0 Part 2) with the meaning of Part 1, "Clock", "resetCount", "restartCount", "Attestation":

| clock | reset count | restart count | handle | what happened |
| --- | --- | --- | --- | --- |
| on or equal | same | same | any | running |
| on | same | up | any | suspended and resumed |
| any | up | any, 0 | any | rebooted, after a suspend or not, orderly or not |
| any | down | any | newer | cleared: TPM2_Clear sets the counters back |
| back | same | any | newer | ran back: a TPM whose state was set back, an emulated one restored |
| any | same | down | newer | ran back |
| back, or any counter down | | | not newer | replayed: a message of earlier |

A quote signs a handle through its body, and was made after it. If that handle is newer than the handles of all earlier
quotes, the quote is new, whatever its counters are. This tells a cleared TPM from a replay. Counters are compared
modulo 2^32, since keys outside the endorsement hierarchy see them with a secret constant added
(``schemas.tpm.attest``). The key of another TPM has another name, so its quotes are never compared with these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final

from schemas.reasons import Reason
from schemas.time_model import counter_steps


class ClockChange(StrEnum):
    """What happened to a TPM between two quotes."""

    RUNNING = auto()
    RESUMED = auto()
    REBOOTED = auto()
    CLEARED = auto()
    RAN_BACK = auto()
    REPLAYED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """A quote's TPMS_CLOCK_INFO, and the push's sequence number: two pushes can come within one millisecond."""

    clock_ms: int
    reset_count: int
    restart_count: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOutcome:
    """The effect of a change on the attester's state; a replay has none, since admission refuses it.

    Attributes:
        reason: to report; None where another check reports the change.
        starts_over: PCRs and logs start again, with a baseline.
        goes_back: the counters no longer prove order; from now on handles must.
    """

    reason: Reason | None = None
    starts_over: bool = False
    goes_back: bool = False


OUTCOMES: Final[Mapping[ClockChange, ClockOutcome]] = {
    ClockChange.RUNNING: ClockOutcome(),
    ClockChange.RESUMED: ClockOutcome(),
    ClockChange.REBOOTED: ClockOutcome(reason=Reason.REBOOTED, starts_over=True),
    ClockChange.CLEARED: ClockOutcome(reason=Reason.TPM_CLEARED, starts_over=True, goes_back=True),
    ClockChange.RAN_BACK: ClockOutcome(starts_over=True, goes_back=True),
}


def clock_change(before: ClockReading, now: ClockReading, *, handle_is_newer: bool) -> ClockChange:
    """Finds the row of the table.

    Args:
        before: reading of the last accepted quote.
        now: reading of this quote, by the same key.
        handle_is_newer: this quote's handle is known, and later than the handle of every quote accepted before.
    """
    resets = counter_steps(before.reset_count, now.reset_count)
    if resets > 0:
        return ClockChange.REBOOTED
    if resets < 0:
        return ClockChange.CLEARED if handle_is_newer else ClockChange.REPLAYED
    restarts = counter_steps(before.restart_count, now.restart_count)
    if restarts < 0 or now.clock_ms < before.clock_ms:
        return ClockChange.RAN_BACK if handle_is_newer else ClockChange.REPLAYED
    if restarts == 0 and now.clock_ms == before.clock_ms and now.sequence <= before.sequence:
        return ClockChange.REPLAYED
    return ClockChange.RESUMED if restarts else ClockChange.RUNNING
