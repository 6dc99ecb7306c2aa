"""``./run explore``: the real verifier and result board, in a small world, in every state that they can be in.

A device, a distributor and an endorser made a few messages. A verifier gets them in every order, any number of times or
never, with every swap of their unsigned parts; it restarts and hears nothing in between. Two verifiers share nothing,
so what holds for one of them alone holds for both. They meet at the result board of a relying party: it gets what both
published in every order, again, or never, also after one of them was restored from a backup. After each event the
invariants are checked. Exit status 1 when one is broken; the shortest way there is printed.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence

from tests.exploration.board import BOARD_INVARIANTS, explore_board
from tests.exploration.invariants import INVARIANTS
from tests.exploration.scope import CATALOGUE, Scope
from tests.exploration.search import Explored
from tests.exploration.worlds import explore_verifier


def main(arguments: Sequence[str] | None = None) -> int:
    """Explores; the exit status."""
    options = _parser().parse_args(arguments)
    logging.disable()  # the product's log lines about refused messages
    names = [*(invariant.__name__.replace("_", " ") for invariant in INVARIANTS), *BOARD_INVARIANTS]
    print(f"{len(names)} invariants after each event:")
    for name in names:
        print(f"  {name}")
    made, few, depth = options.messages, min(options.messages, options.messages_of_two), options.depth
    return max(
        _explore(
            f"one verifier, {made} messages, {options.waits} long silence(s), restarts",
            lambda: explore_verifier(Scope(count=made, alter=False), waits=options.waits, depth=depth),
        ),
        _explore(
            f"one verifier, {made} messages and each swap of their unsigned parts, restarts",
            lambda: explore_verifier(Scope(count=made), waits=options.waits_of_altered, depth=depth),
        ),
        _explore(
            f"two verifiers and a result board, {few} messages, {options.waits} long silence(s)",
            lambda: explore_board(Scope(count=few, alter=False), waits=options.waits, restores=False, depth=depth),
        ),
        _explore(
            f"two verifiers and a result board, {few} messages, a restore from a backup",
            lambda: explore_board(Scope(count=few, alter=False), waits=0, depth=depth),
        ),
    )


def _explore(words: str, search: Callable[[], Explored]) -> int:
    print(words, flush=True)
    started_s = time.monotonic()
    found = search()
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
    parser.add_argument("--messages-of-two", type=int, default=3, help="how many for two verifiers and a board (3)")
    parser.add_argument("--depth", type=int, help="at most so many events (no limit)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
