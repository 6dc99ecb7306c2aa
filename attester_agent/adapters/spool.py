"""State and unsent pushes in one SQLite file.

Promises: what :meth:`Spool.add` took is on disk when it returns, the push and the state that follows it together, so a
process killed at any moment neither loses a push that the state counts nor counts one that is lost (WAL, synchronous
FULL). Pushes leave only by :meth:`Spool.remove` and :meth:`Spool.clear`. Used by one thread.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attester_agent.core.agent_state import AgentState, decode_state, encode_state
from attester_agent.ports import StoredPush
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.reasons import Reason

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS push (number INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL) STRICT;
"""
_BUSY_S: Final = 5.0


class SqliteSpool:
    """``attester_agent.ports.Spool`` in a file."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Opens the file, or makes it.

        Args:
            path: of the database; its folder must exist.
            max_bytes: payloads kept at most.

        Raises:
            ConfigError: the file is not such a database, or cannot be opened.
        """
        self._path = path
        self._max_bytes = max_bytes
        try:
            self._database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
            (self._bytes, self._count) = self._totals()
        except sqlite3.Error as error:
            raise ConfigError(
                f"state: {path}: {error}. It must be a file this agent made, in a folder it may write to; if it is "
                "damaged, move it away: the agent then starts with a full push"
            ) from error

    def close(self) -> None:
        """Closes the file; nothing is lost without."""
        self._database.close()

    @property
    def queued_messages(self) -> int:
        """Pushes that wait for an acknowledgement."""
        return self._count

    @property
    def queued_bytes(self) -> int:
        """Size of their payloads."""
        return self._bytes

    def load(self) -> AgentState | None:
        """The state stored last.

        Raises:
            ConfigError: the state is damaged or of another version.
            WorldError: ``store-unavailable``.
        """
        with self._transaction() as database:
            row = database.execute("SELECT value FROM state").fetchone()
        try:
            return None if row is None else decode_state(row[0])
        except PeerError as error:
            raise ConfigError(
                f"state: {self._path}: {error.detail}; move the file away: the agent then starts with a full push"
            ) from error

    def save(self, state: AgentState) -> None:
        """Replaces the state.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._transaction() as database:
            _replace_state(database, state)

    def fits(self, size: int) -> bool:
        """Whether a payload of ``size`` bytes may be added."""
        return self._bytes + size <= self._max_bytes

    def add(self, state: AgentState, payload: bytes) -> None:
        """Adds a push and replaces the state.

        Raises:
            WorldError: ``store-unavailable``; then neither happened.
        """
        with self._transaction() as database:
            database.execute("INSERT INTO push (payload) VALUES (?)", (payload,))
            _replace_state(database, state)
        self._bytes += len(payload)
        self._count += 1

    def clear(self, state: AgentState) -> None:
        """Removes all pushes and replaces the state.

        Raises:
            WorldError: ``store-unavailable``; then neither happened.
        """
        with self._transaction() as database:
            database.execute("DELETE FROM push")
            _replace_state(database, state)
        self._bytes = self._count = 0

    def waiting(self, after: int, limit: int) -> Sequence[StoredPush]:
        """The oldest pushes with numbers above ``after``.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._transaction() as database:
            rows = database.execute(
                "SELECT number, payload FROM push WHERE number > ? ORDER BY number LIMIT ?", (after, limit)
            ).fetchall()
        return tuple(StoredPush(number=number, payload=payload) for number, payload in rows)

    def remove(self, numbers: Sequence[int]) -> None:
        """Removes acknowledged pushes.

        Raises:
            WorldError: ``store-unavailable``; then they stay and are published again after a restart.
        """
        with self._transaction() as database:
            database.executemany("DELETE FROM push WHERE number = ?", [(number,) for number in numbers])
            totals = self._totals()
        self._bytes, self._count = totals

    def _totals(self) -> tuple[int, int]:
        row = self._database.execute("SELECT coalesce(sum(length(payload)), 0), count(*) FROM push").fetchone()
        return int(row[0]), int(row[1])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on disk at its end."""
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
        except sqlite3.Error as error:
            raise WorldError(Reason.STORE_UNAVAILABLE, f"{self._path}: {error}") from error


def _replace_state(database: sqlite3.Connection, state: AgentState) -> None:
    database.execute("INSERT OR REPLACE INTO state (id, value) VALUES (1, ?)", (encode_state(state),))
