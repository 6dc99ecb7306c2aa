"""Searches the prefixes of several logs' increments that reproduce a quote.

The logs are independent of each other: if two logs extend the same PCR, the caller lets only the later one be
shortened. A log is rarely more than a few entries ahead of a quote, and two logs are rarely ahead at once. So each
combination is ranked by the product of (entries taken away + 1) over the logs, and the smallest product is tried first.

Cost: one digest for each combination, at most :data:`MAX_PREFIXES_TRIED`, whatever the increments hold.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

MAX_PREFIXES_TRIED: Final = 8192  # digests in one search; takes about 10 ms for one log

Steps: TypeAlias = Sequence[tuple[int, Sequence[tuple[int, bytes]]]]
"""For each shorter prefix of a log, longest first: how many entries it has, and the (slot, value) pairs that undo the
entry after it."""


def longest_prefixes(
    undo: Sequence[Steps], values: Sequence[bytes], reproduces: Callable[[bytes], bool]
) -> list[int | None] | None:
    """Finds a combination of prefixes that reproduces the quote.

    Args:
        undo: how to shorten each log; empty for a log that must stay whole.
        values: the selected PCRs after every entry, in the order of the quote's digest.
        reproduces: whether the concatenated PCR values have the quoted digest.

    Returns:
        For each log the number of entries to keep, or None to keep all of them. None if no combination was found.
    """
    if sum(1 for steps in undo if steps) == 1:
        return _shorten_one(undo, values, reproduces)
    snapshots: list[list[dict[int, bytes]]] = [[{}] for _ in undo]
    whole = (0,) * len(undo)
    waiting = [(1, whole)]
    seen = {whole}
    for _ in range(MAX_PREFIXES_TRIED):
        if not waiting:
            return None
        _, depths = heapq.heappop(waiting)
        candidate = list(values)
        for steps, known, depth in zip(undo, snapshots, depths, strict=True):
            if depth == len(known):
                known.append({**known[-1], **dict(steps[depth - 1][1])})
            for slot, value in known[depth].items():
                candidate[slot] = value
        if reproduces(b"".join(candidate)):
            return [steps[depth - 1][0] if depth else None for steps, depth in zip(undo, depths, strict=True)]
        for log, steps in enumerate(undo):
            further = (*depths[:log], depths[log] + 1, *depths[log + 1 :])
            if depths[log] < len(steps) and further not in seen:
                seen.add(further)
                heapq.heappush(waiting, (math.prod(depth + 1 for depth in further), further))
    return None


def _shorten_one(
    undo: Sequence[Steps], values: Sequence[bytes], reproduces: Callable[[bytes], bool]
) -> list[int | None] | None:
    """Does the same for the usual case, without bookkeeping: only one log can be shortened."""
    (log,) = (number for number, steps in enumerate(undo) if steps)
    candidate = list(values)
    for count, changes in undo[log][: MAX_PREFIXES_TRIED - 1]:
        for slot, value in changes:
            candidate[slot] = value
        if reproduces(b"".join(candidate)):
            return [count if number == log else None for number in range(len(undo))]
    return None
