"""What was said, what stands, and what is still to be delivered, in one SQLite file.

Promises: what :meth:`AlertStore.commit` took is on disk when it returns, all of it or nothing (WAL, synchronous FULL).
An alert leaves a receiver's queue only by :meth:`AlertStore.delivered`, by being given up, or by the queue's limit:
then the oldest is given up. Alerts given up are kept, the newest of them, for :meth:`AlertStore.failed`. Each instance
is used by one thread; several may have the same file open.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from relying_party.alerts.delivery import Delivery, Depth, Ended, Receivers
from relying_party.alerts.ledger import Batch, Outgoing
from relying_party.alerts.rules import Headline, Memory
from runtime import clock
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.identifiers import Ueid
from schemas.messages.alert import Alert, Condition, encode_alert, parse_unverified_alert
from schemas.reasons import Reason

MAX_FAILED: Final = 1000  # of one receiver; the oldest are forgotten
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL,
  installation BLOB NOT NULL, serial INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS result (ueid BLOB NOT NULL, verifier TEXT NOT NULL, token BLOB NOT NULL,
  PRIMARY KEY (ueid, verifier)) STRICT;
CREATE TABLE IF NOT EXISTS memory (ueid BLOB PRIMARY KEY, condition TEXT NOT NULL, reasons TEXT NOT NULL,
  rule TEXT NOT NULL, differs_since_s INTEGER, storm INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS stands (key TEXT PRIMARY KEY, alert BLOB NOT NULL, receivers TEXT NOT NULL,
  starts_s INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS ended (number INTEGER PRIMARY KEY AUTOINCREMENT, receiver TEXT NOT NULL,
  alert BLOB NOT NULL, starts_s INTEGER NOT NULL, ends_s INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY AUTOINCREMENT, receiver TEXT NOT NULL,
  alert BLOB NOT NULL, made_s INTEGER NOT NULL, next_s INTEGER NOT NULL, tries INTEGER NOT NULL,
  failed INTEGER NOT NULL, why TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (receiver, failed, next_s, number);
"""
_BUSY_S: Final = 10.0


