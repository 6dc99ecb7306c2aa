"""What holds for every test: missing programs are named, and no verdict depends on the speed of the machine."""

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis.database import DirectoryBasedExampleDatabase

from runtime.database import Database, Schema

hypothesis.settings.register_profile(
    "attestream", deadline=None, database=DirectoryBasedExampleDatabase(".cache/hypothesis")
)
hypothesis.settings.load_profile("attestream")

# Debian keeps mosquitto where an ordinary user's PATH does not look.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.needs("swtpm")` skips where swtpm is missing; continuous integration must have everything."""
    for marker in item.iter_markers("needs"):
        missing = [program for program in marker.args if shutil.which(program) is None]
        if missing and os.environ.get("CI"):
            pytest.fail(f"not on this machine: {', '.join(missing)}", pytrace=False)
        if missing:
            pytest.skip(f"not on this machine: {', '.join(missing)}")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes are numbered: signatures among them differ from process to process, and the workers of a run must agree."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules and test items live as long as the run: the search for garbage need not walk over them in every test."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def open_databases() -> Iterator[dict[int, Database]]:
    """Every database that is open, by its ``id``."""
    found: dict[int, Database] = {}
    real_init, real_close = Database.__init__, Database.close

    def init(database: Database, path: Path, schema: Schema, **named: Any) -> None:  # noqa: ANN401 whatever they are
        real_init(database, path, schema, **named)
        found[id(database)] = database

    def close(database: Database) -> None:
        real_close(database)
        found.pop(id(database), None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "__init__", init)
        patch.setattr(Database, "close", close)
        yield found


@pytest.fixture(autouse=True)
def every_database_is_closed(open_databases: dict[int, Database]) -> Iterator[None]:
    """A test that leaves a database open fails at once, and not only where Python 3.13 collects its garbage."""
    before = set(open_databases)
    yield
    if open_databases.keys() - before:
        left = [database for number, database in open_databases.items() if number not in before]
        for database in left:
            database.close()
        assert [str(database.path) for database in left] == []


@pytest.fixture
def at_end() -> Iterator[ExitStack]:
    """Closes at the end of a test what the test enters here."""
    with ExitStack() as stack:
        yield stack
