"""State in SQLite: attesters, the outbox, trust objects. One process owns the file.

Write-ahead log with ``synchronous = FULL``: a committed transaction survives a power cut. One transaction a batch.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import Histogram
from typing_extensions import override

from runtime.clock import monotonic_s
from runtime.database import Database, Schema
from schemas.identifiers import Ueid
from verifier_worker.core.state_codec import decode_state, encode_state
from verifier_worker.ports import Outcome, Pending, StateStore, StoredAttester

_VERSION_1: Final = """
CREATE TABLE IF NOT EXISTS attester (
    ueid BLOB PRIMARY KEY, state BLOB NOT NULL, result BLOB, result_expires_us INTEGER NOT NULL, deadline_us INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attester_deadline ON attester (deadline_us) WHERE deadline_us IS NOT NULL;
CREATE TABLE IF NOT EXISTS pending (
    number INTEGER PRIMARY KEY AUTOINCREMENT, ueid BLOB NOT NULL, result BLOB, expires_us INTEGER NOT NULL, audit BLOB
);
CREATE TABLE IF NOT EXISTS trust (
    kind TEXT NOT NULL, key BLOB NOT NULL, raw BLOB NOT NULL, keep_until_us INTEGER NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
"""
SCHEMA: Final = Schema(
    field="database",
    program="verifier",
    migrations=(_VERSION_1,),
    if_damaged="If it is damaged, move it away: the verifier then asks every attester for a baseline",
)
_BUSY_S: Final = 1.0

COMMIT_SECONDS: Final = Histogram(
    "attestream_store_commit_seconds",
    "Time of one transaction of the state database, one a batch",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)


class SqliteStateStore(StateStore):
    """The default state store. Owned by the worker's loop thread."""

    def __init__(self, path: Path) -> None:
        """Opens the database, or creates it.

        Raises:
            ConfigError: the file cannot be used, has a later version, or another process holds it.
        """
        self._db = Database(path, SCHEMA, busy_s=_BUSY_S, exclusive=True, any_thread=True)
        self._trust: list[tuple[str, bytes, bytes, int]] = []

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    @override
    def load(self, ueid: Ueid) -> StoredAttester | None:
        row = self._db.first_row("SELECT state, result, result_expires_us FROM attester WHERE ueid = ?", (ueid,))
        state = decode_state(row[0]) if row is not None else None
        if row is None or state is None:
            return None
        return StoredAttester(state=state, result=row[1], result_expires_us=row[2])

    @override
    def commit(self, outcomes: Sequence[Outcome], done: Iterable[int]) -> Sequence[Pending]:
        stored: list[Pending] = []
        started_s = monotonic_s()
        with self._db.transaction() as db:
            for outcome in {outcome.ueid: outcome for outcome in outcomes if outcome.state is not None}.values():
                self._store(outcome)
            for outcome in outcomes:
                if outcome.result is None and outcome.audit is None:
                    continue
                row = (outcome.ueid, outcome.result, outcome.expires_us, outcome.audit)
                number = db.insert("INSERT INTO pending (ueid, result, expires_us, audit) VALUES (?, ?, ?, ?)", row)
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
            db.execute_many("DELETE FROM pending WHERE number = ?", [(number,) for number in done])
            db.execute_many("INSERT OR REPLACE INTO trust VALUES (?, ?, ?, ?)", self._trust)
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
    def number_after(self, last: int) -> None:
        row = self._db.first_row("SELECT seq FROM sqlite_sequence WHERE name = 'pending'")
        if row is None:
            self._db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('pending', ?)", (last,))
        elif row[0] < last:
            self._db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'pending'", (last,))

    @override
    def pending(self) -> Sequence[Pending]:
        rows = self._db.rows("SELECT number, ueid, result, expires_us, audit FROM pending ORDER BY number")
        return [
            Pending(number=number, ueid=Ueid(ueid), result=result, expires_us=expires_us, audit=audit)
            for number, ueid, result, expires_us, audit in rows
        ]

    @override
    def due(self, now_us: int, limit: int) -> Sequence[Ueid]:
        rows = self._db.rows(
            "SELECT ueid FROM attester WHERE deadline_us <= ? ORDER BY deadline_us LIMIT ?", (now_us, limit)
        )
        return [Ueid(ueid) for (ueid,) in rows]

    @override
    def forget(self, ueid: Ueid) -> None:
        self._db.execute("DELETE FROM attester WHERE ueid = ?", (ueid,))

    @override
    def attesters(self) -> int:
        [(count,)] = self._db.rows("SELECT count(*) FROM attester")
        return int(count)

    @override
    def load_trust(self) -> Sequence[tuple[str, bytes]]:
        return [(kind, raw) for kind, raw in self._db.rows("SELECT kind, raw FROM trust ORDER BY kind, key")]

    @override
    def save_trust(self, kind: str, key: bytes, raw: bytes, keep_until_us: int) -> None:
        self._trust.append((kind, key, raw, keep_until_us))

    @override
    def prune_trust(self, now_us: int) -> None:
        self._db.execute("DELETE FROM trust WHERE keep_until_us < ?", (now_us,))
