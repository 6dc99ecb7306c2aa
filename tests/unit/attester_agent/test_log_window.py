"""How far a quote reaches into the logs, and how much of that travels at once."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attester_agent.core.log_window import Coverage, Entries, choose_entries, cover, outlived
from schemas.hashes import SHA256
from schemas.replay.log_replay import Quoted, ReplayState
from schemas.tpm.pcr import PcrSelection, PcrValues, composite_digest, extend, parse_selection_text
from tests.builders.log_bytes import ima_ng

SELECTION = parse_selection_text("sha256:8,10")
FILES = tuple(ima_ng(b"/bin/%d" % number, b"content %d" % number) for number in range(12))


def template_digest(record: bytes) -> bytes:
    name_end = 28 + int.from_bytes(record[24:28], "little")
    return SHA256.digest(record[name_end + 4 :])


def after(count: int) -> bytes:
    value = bytes(32)
    for record in FILES[:count]:
        value = extend(SHA256, value, template_digest(record))
    return value


def quoted(count: int, pcr8: bytes = bytes(32), selection: PcrSelection = SELECTION) -> Quoted:
    values = PcrValues({SHA256: {8: pcr8, 10: after(count)}})
    return Quoted(selection=selection, digest=composite_digest(selection, values, SHA256), algorithm=SHA256)


def entries(start: int, end: int) -> dict[str, Entries]:
    return {"ima": Entries(start=start, records=FILES[start:end])}


EMPTY = ReplayState(banks=(SHA256,))
PCR8 = PcrValues({SHA256: {8: bytes(32)}})


@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_a_quote_covers_the_prefix_that_it_saw(count: int) -> None:
    coverage = cover(EMPTY, entries(0, 12), quoted(count), PCR8)
    assert coverage.problem is None
    assert coverage.totals == {"ima": count}
    assert coverage.replay.next_index.get("ima", 0) == count


def test_the_replay_goes_on_where_it_stopped_whatever_was_read_again() -> None:
    first = cover(EMPTY, entries(0, 6), quoted(4), PCR8)
    second = cover(first.replay, entries(2, 12), quoted(9), PCR8)
    assert (second.problem, second.totals) == (None, {"ima": 9})


def test_values_that_moved_since_the_quote_are_a_problem_and_everything_goes_out() -> None:
    coverage = cover(EMPTY, entries(0, 5), quoted(5, pcr8=b"\1" * 32), PCR8)
    assert coverage.problem is not None
    assert coverage.totals == {"ima": 5}


def test_a_malformed_log_is_a_problem_and_the_replay_stays() -> None:
    broken = {"ima": Entries(start=0, records=(FILES[0][:-1] + b"x",))}
    coverage = cover(EMPTY, broken, quoted(1), PCR8)
    assert coverage.problem is not None
    assert coverage.problem.startswith("log-malformed")
    assert (coverage.replay, coverage.totals) == (EMPTY, {"ima": 1})


def test_a_kernel_that_pads_sha1_is_recognised_at_the_first_push() -> None:
    value = bytes(32)
    for record in FILES[:3]:
        value = extend(SHA256, value, record[4:24].ljust(32, b"\0"))
    values = PcrValues({SHA256: {8: bytes(32), 10: value}})
    digest = composite_digest(SELECTION, values, SHA256)
    coverage = cover(EMPTY, entries(0, 3), Quoted(selection=SELECTION, digest=digest, algorithm=SHA256), PCR8)
    assert coverage.problem is None


def test_the_boot_log_travels_first_and_the_budget_counts_for_all() -> None:
    logs = {
        "ima": Entries(start=0, records=(b"i" * 40, b"i" * 40)),
        "tcg2": Entries(start=0, records=(b"t" * 50, b"t" * 50)),
    }
    starts, totals = {"ima": 0, "tcg2": 0}, {"ima": 2, "tcg2": 2}

    def counts(budget: int) -> dict[str, int]:
        return {name: len(records) for name, records in choose_entries(logs, starts, totals, budget).items()}

    assert counts(1000) == {"tcg2": 2, "ima": 2}
    assert counts(140) == {"tcg2": 2, "ima": 1}
    assert counts(99) == {"tcg2": 1}


def test_one_entry_always_travels() -> None:
    logs = {"ima": Entries(start=3, records=(b"x" * 500, b"y"))}
    assert choose_entries(logs, {"ima": 3}, {"ima": 5}, -10) == {"ima": (b"x" * 500,)}


def test_entries_beyond_the_quote_stay() -> None:
    logs = {"ima": Entries(start=3, records=(b"x", b"y", b"z"))}
    assert choose_entries(logs, {"ima": 4}, {"ima": 5}, 100) == {"ima": (b"y",)}
    assert choose_entries(logs, {"ima": 5}, {"ima": 5}, 100) == {}


@given(
    sizes=st.lists(st.integers(1, 60), max_size=40),
    budget=st.integers(1, 200),
)
def test_any_log_arrives_whole_in_order_in_bounded_parts(sizes: list[int], budget: int) -> None:
    records = tuple(bytes([number % 256]) * size for number, size in enumerate(sizes))
    logs = {"ima": Entries(start=0, records=records)}
    sent: list[bytes] = []
    for _ in itertools.count():
        chosen = choose_entries(logs, {"ima": len(sent)}, {"ima": len(records)}, budget).get("ima", ())
        if not chosen:
            break
        assert sum(map(len, chosen)) <= budget or len(chosen) == 1
        sent += chosen
    assert tuple(sent) == records


@pytest.mark.parametrize(
    ("covered", "listed", "expected"),
    [(5, 5, False), (5, 6, False), (5, 7, True), (1, 145, True), (9, 5, False), (5, 0, False)],
)
def test_a_quote_covers_all_that_was_listed_before_it_except_perhaps_the_last(
    covered: int, listed: int, expected: bool
) -> None:
    coverage = Coverage(replay=EMPTY, totals={"ima": covered})
    assert outlived(coverage, {"ima": listed}) is expected
    assert not outlived(replace(coverage, problem="no prefix"), {"ima": listed})
    assert not outlived(Coverage(replay=EMPTY, totals={}), {"ima": listed}), "it could not be read"
    assert not outlived(coverage, {})
