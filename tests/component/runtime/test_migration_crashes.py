"""A migration is killed at each of its lines; the file is whole, and the next start finishes the work."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from runtime.database import Database, copy_of
from tests.component.runtime.killed_migration import NEW, ROWS

ROOT = Path(__file__).parents[3]
OLD_ROWS = [("x" * each,) for each in range(ROWS)]
NEW_ROWS = [(name, len(name) + 1) for (name,) in OLD_ROWS]


def rows_by_hand(path: Path) -> tuple[int, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (version,) = other.execute("PRAGMA user_version").fetchone()
        return version, other.execute("SELECT * FROM thing ORDER BY length(name)").fetchall()


@pytest.mark.parametrize("mode", ["exclusive", "shared"])
def test_a_kill_at_any_line_loses_nothing(tmp_path: Path, mode: str) -> None:
    program = [sys.executable, "-m", "tests.component.runtime.killed_migration", str(tmp_path), mode]
    subprocess.run(program, cwd=ROOT, check=True)
    files = [path for path in tmp_path.glob("*.db") if path.suffix == ".db"]
    assert len(files) > 50
    found = set()
    for path in files:
        version, rows = rows_by_hand(path)
        found.add(version)
        assert rows in ([OLD_ROWS] if version == 1 else [NEW_ROWS, [(name, len(name)) for (name,) in OLD_ROWS]])
        if version > 1 or copy_of(path, 1).exists():
            assert rows_by_hand(copy_of(path, 1)) == (1, OLD_ROWS), "a copy that is there is whole"
        Database(path, NEW, busy_s=0, exclusive=mode == "exclusive").close()
        assert rows_by_hand(path) == (3, NEW_ROWS)
        assert rows_by_hand(copy_of(path, 1)) == (1, OLD_ROWS)
    assert found == {1, 2, 3}
