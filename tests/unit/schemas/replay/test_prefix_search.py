"""The search for prefixes: every combination is found, the likely ones cheaply."""

import itertools

import pytest

from schemas.replay.prefix_search import MAX_PREFIXES_TRIED, Steps, longest_prefixes


def steps(slot: int, length: int) -> Steps:
    """A log whose entry n sets a slot to n."""
    return [(count, [(slot, b"%d,%d;" % (slot, count))]) for count in reversed(range(length))]


def cost(wanted: tuple[int | None, ...], lengths: list[int]) -> int | None:
    """Digests until ``wanted`` is found; None when it is not."""
    undo = [steps(slot, length) for slot, length in enumerate(lengths)]
    values = [b"%d,%d;" % each for each in enumerate(lengths)]
    target = b"".join(values[slot] if count is None else b"%d,%d;" % (slot, count) for slot, count in enumerate(wanted))
    tried: list[bytes] = []

    def reproduces(joined: bytes) -> bool:
        tried.append(joined)
        return joined == target

    found = longest_prefixes(undo, values, reproduces)
    assert found in (None, list(wanted))
    return len(tried) if found else None


@pytest.mark.parametrize("lengths", [[3], [2, 3], [2, 0, 3], [1, 2, 3]])
def test_every_combination_is_found(lengths: list[int]) -> None:
    for wanted in itertools.product(*([None, *range(length)] for length in lengths)):
        if any(count is not None for count in wanted):
            assert cost(wanted, lengths) is not None


def test_what_is_likely_is_cheap_and_all_of_it_bounded() -> None:
    lengths = [10_000, 10_000, 10_000]
    assert (cost((None, None, 9_999), lengths) or MAX_PREFIXES_TRIED) < 10
    assert (cost((9_999, None, 9_900), lengths) or MAX_PREFIXES_TRIED) < 5000
    assert cost((0, 0, 0), lengths) is None
    assert cost((10_000 - MAX_PREFIXES_TRIED + 1,), [10_000]) == MAX_PREFIXES_TRIED - 1
    assert cost((0,), [10_000]) is None
