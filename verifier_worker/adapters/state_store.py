"""State in SQLite: attesters, the outbox, trust objects. One process owns the file.

Write-ahead log with ``synchronous = FULL``: a committed transaction survives a power cut. One transaction a batch.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from prometheus_client import Histogram
from typing_extensions import override

from runtime.clock import monotonic_s
from schemas.errors import ConfigError, WorldError
from schemas.identifiers import Ueid
from schemas.reasons import Reason
from verifier_worker.core.state_codec import decode_state, encode_state
from verifier_worker.ports import Outcome, Pending, StateStore, StoredAttester

SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE attester (
    ueid BLOB PRIMARY KEY, state BLOB NOT NULL, result BLOB, result_expires_us INTEGER NOT NULL, deadline_us INTEGER
) WITHOUT ROWID;
CREATE INDEX attester_deadline ON attester (deadline_us) WHERE deadline_us IS NOT NULL;
CREATE TABLE pending (
    number INTEGER PRIMARY KEY AUTOINCREMENT, ueid BLOB NOT NULL, result BLOB, expires_us INTEGER NOT NULL, audit BLOB
);
CREATE TABLE trust (
    kind TEXT NOT NULL, key BLOB NOT NULL, raw BLOB NOT NULL, keep_until_us INTEGER NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
"""

COMMIT_SECONDS: Final = Histogram(
    "attestream_store_commit_seconds",
    "Time of one transaction of the state database, one a batch",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)

P = ParamSpec("P")
R = TypeVar("R")


def _translated(method: Callable[P, R]) -> Callable[P, R]:
    """Turns sqlite3's errors into ``WorldError``."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except sqlite3.Error as error:
            raise WorldError(Reason.STORE_UNAVAILABLE, f"state database: {error}") from error

    return call


class SqliteStateStore(StateStore):
    """The default state store. Owned by the worker's loop thread."""

    def __init__(self, path: Path) -> None:
        """Opens the database, or makes it.

        Raises:
            ConfigError: the file cannot be used, or is of another version, or another process holds it.
        """
        try:
            self._db = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
            elif version != SCHEMA_VERSION:
                raise ConfigError(f"database: {path}: schema version {version}, this software knows {SCHEMA_VERSION}")
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise ConfigError(f"database: {path}: {error}; is another verifier using it?") from error
        self._trust: list[tuple[str, bytes, bytes, int]] = []

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    @override
    @_translated
    def load(self, ueid: Ueid) -> StoredAttester | None:
        row = self._db.execute(
            "SELECT state, result, result_expires_us FROM attester WHERE ueid = ?", (ueid,)
        ).fetchone()
        state = decode_state(row[0]) if row is not None else None
        if row is None or state is None:
            return None
        return StoredAttester(state=state, result=row[1], result_expires_us=row[2])

    @override
    @_translated
    def commit(self, outcomes: Sequence[Outcome], done: Iterable[int]) -> Sequence[Pending]:
        stored: list[Pending] = []
        db, started_s = self._db, monotonic_s()
        db.execute("BEGIN IMMEDIATE")
        try:
            for outcome in {outcome.ueid: outcome for outcome in outcomes if outcome.state is not None}.values():
                self._store(outcome)
            for outcome in outcomes:
                if outcome.result is None and outcome.audit is None:
                    continue
                row = (outcome.ueid, outcome.result, outcome.expires_us, outcome.audit)
                cursor = db.execute("INSERT INTO pending (ueid, result, expires_us, audit) VALUES (?, ?, ?, ?)", row)
                number = cursor.lastrowid or 0
                stored.append(
                    Pending(
                        number=number,
                        ueid=outcome.ueid,
                        result=outcome.result,
                        expires_us=outcome.expires_us,
                        audit=outcome.audit,
                        arrival=outcome.arrival,
                    )
                )
            db.executemany("DELETE FROM pending WHERE number = ?", [(number,) for number in done])
            db.executemany("INSERT OR REPLACE INTO trust VALUES (?, ?, ?, ?)", self._trust)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        COMMIT_SECONDS.observe(monotonic_s() - started_s)
        self._trust.clear()
        return stored

    def _store(self, outcome: Outcome) -> None:
        if outcome.state is None:
            return
        raw, deadline = encode_state(outcome.state), outcome.state.deadline_us
        if outcome.result is None:
            self._db.execute(
                "UPDATE attester SET state = ?, deadline_us = ? WHERE ueid = ?", (raw, deadline, outcome.ueid)
            )
        else:
            row = (outcome.ueid, raw, outcome.result, outcome.expires_us, deadline)
            self._db.execute("INSERT OR REPLACE INTO attester VALUES (?, ?, ?, ?, ?)", row)

    @override
    @_translated
    def number_after(self, last: int) -> None:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'pending'").fetchone()
        if row is None:
            self._db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('pending', ?)", (last,))
        elif row[0] < last:
            self._db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'pending'", (last,))

    @override
    @_translated
    def pending(self) -> Sequence[Pending]:
        rows = self._db.execute("SELECT number, ueid, result, expires_us, audit FROM pending ORDER BY number")
        return [
            Pending(number=number, ueid=Ueid(ueid), result=result, expires_us=expires_us, audit=audit)
            for number, ueid, result, expires_us, audit in rows
        ]

    @override
    @_translated
    def due(self, now_us: int, limit: int) -> Sequence[Ueid]:
        rows = self._db.execute(
            "SELECT ueid FROM attester WHERE deadline_us <= ? ORDER BY deadline_us LIMIT ?", (now_us, limit)
        )
        return [Ueid(ueid) for (ueid,) in rows]

    @override
    @_translated
    def forget(self, ueid: Ueid) -> None:
        self._db.execute("DELETE FROM attester WHERE ueid = ?", (ueid,))

    @override
    @_translated
    def attesters(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM attester").fetchone()
        return int(count)

    @override
    @_translated
    def load_trust(self) -> Sequence[tuple[str, bytes]]:
        return [(kind, raw) for kind, raw in self._db.execute("SELECT kind, raw FROM trust ORDER BY kind, key")]

    @override
    def save_trust(self, kind: str, key: bytes, raw: bytes, keep_until_us: int) -> None:
        self._trust.append((kind, key, raw, keep_until_us))

    @override
    @_translated
    def prune_trust(self, now_us: int) -> None:
        self._db.execute("DELETE FROM trust WHERE keep_until_us < ?", (now_us,))
