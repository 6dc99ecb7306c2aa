"""SQLite files: made private, migrated with a copy, refused with advice, closed whatever happens."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from runtime.database import Database, Schema, copy_of
from schemas.errors import ConfigError, WorldError
from schemas.reasons import Reason

ONE = "CREATE TABLE IF NOT EXISTS thing (name TEXT PRIMARY KEY);"
TWO = """
ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 7;
CREATE TABLE part (thing TEXT REFERENCES thing);
CREATE TRIGGER thing_stays BEFORE DELETE ON thing BEGIN SELECT RAISE(ABORT, 'kept; always'); END;
"""
THREE = "UPDATE thing SET size = size + 1;"


def schema(*migrations: str) -> Schema:
    return Schema(field="database", program="tester", migrations=migrations, if_damaged="Throw it away")


FIRST, LAST = schema(ONE), schema(ONE, TWO, THREE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
def first(path: Path) -> Path:
    """A file of version 1 with one row."""
    with Database(path, FIRST, busy_s=0) as database:
        database.execute("INSERT INTO thing VALUES ('a')")
    return path


def open_files(path: Path) -> list[str]:
    """What this process has open in the folder of ``path``."""
    links = list(Path("/proc/self/fd").iterdir())
    targets = [str(link.readlink()) for link in links if link.is_symlink()]
    return [target for target in targets if target.startswith(str(path.parent))]


def content(path: Path, query: str = "SELECT * FROM thing") -> tuple[int, list[tuple[object, ...]]]:
    """The version of a file and its rows."""
    with closing(sqlite3.connect(path)) as other:
        (version,) = other.execute("PRAGMA user_version").fetchone()
        return version, other.execute(query).fetchall()


def delete_from(database: Database, *tables: str) -> None:
    with database.transaction() as inside:
        for table in tables:
            inside.execute(f"DELETE FROM {table}")  # noqa: S608 names above


def test_a_new_file_is_private_and_has_the_newest_version(path: Path) -> None:
    with Database(path, LAST, busy_s=0) as database:
        assert path.stat().st_mode & 0o777 == 0o600
        assert database.rows("SELECT * FROM thing") == []
        assert database.rows("PRAGMA synchronous") == [(2,)]
        assert database.rows("PRAGMA journal_mode") == [("wal",)]
        assert database.rows("PRAGMA foreign_keys") == [(1,)]
    assert content(path) == (3, [])
    assert list(path.parent.glob("*copy*")) == [], "there was nothing to copy"


def test_permissions_that_an_operator_chose_stay(first: Path) -> None:
    first.chmod(0o640)
    Database(first, LAST, busy_s=0).close()
    assert first.stat().st_mode & 0o777 == 0o640


def test_a_transaction_is_all_or_nothing(path: Path) -> None:
    with Database(path, FIRST, busy_s=0) as database:
        with database.transaction() as inside:
            inside.execute_many("INSERT INTO thing VALUES (?)", [("a",), ("b",)])
        with pytest.raises(WorldError, match="no such table: gone"):
            delete_from(database, "thing", "gone")
        assert list(database.each_row("SELECT * FROM thing")) == [("a",), ("b",)]
        assert database.first_row("SELECT * FROM thing WHERE name > ?", ("a",)) == ("b",)
        assert database.first_row("SELECT * FROM thing WHERE name > ?", ("b",)) is None
        assert database.execute("DELETE FROM thing WHERE name = 'b'") == 1
        assert database.insert("INSERT INTO thing VALUES (?)", ("c",)) == 2


@pytest.mark.parametrize("exclusive", [False, True])
def test_each_migration_runs_once_after_a_copy(first: Path, exclusive: bool) -> None:
    with Database(first, LAST, busy_s=0, exclusive=exclusive) as database:
        assert database.rows("SELECT * FROM thing") == [("a", 8)]
        with pytest.raises(WorldError, match="kept; always"):
            database.execute("DELETE FROM thing")
    assert content(first) == (3, [("a", 8)])
    assert content(copy_of(first, 1)) == (1, [("a",)])
    assert content(copy_of(first, 2)) == (2, [("a", 7)])
    assert copy_of(first, 1).name == "test.db.copy-of-version-1"
    assert copy_of(first, 1).stat().st_mode & 0o777 == 0o600
    before = copy_of(first, 1).stat().st_mtime_ns
    Database(first, LAST, busy_s=0, exclusive=exclusive).close()
    assert content(first) == (3, [("a", 8)])
    assert copy_of(first, 1).stat().st_mtime_ns == before
    assert not [each.name for each in first.parent.iterdir() if each.name.startswith(".")]


def test_a_copy_of_an_earlier_attempt_is_replaced(first: Path) -> None:
    copy_of(first, 1).write_bytes(b"half a copy")
    copy_of(first, 1).with_name(f".{copy_of(first, 1).name}.new").write_bytes(b"half of another")
    Database(first, LAST, busy_s=0).close()
    assert content(copy_of(first, 1)) == (1, [("a",)])


def test_a_migration_that_fails_changes_nothing(first: Path) -> None:
    broken = schema(ONE, "CREATE TABLE part (thing TEXT REFERENCES thing); INSERT INTO part VALUES ('z');")
    with pytest.raises(ConfigError, match="the migration to version 2 left a row without its parent"):
        Database(first, broken, busy_s=0)
    assert content(first) == (1, [("a",)])
    assert open_files(first) == []


def test_without_room_for_the_copy_nothing_changes(first: Path) -> None:
    copy_of(first, 1).mkdir()
    with pytest.raises(ConfigError, match=r"cannot be copied to .*copy-of-version-1.*make room, then start again"):
        Database(first, LAST, busy_s=0)
    assert content(first) == (1, [("a",)])
    assert open_files(first) == []


def test_a_newer_file_is_refused_with_the_copy_to_go_back_to(first: Path) -> None:
    Database(first, LAST, busy_s=0).close()
    with pytest.raises(ConfigError, match=r"version 3, .* up to 1\. Install the newer .* put .*copy-of-version-1 in"):
        Database(first, FIRST, busy_s=0)
    copy_of(first, 1).unlink()
    with pytest.raises(ConfigError, match=r"Install the newer software again$"):
        Database(first, FIRST, busy_s=0)
    assert content(first) == (3, [("a", 8)])
    assert open_files(first) == []


@pytest.mark.parametrize("version", [0, 1, 3, 9, -1])
def test_a_database_of_another_program_is_refused_and_stays_as_it_is(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.executescript(f"CREATE TABLE foreign_thing (x); PRAGMA user_version = {version};")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="another program made this database; name a file that the tester made"):
        Database(path, LAST, busy_s=0)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["test.db"]
    assert open_files(path) == []


def test_a_file_that_is_not_a_database_is_refused_with_advice(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to look at" * 40)
    with pytest.raises(ConfigError, match=r"database: .*test\.db: file is not a database\. .* Throw it away"):
        Database(path, LAST, busy_s=0)
    assert open_files(path) == []


def test_a_folder_that_is_missing_is_named(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"database: .*nowhere/test\.db: No such file or directory"):
        Database(path.parent / "nowhere" / "test.db", LAST, busy_s=0)


def test_unnumbered_files_become_version_1_without_a_copy(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute(ONE)
        other.execute("INSERT INTO thing VALUES ('old')")
        other.commit()
    Database(path, FIRST, busy_s=0).close()
    assert content(path) == (1, [("old",)])
    assert list(path.parent.glob("*copy*")) == []


def test_an_exclusive_connection_is_the_only_one(path: Path) -> None:
    with Database(path, FIRST, busy_s=0, exclusive=True):
        for exclusive in (False, True):
            with pytest.raises(ConfigError, match=r"locked\. Stop another tester that uses it"):
                Database(path, FIRST, busy_s=0, exclusive=exclusive)
    Database(path, FIRST, busy_s=0, exclusive=True).close()


def test_connections_that_share_a_file_see_each_other(path: Path) -> None:
    with Database(path, FIRST, busy_s=0) as one, Database(path, FIRST, busy_s=0) as other:
        one.execute("INSERT INTO thing VALUES ('a')")
        with other.transaction() as inside:
            assert inside.rows("SELECT * FROM thing") == [("a",)]
            with pytest.raises(WorldError, match="locked") as caught, one.transaction():
                raise AssertionError
        assert caught.value.reason is Reason.STORE_UNAVAILABLE


def test_a_process_that_is_older_than_the_file_stops_writing(first: Path) -> None:
    with Database(first, FIRST, busy_s=0) as older:
        Database(first, LAST, busy_s=0).close()
        with (
            pytest.raises(WorldError, match="migrated it to version 3; stop this tester"),
            older.transaction() as inside,
        ):
            inside.execute("INSERT INTO thing (name) VALUES ('b')")
    assert content(first) == (3, [("a", 8)])


def test_what_fails_right_after_opening_closes_the_file(path: Path) -> None:
    database = Database(path, FIRST, busy_s=0)
    with pytest.raises(ConfigError, match=r"database: .*no such table: gone\. Throw it away"), database.first_use():
        database.rows("SELECT * FROM gone")
    assert open_files(path) == []
