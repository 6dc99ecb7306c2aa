"""Stores results, reports, open alerts and the receivers' queues in one SQLite file.

Promises: :meth:`AlertStore.commit` stores everything or nothing, and all of it is on disk when it returns (WAL,
synchronous FULL). An alert leaves a queue only by :meth:`AlertStore.delivered` or :meth:`AlertStore.give_up`, or when
the queue is full: then the oldest is given up. The newest alerts that were given up are kept for
:meth:`AlertStore.failed`. Each instance belongs to one thread; several may open the same file.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from relying_party.alerts.delivery import ClosedAlert, Delivery, Depth, Receivers
from relying_party.alerts.ledger import Batch, Outgoing
from relying_party.alerts.rules import Headline, Reported
from runtime import clock
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.identifiers import Ueid
from schemas.messages.alert import Alert, Condition, encode_alert, parse_unverified_alert
from schemas.reasons import Reason

MAX_FAILED: Final = 1000  # per receiver; the oldest are deleted
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
        """Opens the file, or creates it.

        Raises:
            ConfigError: it is not a database of alerts, or cannot be opened.
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
                "write to; if it is damaged, move it away: open alerts are then reported again"
            ) from error
        if version != _VERSION:
            self._database.close()
            raise ConfigError(f"database: {path}: of version {version}, expected {_VERSION}")

    def close(self) -> None:
        """Closes the file; a process that ends without closing it loses nothing."""
        self._database.close()

    def tokens(self) -> Iterator[bytes]:
        """The newest signed result about each attester from each verifier.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._translated():
            yield from (row[0] for row in self._database.execute("SELECT token FROM result"))

    def token(self, ueid: Ueid, verifier: str) -> bytes | None:
        """The newest stored result about an attester from a verifier.

        Raises:
            WorldError: ``store-unavailable``.
        """
        query = "SELECT token FROM result WHERE ueid = ? AND verifier = ?"
        with self._translated():
            row = self._database.execute(query, (ueid, verifier)).fetchone()
        return None if row is None else bytes(row[0])

    def reported(self) -> list[Reported]:
        """The last report about each attester.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._translated():
            rows = self._database.execute("SELECT * FROM memory").fetchall()
        return [
            Reported(
                ueid=Ueid(ueid),
                headline=Headline(condition=Condition(condition), reasons=tuple(json.loads(reasons))),
                rule=rule,
                differs_since_s=differs_since_s,
                storm=bool(storm),
            )
            for ueid, condition, reasons, rule, differs_since_s, storm in rows
        ]

    def commit(
        self, tokens: Mapping[tuple[Ueid, str], bytes], batch: Batch, receivers: Receivers, now_s: int
    ) -> list[str]:
        """Stores new results and one batch in one transaction.

        Args:
            tokens: the newest result by attester and verifier.
            batch: of :meth:`AlertLedger.tick`.
            receivers: all of them; each alert goes to the queues of those that it is for.
            now_s: UTC seconds.

        Returns:
            the receivers whose queue was full, so that their oldest alert was given up.

        Raises:
            WorldError: ``store-unavailable``; then nothing was stored.
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
                        each.headline.condition.value,
                        json.dumps(each.headline.reasons),
                        each.rule,
                        each.differs_since_s,
                        int(each.storm),
                    )
                    for each in batch.reported
                ],
            )
            for key in (*batch.closed, *batch.opened):
                self._close(key, batch.opened.get(key), receivers, now_s)
            database.executemany(
                "INSERT OR REPLACE INTO stands VALUES (?, ?, ?, ?)",
                [
                    (key, encode_alert(each.alert), json.dumps(each.receivers), each.alert.made_s)
                    for key, each in batch.opened.items()
                ],
            )
            dropped = self._queue(batch.outgoing, receivers, now_s)
            database.execute("UPDATE meta SET serial = max(serial, ?)", (batch.serial,))
        return dropped

    def open_alerts(self) -> list[tuple[str, Alert, tuple[str, ...], int]]:
        """All open alerts: key, alert, names of its receivers (empty for all), since when (UTC seconds).

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._translated():
            rows = self._database.execute("SELECT key, alert, receivers, starts_s FROM stands ORDER BY key").fetchall()
        return [
            (key, parse_unverified_alert(alert), tuple(json.loads(to)), starts_s) for key, alert, to, starts_s in rows
        ]

    def closed_alerts(self, receiver: str, limit: int) -> list[ClosedAlert]:
        """The closed alerts that a stateful receiver does not know to be closed, oldest first.

        Raises:
            WorldError: ``store-unavailable``.
        """
        query = "SELECT number, alert, starts_s, ends_s FROM ended WHERE receiver = ? ORDER BY number LIMIT ?"
        with self._translated():
            rows = self._database.execute(query, (receiver, limit)).fetchall()
        return [
            ClosedAlert(number=number, alert=parse_unverified_alert(alert), starts_s=starts_s, ends_s=ends_s)
            for number, alert, starts_s, ends_s in rows
        ]

    def forget_closed(self, numbers: Iterable[int]) -> None:
        """Removes closed alerts that their receiver now knows to be closed.

        Raises:
            WorldError: ``store-unavailable``; then they are sent again.
        """
        with self._transaction() as database:
            database.executemany("DELETE FROM ended WHERE number = ?", [(number,) for number in numbers])

    def due(self, receiver: str, now_s: int) -> Delivery | None:
        """The oldest alert in a receiver's queue that is due.

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
        """Removes an alert that its receiver has received.

        Raises:
            WorldError: ``store-unavailable``; then it is sent again, under the same id.
        """
        with self._transaction() as database:
            database.execute("DELETE FROM outbox WHERE number = ?", (delivery.number,))

    def put_off(self, delivery: Delivery, until_s: int, why: str) -> None:
        """Notes a failed try, and when to try again, UTC seconds.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._transaction() as database:
            query = "UPDATE outbox SET tries = tries + 1, next_s = ?, why = ? WHERE number = ?"
            database.execute(query, (until_s, why, delivery.number))

    def give_up(self, delivery: Delivery, why: str) -> None:
        """Sets an alert aside: it is not tried again unless an operator asks for it.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._transaction() as database:
            query = "UPDATE outbox SET failed = 1, tries = tries + 1, why = ? WHERE number = ?"
            database.execute(query, (why, delivery.number))
            self._forget_failed(delivery.receiver)

    def failed(self) -> list[Delivery]:
        """The alerts that were given up, oldest first.

        Raises:
            WorldError: ``store-unavailable``.
        """
        query = "SELECT number, receiver, alert, made_s, tries, why FROM outbox WHERE failed = 1 ORDER BY number"
        with self._translated():
            return [_delivery(row) for row in self._database.execute(query).fetchall()]

    def retry_failed(self, now_s: int) -> int:
        """Queues the alerts that were given up again, as if made at ``now_s``, UTC seconds; returns how many.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._transaction() as database:
            query = "UPDATE outbox SET failed = 0, tries = 0, made_s = ?, next_s = ? WHERE failed = 1"
            return database.execute(query, (now_s, now_s)).rowcount

    def depth(self, receiver: str) -> Depth:
        """The state of a receiver's queue.

        Raises:
            WorldError: ``store-unavailable``.
        """
        query = "SELECT count(*), min(made_s) FROM outbox WHERE receiver = ? AND failed = ?"
        with self._translated():
            queued, oldest_s = self._database.execute(query, (receiver, 0)).fetchone()
            failed, _ = self._database.execute(query, (receiver, 1)).fetchone()
        return Depth(queued=queued, oldest_s=oldest_s, failed=failed)

    def _close(self, key: str, successor: Outgoing | None, receivers: Receivers, now_s: int) -> None:
        """Closes the open alert under ``key``, for stateful receivers too; unless its successor is the same to them."""
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
            mine = [each for each in outgoing if each.is_wanted and (not each.receivers or receiver in each.receivers)]
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
        """Stores everything or nothing; it is on disk at the end."""
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
    """Whether stateful receivers treat both as one alert."""
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
