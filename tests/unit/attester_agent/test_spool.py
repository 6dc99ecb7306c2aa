"""State and pushes on disk: together, in order, bounded; whatever happens in between."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from attester_agent.adapters.spool import SqliteSpool
from attester_agent.core.agent_state import AgentState
from schemas.errors import ConfigError, WorldError
from schemas.identifiers import Ueid
from schemas.reasons import Reason

STATE = AgentState(ueid=Ueid(b"\x01" + bytes(32)), environment=b"name")


def numbered(sequence: int) -> AgentState:
    return replace(STATE, sequence=sequence)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.db"


@pytest.fixture
def spool(path: Path) -> Iterator[SqliteSpool]:
    opened = SqliteSpool(path, max_bytes=100)
    yield opened
    opened.close()


def payloads(spool: SqliteSpool, after: int = 0, limit: int = 100) -> list[bytes]:
    return [push.payload for push in spool.waiting(after, limit)]


def test_a_new_spool_is_empty(spool: SqliteSpool) -> None:
    assert spool.load() is None
    assert (payloads(spool), spool.queued_messages) == ([], 0)


def test_push_and_state_are_there_after_a_restart(spool: SqliteSpool, path: Path) -> None:
    spool.add(numbered(1), b"first")
    spool.add(numbered(2), b"second")
    spool.save(replace(numbered(2), solicits={"v": 1}))
    again = SqliteSpool(path, max_bytes=100)
    assert again.load() == replace(numbered(2), solicits={"v": 1})
    assert payloads(again) == [b"first", b"second"]
    assert again.queued_messages == 2
    again.close()


def test_pushes_come_out_in_order_and_from_any_number_on(spool: SqliteSpool) -> None:
    for number in range(5):
        spool.add(numbered(number), b"%d" % number)
    first, second = spool.waiting(0, 2)
    assert [first.payload, second.payload] == [b"0", b"1"]
    assert payloads(spool, after=second.number) == [b"2", b"3", b"4"]
    spool.remove([first.number, 999])
    assert payloads(spool) == [b"1", b"2", b"3", b"4"]
    assert spool.queued_messages == 4


def test_a_number_is_never_used_twice(spool: SqliteSpool) -> None:
    spool.add(numbered(1), b"first")
    (first,) = spool.waiting(0, 1)
    spool.remove([first.number])
    spool.add(numbered(2), b"second")
    assert spool.waiting(0, 1)[0].number > first.number


def test_bytes_are_counted_also_after_a_restart(spool: SqliteSpool, path: Path) -> None:
    spool.add(numbered(1), bytes(60))
    assert spool.fits(40)
    assert not spool.fits(41)
    again = SqliteSpool(path, max_bytes=100)
    assert not again.fits(41)
    again.clear(numbered(1))
    assert again.fits(100)
    assert (payloads(again), again.load()) == ([], numbered(1))
    again.close()


def test_neither_push_nor_state_when_the_disk_refuses(spool: SqliteSpool, path: Path) -> None:
    spool.add(numbered(1), b"first")
    with closing(sqlite3.connect(path)) as other, other:  # closes, and commits
        other.execute("CREATE TRIGGER full BEFORE INSERT ON state BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(WorldError, match="disk full") as caught:
        spool.add(numbered(2), b"second")
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert (spool.load(), payloads(spool), spool.queued_messages) == (numbered(1), [b"first"], 1)


@pytest.mark.parametrize("table", ["push", "state"])
def test_if_one_of_the_two_writes_fails_neither_is_stored(spool: SqliteSpool, path: Path, table: str) -> None:
    spool.save(numbered(1))
    with closing(sqlite3.connect(path)) as database:
        refusal = "BEGIN SELECT RAISE(ABORT, 'by the test'); END"
        database.execute(f"CREATE TRIGGER refuse BEFORE INSERT ON {table} {refusal}")
        database.commit()
    with pytest.raises(WorldError, match="by the test"):
        spool.add(numbered(2), b"push")
    assert spool.load() == numbered(1)
    assert (payloads(spool), spool.queued_messages, spool.queued_bytes) == ([], 0, 0)


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to look at" * 40)
    with pytest.raises(ConfigError, match=r"state: .*agent\.db"):
        SqliteSpool(path, max_bytes=100)


def test_a_damaged_state_is_named(spool: SqliteSpool, path: Path) -> None:
    spool.save(STATE)
    with closing(sqlite3.connect(path)) as other, other:  # closes, and commits
        other.execute("UPDATE state SET value = x'00'")
    with pytest.raises(ConfigError, match="move the file away"):
        spool.load()
