"""Run by test_migration_crashes: kills a migration at every line of ``runtime/database.py`` that can change a file.

usage: killed_migration.py FOLDER exclusive|shared

Each attempt is a forked process with a file of its own, ``FOLDER/N.db``, killed at line N of its migration. The first
one that ends by itself ends the run.
"""

import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path
from types import FrameType

from runtime import database
from runtime.database import Database, Schema

FIRST = "CREATE TABLE IF NOT EXISTS thing (name TEXT NOT NULL);"
SECOND = """
CREATE TABLE new_thing (name TEXT NOT NULL, size INTEGER NOT NULL);
INSERT INTO new_thing SELECT name, length(name) FROM thing;
DROP TABLE thing;
ALTER TABLE new_thing RENAME TO thing;
"""
THIRD = "UPDATE thing SET size = size + 1;"


def schema(*migrations: str) -> Schema:
    return Schema(field="database", program="tester", migrations=migrations, if_damaged="")


OLD, NEW = schema(FIRST), schema(FIRST, SECOND, THIRD)
ROWS = 500
WRITERS = {"_prepare", "_migrate", "_run", "_copy"}


class KillAt:
    """A tracer that kills this process at the line of that number, counted from 1."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: FrameType, event: str, _argument: object) -> "KillAt | None":
        code, caller = frame.f_code, frame.f_back
        if code.co_filename != database.__file__ or code.co_name not in WRITERS:
            return None
        if caller is not None and caller.f_code.co_name == "tables":  # in memory
            return None
        self.left -= event == "line"
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self


def attempt(path: Path, number: int, *, exclusive: bool) -> bool:
    """Whether the migration was killed."""
    child = os.fork()
    if child == 0:
        sys.settrace(KillAt(number))
        Database(path, NEW, busy_s=0, exclusive=exclusive)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


def main() -> None:
    folder, exclusive = Path(sys.argv[1]), sys.argv[2] == "exclusive"
    with Database(folder / "old", OLD, busy_s=0) as made, made.transaction():
        made.execute_many("INSERT INTO thing VALUES (?)", [("x" * each,) for each in range(ROWS)])
    for number in count(1):
        path = folder / f"{number}.db"
        shutil.copy(folder / "old", path)
        if not attempt(path, number, exclusive=exclusive):
            return


if __name__ == "__main__":
    main()
