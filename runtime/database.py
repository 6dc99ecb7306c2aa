"""SQLite files: opening, migrating, transactions. No other module imports sqlite3.

A committed transaction survives a power cut (write-ahead log, ``synchronous = FULL``). ``user_version`` numbers the
tables of a file. A file of an older version is copied, then migrated, one transaction for each version. A process
killed at any moment leaves a file of the old version or of the next one, and the next start continues from there.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from runtime.durable import sync_folder
from schemas.errors import ConfigError, WorldError
from schemas.reasons import Reason

Row: TypeAlias = tuple[Any, ...]
Value: TypeAlias = bytes | str | int | float | None
_TABLES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The tables of one kind of file.

    Attributes:
        field: the setting that names the file: ``database``.
        program: the program that makes such files: ``verifier``.
        migrations: the SQL script that leads to version 1, the one from version 1 to 2, and so on. Released ones never
            change. They run with foreign keys off, so they may rebuild tables. That of version 1 says IF NOT EXISTS:
            older software numbered some files 0, and a kill could leave these without some of their tables.
        if_damaged: a sentence that tells the operator what to do about a damaged file.
    """

    field: str
    program: str
    migrations: Sequence[str]
    if_damaged: str

    @property
    def version(self) -> int:
        """The newest version that this software knows."""
        return len(self.migrations)

    def tables(self, version: int) -> set[str]:
        """The names of the tables that a file of this version has."""
        with closing(sqlite3.connect(":memory:")) as scratch:
            for script in self.migrations[:version]:
                _run(scratch, script)
            return _tables(scratch)


