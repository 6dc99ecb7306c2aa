"""What is said about time is proved for all numbers, needs each of its assumptions, and depends on the code."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from schemas import time_model
from schemas.reasons import Reason
from schemas.time_model import Interval
from tests.proofs.__main__ import main, proved, replayed, without
from tests.proofs.symbols import Values, check
from tests.proofs.theorems import THEOREMS
from verifier_worker.core import clock_record, conclusion
from verifier_worker.core.state import AttesterState


@pytest.mark.parametrize("name", THEOREMS)
def test_it_is_proved_and_each_assumption_is_needed(name: str) -> None:
    checked = proved(name)
    assert checked.refutation is None
    for assumption in checked.assumptions:
        refutation = without(name, assumption)
        assert refutation is not None, f"not needed: {assumption}"
        replay = replayed(name, refutation)
        assert set(replay.broken_assumptions) == {assumption}
        assert refutation.claim in replay.broken_claims


# ── the proofs are about the code: a change of a formula makes one fail ──────────────────────────────────────────────

Patch = pytest.MonkeyPatch
MS, PPM = 1_000, 1_000_000
TIMED = conclusion._timed
QUOTE_MADE = time_model.quote_made


def _no_reading_in_the_least(patch: Patch) -> None:
    patch.setattr(time_model, "least_elapsed_us", lambda ticks, drift: max(0, ticks) * MS * PPM // (PPM + drift))


def _a_fast_clock_taken_for_slow(patch: Patch) -> None:
    patch.setattr(time_model, "least_elapsed_us", lambda ticks, drift: max(0, ticks - 1) * MS * PPM // (PPM - drift))


def _no_reading_in_the_most(patch: Patch) -> None:
    patch.setattr(time_model, "most_elapsed_us", lambda ticks, drift: -(-ticks * MS * PPM // (PPM - drift)))


def _rounded_down(patch: Patch) -> None:
    patch.setattr(time_model, "most_elapsed_us", lambda ticks, drift: (ticks + 1) * MS * PPM // (PPM - drift))


def _equal_readings_are_later(patch: Patch) -> None:
    patch.setattr(time_model, "quote_made", lambda *how, names_sync: QUOTE_MADE(*how, names_sync=True))


def _no_accuracy(patch: Patch) -> None:
    patch.setattr(time_model, "stamped", lambda time, accuracy: Interval(after_us=time, before_us=time + accuracy))


def _no_resolution(patch: Patch) -> None:
    patch.setattr(time_model, "resolution_us", lambda _: 0)


def _tokens_count_after_a_clear(patch: Patch) -> None:
    def timed(state: AttesterState, *given: object, **named: object) -> AttesterState:
        return TIMED(replace(state, went_back=False), *given, **named)  # type: ignore[arg-type]  # as it came

    patch.setattr(conclusion, "_timed", timed)


def _a_narrow_tolerance(patch: Patch) -> None:
    patch.setattr(time_model, "SET_TOLERANCE_MS", 0)


def _a_bound_that_is_too_narrow(patch: Patch) -> None:
    def broken(rate: tuple[int, int] | None, drift_ppm: int) -> Reason | None:
        return Reason.CLOCK_TOO_FAST if rate is not None and rate[0] > drift_ppm - 1000 else None

    patch.setattr(clock_record, "_broken", broken)


def _a_half_that_is_one_less(patch: Patch) -> None:
    patch.setattr(time_model, "counter_steps", lambda earlier, later: (later - earlier) % 2**32)


CHANGES: dict[str, tuple[Callable[[Patch], None], str]] = {
    "no reading in the least": (_no_reading_in_the_least, "two readings bound the time between"),
    "no reading in the least, seen by a verifier": (_no_reading_in_the_least, "after tpm2 clear it is still true"),
    "a fast clock taken for slow": (_a_fast_clock_taken_for_slow, "an age is never too small"),
    "no reading in the most": (_no_reading_in_the_most, "a quote is made within its interval"),
    "rounded down": (_rounded_down, "two readings bound the time between"),
    "equal readings": (_equal_readings_are_later, "a quote is made within its interval"),
    "no accuracy": (_no_accuracy, "a token is made within its interval"),
    "no resolution": (_no_resolution, "a token is made within its interval"),
    "tokens count after a clear": (_tokens_count_after_a_clear, "after tpm2 clear it is still true"),
    "a narrow tolerance": (_a_narrow_tolerance, "a clock that nobody set is not called set"),
    "a bound that is too narrow": (_a_bound_that_is_too_narrow, "an honest clock is never suspect"),
    "steps go forward only": (_a_half_that_is_one_less, "a count that wraps is followed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_formula_is_not_proved(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in, name = CHANGES[change]
    put_in(monkeypatch)
    assert proved(name).refutation is not None


# ── the numbers and the program ──────────────────────────────────────────────────────────────────────────────────────


def test_a_number_has_the_operators_of_an_int() -> None:
    def theorem(given: Values) -> None:
        number, other = given.whole("number"), given.whole("other")
        given.limit(other > 0)
        given.claim("abs", abs(-number) >= number)
        given.claim("max", max(number, other) >= other)
        given.claim("quotient", number // other * other <= number)
        given.claim("remainder", number % other < other)
        given.claim("reversed", (7 - number) + number == 7)

    assert check(theorem).refutation is None


def test_whole_numbers_have_nothing_between_them() -> None:
    def theorem(given: Values) -> None:
        number = given.whole("number") * 10
        if number > 0:
            given.claim("a multiple of ten", number >= 10)

    assert check(theorem).refutation is None


def test_what_is_false_is_refuted_in_numbers() -> None:
    def theorem(given: Values) -> None:
        given.claim("small", given.whole("number") < 5)

    refutation = check(theorem, whole_numbers=True).refutation
    assert refutation is not None
    assert refutation.numbers["number"] >= 5


def test_the_program_tells_what_goes_wrong_without_an_assumption(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "two readings"]) == 0
    told = capsys.readouterr().out
    assert "two readings bound the time between: proved" in told
    assert 'without "a reading loses less than a millisecond"' in told
    assert "clock in the last, ms = " in told


def test_the_program_ends_with_1_where_something_is_not_true(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _rounded_down(monkeypatch)
    assert main(["--only", "two readings"]) == 1
    assert "NOT TRUE" in capsys.readouterr().out
    assert main(["--only", "nothing of this name"]) == 1
