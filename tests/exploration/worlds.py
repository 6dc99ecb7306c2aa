"""The explorations: one verifier among all messages."""

from collections.abc import Iterator

from tests.exploration.invariants import broken
from tests.exploration.scope import Scope
from tests.exploration.search import Explored, Move, explore
from tests.exploration.verifier import Node, Outcome, Verifier


def explore_verifier(scope: Scope, *, waits: int = 1, depth: int | None = None) -> Explored:
    """Everything that can happen to one verifier."""
    verifier = Verifier(scope, waits=waits)

    def moves(at: Node) -> Iterator[Move[Node]]:
        for event in verifier.events(at):
            outcome = verifier.apply(at, event)
            yield Move(
                words=event.words,
                after=outcome.after,
                key=outcome.after.key,
                problem=broken(at, outcome, scope),
                seen=_seen(outcome),
            )

    first = verifier.first()
    return explore(first, first.key, moves, depth=depth)


def _seen(outcome: Outcome) -> tuple[str, ...]:
    if outcome.refused is not None:
        return ("refused",)
    return tuple(f"{each.status}, {each.freshness}" for each in outcome.results)