class AlertStore:
    """One connection to the file."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it.

        Raises:
            ConfigError: it is not such a database, or cannot be opened.
        """
        self._path = path
        try:
            self._database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
            self._database.execute("INSERT OR IGNORE INTO meta VALUES (1, ?, ?, 0)", (_VERSION, clock.random_bytes(16)))
            version, self.installation, self.serial = self._database.execute(
                "SELECT version, installation, serial FROM meta"
            ).fetchone()
        except sqlite3.Error as error:
            raise ConfigError(
                f"database: {path}: {error}. It must be a file that `relying-party alerts` made, in a folder it may "
                "write to; if it is damaged, move it away: what is bad then is told again"
            ) from error
        if version != _VERSION:
            self._database.close()
            raise ConfigError(f"database: {path}: of version {version}, expected {_VERSION}")

    def close(self) -> None:
        """Closes the file; nothing is lost without."""
        self._database.close()

    def tokens(self) -> Iterator[bytes]:
        """The newest result of each attester by each verifier, as they were signed.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._translated():
            yield from (row[0] for row in self._database.execute("SELECT token FROM result"))

    def token(self, ueid: Ueid, verifier: str) -> bytes | None:
        """The newest stored result about an attester by a verifier.

        Raises:
            WorldError: ``store-unavailable``.
        """
        query = "SELECT token FROM result WHERE ueid = ? AND verifier = ?"
        with self._translated():
            row = self._database.execute(query, (ueid, verifier)).fetchone()
        return None if row is None else bytes(row[0])

    def memories(self) -> list[Memory]:
        """What was said of each attester.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._translated():
            rows = self._database.execute("SELECT * FROM memory").fetchall()
        return [
            Memory(
                ueid=Ueid(ueid),
                said=Headline(condition=Condition(condition), reasons=tuple(json.loads(reasons))),
                rule=rule,
                differs_since_s=differs_since_s,
                storm=bool(storm),
            )
            for ueid, condition, reasons, rule, differs_since_s, storm in rows
        ]

    def commit(
        self, tokens: Mapping[tuple[Ueid, str], bytes], batch: Batch, receivers: Receivers, now_s: int
    ) -> list[str]:
        """Stores results, and everything of one moment, in one step.

        Args:
            tokens: the newest result by attester and verifier.
            batch: what to say, what stands, what is known to be said.
            receivers: whose queues it goes to.
            now_s: UTC seconds.

        Returns:
            receivers whose oldest alert was given up, once for each.

        Raises:
            WorldError: ``store-unavailable``; then nothing of it happened.
        """
        with self._transaction() as database:
            database.executemany(
                "INSERT OR REPLACE INTO result VALUES (?, ?, ?)",
                [(ueid, verifier, token) for (ueid, verifier), token in tokens.items()],
            )
            database.executemany(
                "INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        each.ueid,
                        each.said.condition.value,
                        json.dumps(each.said.reasons),
                        each.rule,
                        each.differs_since_s,
                        int(each.storm),
                    )
                    for each in batch.memories
                ],
            )
            for key in (*batch.lowered, *batch.raised):
                self._end(key, batch.raised.get(key), receivers, now_s)
            database.executemany(
                "INSERT OR REPLACE INTO stands VALUES (?, ?, ?, ?)",
                [
                    (key, encode_alert(each.alert), json.dumps(each.receivers), each.alert.made_s)
                    for key, each in batch.raised.items()
                ],
            )
            dropped = self._queue(batch.outgoing, receivers, now_s)
            database.execute("UPDATE meta SET serial = max(serial, ?)", (batch.serial,))
        return dropped

    def standing(self) -> list[tuple[str, Alert, tuple[str, ...], int]]:
        """What stands: its key, its alert, who is to hear of it (empty for all), since when.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._translated():
            rows = self._database.execute("SELECT key, alert, receivers, starts_s FROM stands ORDER BY key").fetchall()
        return [
            (key, parse_unverified_alert(alert), tuple(json.loads(to)), starts_s) for key, alert, to, starts_s in rows
        ]

    def ended(self, receiver: str, limit: int) -> list[Ended]:
        """What a stateful receiver was not told to have ended, oldest first.

        Raises:
            WorldError: ``store-unavailable``.
        """
        query = "SELECT number, alert, starts_s, ends_s FROM ended WHERE receiver = ? ORDER BY number LIMIT ?"
        with self._translated():
            rows = self._database.execute(query, (receiver, limit)).fetchall()
        return [
            Ended(number=number, alert=parse_unverified_alert(alert), starts_s=starts_s, ends_s=ends_s)
            for number, alert, starts_s, ends_s in rows
        ]

    def told_ended(self, numbers: Iterable[int]) -> None:
        """Removes what a receiver was told to have ended.

        Raises:
            WorldError: ``store-unavailable``; then it is told again.
        """
        with self._transaction() as database:
            database.executemany("DELETE FROM ended WHERE number = ?", [(number,) for number in numbers])

    def due(self, receiver: str, now_s: int) -> Delivery | None:
        """The oldest alert that is to be tried now.

        Raises:
            WorldError: ``store-unavailable``.
        """
        query = (
            "SELECT number, receiver, alert, made_s, tries, why FROM outbox WHERE receiver = ? AND failed = 0 "
            "AND next_s <= ? ORDER BY number LIMIT 1"
        )
        with self._translated():
            row = self._database.execute(query, (receiver, now_s)).fetchone()
        return None if row is None else _delivery(row)

    def delivered(self, delivery: Delivery) -> None:
        """Removes an alert that its receiver has.

        Raises:
            WorldError: ``store-unavailable``; then it is sent again, under the same id.
        """
        with self._transaction() as database:
            database.execute("DELETE FROM outbox WHERE number = ?", (delivery.number,))

    def put_off(self, delivery: Delivery, until_s: int, why: str) -> None:
        """Notes a try that failed, and when the next is to be, UTC seconds.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._transaction() as database:
            query = "UPDATE outbox SET tries = tries + 1, next_s = ?, why = ? WHERE number = ?"
            database.execute(query, (until_s, why, delivery.number))

    def give_up(self, delivery: Delivery, why: str) -> None:
        """Sets an alert aside: it is not tried again unless an operator says so.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._transaction() as database:
            query = "UPDATE outbox SET failed = 1, tries = tries + 1, why = ? WHERE number = ?"
            database.execute(query, (why, delivery.number))
            self._forget_failed(delivery.receiver)

    def failed(self) -> list[Delivery]:
        """What was given up, oldest first.

        Raises:
            WorldError: ``store-unavailable``.
        """
        query = "SELECT number, receiver, alert, made_s, tries, why FROM outbox WHERE failed = 1 ORDER BY number"
        with self._translated():
            return [_delivery(row) for row in self._database.execute(query).fetchall()]

    def retry_failed(self, now_s: int) -> int:
        """Queues again what was given up, as if made now, UTC seconds; returns how many.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._transaction() as database:
            query = "UPDATE outbox SET failed = 0, tries = 0, made_s = ?, next_s = ? WHERE failed = 1"
            return database.execute(query, (now_s, now_s)).rowcount

    def depth(self, receiver: str) -> Depth:
        """How much waits for a receiver.

        Raises:
            WorldError: ``store-unavailable``.
        """
        query = "SELECT count(*), min(made_s) FROM outbox WHERE receiver = ? AND failed = ?"
        with self._translated():
            queued, oldest_s = self._database.execute(query, (receiver, 0)).fetchone()
            failed, _ = self._database.execute(query, (receiver, 1)).fetchone()
        return Depth(queued=queued, oldest_s=oldest_s, failed=failed)

    def _end(self, key: str, successor: Outgoing | None, receivers: Receivers, now_s: int) -> None:
        """Takes down what stands under ``key``; stateful receivers are to be told, unless it goes on as it was."""
        query = "SELECT alert, receivers, starts_s FROM stands WHERE key = ?"
        row = self._database.execute(query, (key,)).fetchone()
        if row is None:
            return
        alert, to, starts_s = row
        parsed, named = parse_unverified_alert(alert), tuple(json.loads(to))
        if successor is not None and _same_alert(parsed, successor.alert):
            return
        for receiver in receivers.stateful:
            if not named or receiver in named:
                values = (receiver, alert, starts_s, max(now_s, starts_s + 1))
                insert = "INSERT INTO ended (receiver, alert, starts_s, ends_s) VALUES (?, ?, ?, ?)"
                self._database.execute(insert, values)
        self._database.execute("DELETE FROM stands WHERE key = ?", (key,))

    def _queue(self, outgoing: Sequence[Outgoing], receivers: Receivers, now_s: int) -> list[str]:
        insert = (
            "INSERT INTO outbox (receiver, alert, made_s, next_s, tries, failed, why) VALUES (?, ?, ?, ?, 0, 0, '')"
        )
        dropped = []
        for receiver in receivers.queued:
            mine = [each for each in outgoing if each.asked_for and (not each.receivers or receiver in each.receivers)]
            self._database.executemany(insert, [(receiver, encode_alert(each.alert), now_s, now_s) for each in mine])
            over = (
                "UPDATE outbox SET failed = 1, why = 'the queue was full' WHERE number IN (SELECT number FROM outbox "
                "WHERE receiver = ? AND failed = 0 ORDER BY number DESC LIMIT -1 OFFSET ?)"
            )
            if self._database.execute(over, (receiver, receivers.max_queued)).rowcount > 0:
                dropped.append(receiver)
                self._forget_failed(receiver)
        return dropped

    def _forget_failed(self, receiver: str) -> None:
        query = (
            "DELETE FROM outbox WHERE number IN (SELECT number FROM outbox WHERE receiver = ? AND failed = 1 "
            "ORDER BY number DESC LIMIT -1 OFFSET ?)"
        )
        self._database.execute(query, (receiver, MAX_FAILED))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on disk at its end."""
        with self._translated(), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            yield self._database

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, PeerError) as error:
            raise WorldError(Reason.STORE_UNAVAILABLE, f"{self._path}: {error}") from error


def _same_alert(before: Alert, after: Alert) -> bool:
    """Whether stateful receivers take both for one."""
    return (before.kind, before.ueid, before.condition, before.verifier, before.rule) == (
        after.kind,
        after.ueid,
        after.condition,
        after.verifier,
        after.rule,
    )


def _delivery(row: Sequence[object]) -> Delivery:
    number, receiver, alert, made_s, tries, why = row
    assert isinstance(number, int) and isinstance(made_s, int) and isinstance(tries, int)  # noqa: PT018, S101 STRICT
    assert isinstance(alert, bytes)  # noqa: S101 a STRICT column
    return Delivery(
        number=number,
        receiver=str(receiver),
        alert=parse_unverified_alert(alert),
        made_s=made_s,
        tries=tries,
        why=str(why),
    )