class Database:
    """One connection to one file. The code that opens it closes it."""

    def __init__(
        self, path: Path, schema: Schema, *, busy_s: float, exclusive: bool = False, any_thread: bool = False
    ) -> None:
        """Opens the file, or makes it, readable by its owner alone. Migrates it to the newest version.

        Args:
            path: of the file; its folder must exist.
            schema: its tables.
            busy_s: how long to wait while another connection writes.
            exclusive: no other connection may use the file while this one is open.
            any_thread: threads other than this one may use the connection, one at a time.

        Raises:
            ConfigError: the file cannot be used. The message says what to do.
        """
        self.path: Final = path
        self._schema, self._exclusive = schema, exclusive
        with ExitStack() as on_failure, _naming(path, schema):
            _make(path)
            self._connection = on_failure.enter_context(
                closing(sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=not any_thread))
            )
            _prepare(self._connection, path, schema, exclusive=exclusive)
            on_failure.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection. An open transaction is undone."""
        self._connection.close()

    @contextmanager
    def first_use(self) -> Iterator[None]:
        """Wraps the first reads of an owner: if they fail, closes the file and tells the operator what to do.

        Raises:
            ConfigError: in place of ``WorldError``.
        """
        try:
            yield
        except BaseException as error:
            self.close()
            if isinstance(error, WorldError):
                raise ConfigError(f"{self._schema.field}: {error.detail}. {self._schema.if_damaged}") from error
            raise

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """All of what happens inside, or nothing; on disk at the end.

        Raises:
            WorldError: ``store-unavailable``; then nothing happened.
        """
        with self._translated(), _transaction(self._connection):
            if not self._exclusive:
                self._check_version()
            yield self

    def execute(self, statement: str, values: Sequence[Value] = ()) -> int:
        """Runs a statement; returns how many rows it changed.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._translated():
            return self._connection.execute(statement, values).rowcount

    def execute_many(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        """Runs a statement for each of these rows.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._translated():
            self._connection.executemany(statement, rows)

    def insert(self, statement: str, values: Sequence[Value]) -> int:
        """Runs an INSERT of one row; returns its row id.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._translated():
            return self._connection.execute(statement, values).lastrowid or 0

    def rows(self, query: str, values: Sequence[Value] = ()) -> list[Row]:
        """All rows of a query.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._translated():
            return self._connection.execute(query, values).fetchall()

    def each_row(self, query: str, values: Sequence[Value] = ()) -> Iterator[Row]:
        """The rows of a query, read one at a time.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._translated():
            yield from self._connection.execute(query, values)

    def first_row(self, query: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row of a query, or None.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._translated():
            row: Row | None = self._connection.execute(query, values).fetchone()
            return row

    def _check_version(self) -> None:
        """Another process with newer software may have migrated the file since this one opened it."""
        [(version,)] = self.rows("PRAGMA user_version")
        if version != self._schema.version:
            detail = f"{self.path}: another process migrated it to version {version}; stop this {self._schema.program}"
            raise WorldError(Reason.STORE_UNAVAILABLE, detail)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise WorldError(Reason.STORE_UNAVAILABLE, f"{self.path}: {error}") from error


def copy_of(path: Path, version: int) -> Path:
    """Where the copy of a database is kept that was made before it left this version."""
    return path.with_name(f"{path.name}.copy-of-version-{version}")


@contextmanager
def _naming(path: Path, schema: Schema) -> Iterator[None]:
    """Turns failures to open the file into sentences that name the setting and the file."""
    try:
        yield
    except sqlite3.Error as error:
        advice = f"It must be a file that the {schema.program} made, in a folder where this process may write. "
        advice += schema.if_damaged
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:  # errors of the module itself have no code
            advice = f"Stop another {schema.program} that uses it"
        raise ConfigError(f"{schema.field}: {path}: {error}. {advice}") from error
    except OSError as error:
        raise ConfigError(f"{schema.field}: {path}: {error.strerror}") from error


def _make(path: Path) -> None:
    """Makes an empty file. An existing one is not touched: closing it would drop this process's locks on it."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _prepare(connection: sqlite3.Connection, path: Path, schema: Schema, *, exclusive: bool) -> None:
    if exclusive:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    _version(connection, path, schema)  # first: a file of another program must stay as it is
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    with _transaction(connection):
        pass  # shows that the file can be written to; an exclusive connection keeps the lock from here on
    is_new = not _tables(connection)
    while (version := _version(connection, path, schema)) < schema.version:
        copied = version > 0 and not is_new
        if copied and exclusive:  # nobody else can write
            _copy(connection, path, schema, version)
        with _transaction(connection):
            if _version(connection, path, schema) != version:
                continue  # another process was faster
            if copied and not exclusive:
                with closing(sqlite3.connect(path)) as reader:  # a connection cannot copy while it writes
                    _copy(reader, path, schema, version)
            _migrate(connection, schema, version + 1)
    connection.execute("PRAGMA foreign_keys = ON")


def _migrate(connection: sqlite3.Connection, schema: Schema, version: int) -> None:
    _run(connection, schema.migrations[version - 1])
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise sqlite3.IntegrityError(f"the migration to version {version} left a row without its parent")
    connection.execute(f"PRAGMA user_version = {version}")


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Runs a script inside the open transaction; ``executescript`` would commit it first."""
    statement = ""
    for part in script.rstrip().removesuffix(";").split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):  # a trigger has semicolons inside
            connection.execute(statement)
            statement = ""


def _version(connection: sqlite3.Connection, path: Path, schema: Schema) -> int:
    """The file's version; 0 if it has no tables, or has those of version 1 from before versions were numbered.

    Raises:
        ConfigError: the file is of a newer version, or another program made it.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    present, known = _tables(connection), schema.tables(max(version, 1))
    if version > schema.version and present & known:
        raise ConfigError(f"{schema.field}: {path}: {_newer(path, schema, version)}")
    is_ours = present <= known if version == 0 else version <= schema.version and present >= known
    if not is_ours:
        raise ConfigError(
            f"{schema.field}: {path}: another program made this database; name a file that the {schema.program} made, "
            "or a new one"
        )
    return int(version)


def _newer(path: Path, schema: Schema, version: int) -> str:
    sentence = (
        f"has version {version}, this software knows versions up to {schema.version}. Install the newer software again"
    )
    copy = copy_of(path, schema.version)
    if copy.exists():
        sentence += f"; or stop all that use the file and put {copy} in its place, which loses all later changes"
    return sentence


def _copy(source: sqlite3.Connection, path: Path, schema: Schema, version: int) -> None:
    """Copies the file; when this returns, the copy is on disk.

    Raises:
        ConfigError: there is no room for it.
    """
    copy = copy_of(path, version)
    unfinished = copy.with_name(f".{copy.name}.new")
    try:
        unfinished.unlink(missing_ok=True)
        _make(unfinished)
        with closing(sqlite3.connect(unfinished)) as target:
            target.execute("PRAGMA journal_mode = OFF")  # a copy that was cut short is made again from its beginning
            source.backup(target)
        descriptor = os.open(unfinished, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        unfinished.replace(copy)
        sync_folder(copy.parent)
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(
            f"{schema.field}: {path}: cannot be copied to {copy} before its tables change: {error}. Nothing has "
            "changed; make room, then start again"
        ) from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    with connection:  # commits, or rolls back
        connection.execute("BEGIN IMMEDIATE")
        yield


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute(_TABLES)}
