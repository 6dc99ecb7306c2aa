"""``./run explore``: the real verifier, in a small world, in every state that it can be in.

A device, a distributor and an endorser made a few messages. A verifier gets them in every order, any number of times or
never, with every swap of their unsigned parts; it restarts and hears nothing in between. After each event
the invariants are checked. Exit status 1 when one is broken; the shortest way there is printed.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence

from tests.exploration.invariants import INVARIANTS
from tests.exploration.scope import CATALOGUE, Scope
from tests.exploration.search import Explored
from tests.exploration.worlds import explore_verifier


def main(arguments: Sequence[str] | None = None) -> int:
    """Explores; the exit status."""
    options = _parser().parse_args(arguments)
    logging.disable()  # the product's log lines about refused messages
    print(f"{len(INVARIANTS)} invariants after each event:")
    for invariant in INVARIANTS:
        print(f"  {invariant.__name__.replace('_', ' ')}")
    worlds = (
        ("messages that wait, and silence", Scope(count=options.messages, alter=False), options.waits),
        ("every swap of an unsigned part", Scope(count=options.messages), options.waits_of_altered),
    )
    return max(_explore(words, scope, waits, options.depth) for words, scope, waits in worlds)


def _explore(words: str, scope: Scope, waits: int, depth: int | None) -> int:
    print(f"{words}: {len(scope.messages)} messages, {waits} long silences", flush=True)
    started_s = time.monotonic()
    found = explore_verifier(scope, waits=waits, depth=depth)
    _report(found, time.monotonic() - started_s)
    return 1 if found.problem else 0


def _report(found: Explored, seconds: float) -> None:
    if found.problem:
        print(f"BROKEN: {found.problem}\nthe shortest way there:")
        for number, words in enumerate(found.trace, 1):
            print(f"  {number}. {words}")
        return
    extent = "all of them" if found.whole else "no deeper"
    print(f"  {found.states} states visited ({extent}), {found.transitions} transitions, {seconds:.0f} s; none broken")
    for what, count in sorted(found.seen.items()):
        print(f"    {count:8d} {what}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run explore", description=__doc__)
    count = len(CATALOGUE)
    parser.add_argument(
        "--messages", type=int, default=6, choices=range(1, count + 1), help=f"how many, to {count} (6)"
    )
    parser.add_argument("--waits", type=int, default=1, help="silences until after the deadline (1)")
    parser.add_argument("--waits-of-altered", type=int, default=0, help="the same, among altered messages (0)")
    parser.add_argument("--depth", type=int, help="at most so many events (no limit)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
