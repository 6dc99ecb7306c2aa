"""Breadth-first search: every state that can be reached, once, and the shortest way to a bad one."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move(Generic[S]):
    """One transition.

    Attributes:
        words: what happens.
        after: the state then.
        key: of that state.
        problem: the invariant that it breaks, in words; empty for none.
        seen: what happened, for the statistics.
    """

    words: str
    after: S
    key: Hashable
    problem: str = ""
    seen: tuple[str, ...] = ()


@dataclass
class Explored:
    """What a search found.

    Attributes:
        states: how many different ones were visited.
        transitions: how many were made.
        seen: how often each thing happened.
        problem: the first broken invariant; empty for none.
        trace: the shortest way to it.
        whole: the search ended because there was nothing left.
    """

    states: int = 0
    transitions: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    problem: str = ""
    trace: tuple[str, ...] = ()
    whole: bool = False


def explore(first: S, key: Hashable, moves: Callable[[S], Iterable[Move[S]]], *, depth: int | None = None) -> Explored:
    """Visits every state within ``depth`` moves of the first one, nearest first; stops at the first problem."""
    found = Explored(states=1)
    ways: dict[Hashable, tuple[Hashable, str] | None] = {key: None}
    waiting = deque([(first, key, 0)])
    cut = False
    while waiting:
        state, at, moved = waiting.popleft()
        if depth is not None and moved >= depth:
            cut = True
            continue
        for move in moves(state):
            found.transitions += 1
            for what in move.seen:
                found.seen[what] = found.seen.get(what, 0) + 1
            if move.problem:
                found.problem, found.trace = move.problem, (*_way(ways, at), move.words)
                return found
            if move.key not in ways:
                ways[move.key] = at, move.words
                waiting.append((move.after, move.key, moved + 1))
                found.states += 1
    found.whole = not cut
    return found


def _way(ways: dict[Hashable, tuple[Hashable, str] | None], key: Hashable) -> tuple[str, ...]:
    words = []
    step = ways[key]
    while step is not None:
        words.append(step[1])
        step = ways[step[0]]
    return tuple(reversed(words))
