"""The assumptions about clocks that several theorems share, as ``schemas/time_model.py`` states them."""

from typing import Any, Final

from schemas.instants import MILLISECOND_US
from tests.proofs.symbols import Values

PPM: Final = 1_000_000
DRIFT: Final = "drift bound, ppm"


def drift_bound(given: Values) -> Any:  # noqa: ANN401 a number of the solver, or its value
    drift = given.whole(DRIFT)
    given.limit(drift >= 0)
    given.limit(drift < PPM)
    return drift


def reading(given: Values, what: str, exact: Any) -> Any:  # noqa: ANN401 as above
    """What TPMS_CLOCK_INFO shows of an exact clock."""
    reading = given.whole(f"clock in the {what}, ms")
    given.assume("a reading loses less than a millisecond", reading * MILLISECOND_US <= exact)
    given.assume("a reading loses less than a millisecond", exact < (reading + 1) * MILLISECOND_US)
    return reading


def keeps_rate(given: Values, true_us: Any, clock_us: Any, drift: Any) -> None:  # noqa: ANN401 as above
    """The clock runs at between 1 - rho and 1 + rho of true time."""
    given.assume("the clock keeps to its drift bound", (PPM - drift) * true_us <= PPM * clock_us)
    given.assume("the clock keeps to its drift bound", PPM * clock_us <= (PPM + drift) * true_us)
