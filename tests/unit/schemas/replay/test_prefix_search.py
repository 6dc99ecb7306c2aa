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


@pytest.mark.parametrize("lengths", [[3], [0, 3], [3, 0, 0], [2, 3], [2, 0, 3], [1, 2, 3]])
def test_every_combination_is_found(lengths: list[int]) -> None:
    for wanted in itertools.product(*([None, *range(length)] for length in lengths)):
        if any(count is not None for count in wanted):
            assert cost(wanted, lengths) is not None


def test_what_is_likely_is_cheap_and_all_of_it_bounded() -> None:
    assert MAX_PREFIXES_TRIED == 8192
    lengths = [10_000, 10_000, 10_000]
    assert (cost((None, None, 9_999), lengths) or MAX_PREFIXES_TRIED) < 10
    assert (cost((9_999, None, 9_900), lengths) or MAX_PREFIXES_TRIED) < 5000
    assert cost((0, 0, 0), lengths) is None
    assert cost((10_000 - MAX_PREFIXES_TRIED + 1,), [10_000]) == MAX_PREFIXES_TRIED - 1
    assert cost((10_000 - MAX_PREFIXES_TRIED,), [10_000]) is None
    assert cost((0,), [10_000]) is None


@pytest.mark.parametrize("lengths", [[], [0], [0, 0], [3], [2, 3]])
def test_where_nothing_fits_nothing_is_found(lengths: list[int]) -> None:
    undo = [steps(slot, length) for slot, length in enumerate(lengths)]
    values = [b"whole"] * len(lengths)
    assert longest_prefixes(undo, values, lambda _: False) is None
    assert values == [b"whole"] * len(lengths)


@pytest.mark.parametrize("others", [[], [()], [steps(2, 2)]], ids=["alone", "beside a whole log", "beside another"])
def test_a_log_may_set_several_slots_and_its_steps_add_up(others: list[Steps]) -> None:
    """The last entry set slot 0, the one before it slot 1, the first one both."""
    log: Steps = [(2, [(0, b"a2;")]), (1, [(1, b"b1;")]), (0, [(0, b"a0;"), (1, b"b0;")])]
    values = [b"a;", b"b;", b"2,2;"]
    whole = [None] * len(others)
    expected = {b"a2;b;": 2, b"a2;b1;": 1, b"a0;b0;": 0, b"a;b1;": None, b"a0;b1;": None}
    for wanted, count in expected.items():
        found = longest_prefixes([log, *others], values, (wanted + b"2,2;").__eq__)
        assert found == (None if count is None else [count, *whole])
    assert values == [b"a;", b"b;", b"2,2;"]
