"""Thousands of generated histories, each conclusion of the verifier held against the true time.

python -m tests.bench.time_histories --histories 5000 --seed 0
"""

import argparse
import sys
import time
from collections import Counter

from tests.worlds.time_histories import run_history


def main() -> int:
    """Runs them and prints what they were made of; exit status 1 if any conclusion was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.time_histories", description=__doc__)
    parser.add_argument("--histories", type=int, default=5000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="of the first; the next has the next (%(default)s)")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    failures: list[str] = []
    started = time.monotonic()
    for seed in range(options.seed, options.seed + options.histories):
        try:
            counts.update(run_history(seed))
        except AssertionError as error:
            failures.append(str(error).partition("\n")[0])
    for name, count in sorted(counts.items()):
        print(f"{count:10,}  {name}")
    print(f"{options.histories} histories in {time.monotonic() - started:.0f} s, {len(failures)} wrong")
    for failure in failures:
        print(f"WRONG {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
