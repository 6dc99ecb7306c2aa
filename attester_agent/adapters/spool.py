"""Stores the state and the unsent pushes in one SQLite file.

:meth:`SqliteSpool.add` writes a push and the state that follows it in one transaction (invariant I26), and both are on
disk when it returns (WAL, synchronous FULL). Pushes leave only by :meth:`SqliteSpool.remove` and
:meth:`SqliteSpool.clear`. Used by one thread.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attester_agent.core.agent_state import AgentState, decode_state, encode_state
from attester_agent.ports import StoredPush
from runtime.database import Database, Schema
from schemas.errors import ConfigError, PeerError

_VERSION_1: Final = """
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS push (number INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL) STRICT;
"""
SCHEMA: Final = Schema(
    field="state",
    program="agent",
    migrations=(_VERSION_1,),
    if_damaged="If it is damaged, move it away: the agent then starts with a full push",
)
_BUSY_S: Final = 5.0


class SqliteSpool:
    """Implements ``attester_agent.ports.Spool`` with a file."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Opens the file, or makes it.

        Args:
            path: of the database; its folder must exist.
            max_bytes: for all payloads together.

        Raises:
            ConfigError: the file is not such a database, or cannot be opened.
        """
        self._max_bytes = max_bytes
        self._database = Database(path, SCHEMA, busy_s=_BUSY_S)
        with self._database.first_use():
            self._bytes, self._count = self._totals()

    def close(self) -> None:
        """Closes the file. Without it nothing is lost."""
        self._database.close()

    @property
    def queued_messages(self) -> int:
        """How many pushes wait for an acknowledgement."""
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
        with self._database.transaction() as database:
            row = database.first_row("SELECT value FROM state")
        try:
            return None if row is None else decode_state(row[0])
        except PeerError as error:
            raise ConfigError(
                f"state: {self._database.path}: {error.detail}; move the file away: the agent then starts with a full "
                "push"
            ) from error

    def save(self, state: AgentState) -> None:
        """Replaces the state.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            _replace_state(database, state)

    def fits(self, size: int) -> bool:
        """Whether a payload of ``size`` bytes may be added."""
        return self._bytes + size <= self._max_bytes

    def add(self, state: AgentState, payload: bytes) -> None:
        """Adds a push and replaces the state.

        Raises:
            WorldError: ``store-unavailable``; then neither happened.
        """
        with self._database.transaction() as database:
            database.execute("INSERT INTO push (payload) VALUES (?)", (payload,))
            _replace_state(database, state)
        self._bytes += len(payload)
        self._count += 1

    def clear(self, state: AgentState) -> None:
        """Removes all pushes and replaces the state.

        Raises:
            WorldError: ``store-unavailable``; then neither happened.
        """
        with self._database.transaction() as database:
            database.execute("DELETE FROM push")
            _replace_state(database, state)
        self._bytes = self._count = 0

    def waiting(self, after: int, limit: int) -> Sequence[StoredPush]:
        """The oldest pushes with numbers above ``after``.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            rows = database.rows(
                "SELECT number, payload FROM push WHERE number > ? ORDER BY number LIMIT ?", (after, limit)
            )
        return tuple(StoredPush(number=number, payload=payload) for number, payload in rows)

    def remove(self, numbers: Sequence[int]) -> None:
        """Removes acknowledged pushes.

        Raises:
            WorldError: ``store-unavailable``; then they stay, and are published again after a restart.
        """
        with self._database.transaction() as database:
            database.execute_many("DELETE FROM push WHERE number = ?", [(number,) for number in numbers])
            totals = self._totals()
        self._bytes, self._count = totals

    def _totals(self) -> tuple[int, int]:
        [(size, count)] = self._database.rows("SELECT coalesce(sum(length(payload)), 0), count(*) FROM push")
        return size, count


def _replace_state(database: Database, state: AgentState) -> None:
    database.execute("INSERT OR REPLACE INTO state (id, value) VALUES (1, ?)", (encode_state(state),))
