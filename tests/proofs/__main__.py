"""``./run prove``: what the product says about time is true, for all drifts, delays, resets and readings.

The product's own functions run on numbers that can have any value; z3 looks for values that make a statement false.
Then each assumption is dropped in turn: the numbers that z3 finds are put into the same functions, and show what goes
wrong without it. Exit status 1 when a statement is not proved, or an assumption is not needed.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from fractions import Fraction

from tests.proofs.symbols import Checked, Refutation, Replay, Values, check
from tests.proofs.theorems import FIXED, IN_WHOLE_NUMBERS, THEOREMS


def main(arguments: Sequence[str] | None = None) -> int:
    """Proves; the exit status."""
    parser = argparse.ArgumentParser(prog="./run prove", description=__doc__)
    parser.add_argument("--only", metavar="WORDS", default="", help="theorems that contain these words")
    chosen = [name for name in THEOREMS if parser.parse_args(arguments).only in name]
    good = [_prove(name) for name in chosen]
    print(f"{sum(good)} of {len(chosen)} proved")
    return 0 if chosen and all(good) else 1


def proved(name: str) -> Checked:
    """Proves one theorem; a refutation if it does not hold."""
    return check(THEOREMS[name], whole_numbers=name in IN_WHOLE_NUMBERS)


def without(name: str, assumption: str) -> Refutation | None:
    """The counter-example to a theorem without one of its assumptions."""
    return check(THEOREMS[name], dropped=assumption, whole_numbers=True, fixed=FIXED).refutation


def replayed(name: str, refutation: Refutation) -> Replay:
    """What the product's functions make of the numbers of a counter-example."""
    replay = Replay(refutation.numbers)
    theorem = THEOREMS[name]
    values: Values = replay
    theorem(values)
    return replay


def _prove(name: str) -> bool:
    started_s = time.monotonic()
    checked = proved(name)
    seconds = time.monotonic() - started_s
    if checked.refutation is not None:
        print(f"{name}: NOT TRUE: {checked.refutation.claim}\n{_numbers(checked.refutation)}", flush=True)
        return False
    print(f"{name}: proved, {checked.paths} ways through the code, {seconds:.1f} s", flush=True)
    needed = True
    for assumption in sorted(checked.assumptions):
        refutation = without(name, assumption)
        if refutation is None:
            print(f"  NOT NEEDED: {assumption}")
            needed = False
        else:
            print(f'  without "{assumption}", "{refutation.claim}" is false:\n{_numbers(refutation)}', flush=True)
    return needed


def _numbers(refutation: Refutation) -> str:
    return "\n".join(f"      {name} = {_plain(value)}" for name, value in refutation.numbers.items())


def _plain(value: int | Fraction) -> str:
    return f"{float(value):.3f}" if isinstance(value, Fraction) and value.denominator != 1 else str(value)


if __name__ == "__main__":
    sys.exit(main())
