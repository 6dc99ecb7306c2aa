"""The search for prefixes: every combination is found, the likely ones cheaply."""

import itertools

import pytest

from schemas.replay import prefix_search
from schemas.replay.prefix_search import Steps, longest_prefixes


def steps(slot: int, length: int) -> Steps:
    """A log whose entry n sets a slot to n."""
    return [(count, [(slot, b"%d,%d;" % (slot, count))]) for count in reversed(range(length))]


def digests(wanted: tuple[int | None, ...], lengths: list[int]) -> tuple[list[int | None] | None, int]:
    """What is found of ``wanted``, and after how many digests."""
    undo = [steps(slot, length) for slot, length in enumerate(lengths)]
    values = [b"%d,%d;" % each for each in enumerate(lengths)]
    target = b"".join(values[slot] if count is None else b"%d,%d;" % (slot, count) for slot, count in enumerate(wanted))
    tried: list[bytes] = []

    def reproduces(joined: bytes) -> bool:
        tried.append(joined)
        return joined == target

    return longest_prefixes(undo, values, reproduces), len(tried)


def cost(wanted: tuple[int | None, ...], lengths: list[int]) -> int | None:
    """Digests until ``wanted`` is found; None when it is not."""
    found, tried = digests(wanted, lengths)
    assert found in (None, list(wanted))
    return tried if found else None


@pytest.mark.parametrize("lengths", [[3], [0, 3], [3, 0, 0], [2, 3], [2, 0, 3], [1, 2, 3]])
def test_every_combination_is_found(lengths: list[int]) -> None:
    for wanted in itertools.product(*([None, *range(length)] for length in lengths)):
        if any(count is not None for count in wanted):
            assert cost(wanted, lengths) is not None


def test_what_is_likely_is_cheap() -> None:
    assert prefix_search.MAX_PREFIXES_TRIED == 8192
    lengths = [2_000, 2_000, 2_000]
    assert (cost((None, None, 1_999), lengths) or 8192) < 10
    assert (cost((1_999, None, 1_900), lengths) or 8192) < 5000


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_what_a_search_costs_is_bounded(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """The caller has tried the whole already, which is one of them."""
    monkeypatch.setattr(prefix_search, "MAX_PREFIXES_TRIED", limit)
    assert digests((0, 0, 0), [limit] * 3) == (None, limit)
    for others in ([], [0]):
        last_tried = limit + 1 - (limit - 1)
        whole = (None,) * len(others)
        if limit > 1:
            assert digests((last_tried, *whole), [limit + 1, *others]) == ([last_tried, *whole], limit - 1)
        assert digests((last_tried - 1, *whole), [limit + 1, *others]) == (None, limit - 1)


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
