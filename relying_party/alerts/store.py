"""Stores results, reports, open alerts and the receivers' queues in one SQLite file.

Promises: :meth:`AlertStore.commit` stores everything or nothing, and all of it is on disk when it returns (WAL,
synchronous FULL). An alert leaves a queue only by :meth:`AlertStore.delivered` or :meth:`AlertStore.give_up`, or when
the queue is full: then the oldest is given up. The newest alerts that were given up are kept for
:meth:`AlertStore.failed`. Each instance belongs to one thread; several may open the same file.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from relying_party.alerts.delivery import ClosedAlert, Delivery, Depth, Receivers
from relying_party.alerts.ledger import Batch, Outgoing
from relying_party.alerts.rules import Headline, Reported
from runtime import clock
from runtime.database import Database, Schema
from schemas.errors import PeerError, WorldError
from schemas.identifiers import Ueid
from schemas.messages.alert import Alert, Condition, encode_alert, parse_unverified_alert
from schemas.reasons import Reason

MAX_FAILED: Final = 1000  # per receiver; the oldest are deleted
_VERSION_1: Final = """
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
SCHEMA: Final = Schema(
    field="database",
    program="alert service",
    migrations=(_VERSION_1,),  # a later one also sets meta.version, which is all that the first release looks at
    if_damaged="If it is damaged, move it away: open alerts are then reported again",
)
_INSTALL: Final = "INSERT OR IGNORE INTO meta VALUES (1, 1, ?, 0)"
_BUSY_S: Final = 10.0


class AlertStore:
    """One connection to the file."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or creates it.

        Raises:
            ConfigError: it is not a database of alerts, or cannot be opened.
        """
        self._database = Database(path, SCHEMA, busy_s=_BUSY_S)
        with self._database.first_use():
            self._database.execute(_INSTALL, (clock.random_bytes(16),))
            [(self.installation, self.serial)] = self._database.rows("SELECT installation, serial FROM meta")

    def close(self) -> None:
        """Closes the file; a process that ends without closing it loses nothing."""
        self._database.close()

    def tokens(self) -> Iterator[bytes]:
        """The newest signed result about each attester from each verifier.

        Raises:
            WorldError: ``store-unavailable``.
        """
        for (token,) in self._database.each_row("SELECT token FROM result"):
            yield token

    def reported(self) -> list[Reported]:
        """The last report about each attester.

        Raises:
            WorldError: ``store-unavailable``.
        """
        rows = self._database.rows("SELECT * FROM memory")
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
            database.execute_many(
                "INSERT OR REPLACE INTO result VALUES (?, ?, ?)",
                [(ueid, verifier, token) for (ueid, verifier), token in tokens.items()],
            )
            database.execute_many(
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
            database.execute_many(
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
        rows = self._database.rows("SELECT key, alert, receivers, starts_s FROM stands ORDER BY key")
        return [
            (key, parse_unverified_alert(alert), tuple(json.loads(to)), starts_s) for key, alert, to, starts_s in rows
        ]

    def closed_alerts(self, receiver: str, limit: int) -> list[ClosedAlert]:
        """The closed alerts that a stateful receiver does not know to be closed, oldest first.

        Raises:
            WorldError: ``store-unavailable``.
        """
        query = "SELECT number, alert, starts_s, ends_s FROM ended WHERE receiver = ? ORDER BY number LIMIT ?"
        rows = self._database.rows(query, (receiver, limit))
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
            database.execute_many("DELETE FROM ended WHERE number = ?", [(number,) for number in numbers])

    def due(self, receiver: str, now_s: int) -> Delivery | None:
        """The oldest alert in a receiver's queue that is due.

        Raises:
            WorldError: ``store-unavailable``.
        """
        query = (
            "SELECT number, receiver, alert, made_s, tries, why FROM outbox WHERE receiver = ? AND failed = 0 "
            "AND next_s <= ? ORDER BY number LIMIT 1"
        )
        row = self._database.first_row(query, (receiver, now_s))
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
        return [_delivery(row) for row in self._database.rows(query)]

    def retry_failed(self, now_s: int) -> int:
        """Queues the alerts that were given up again, as if made at ``now_s``, UTC seconds; returns how many.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._transaction() as database:
            query = "UPDATE outbox SET failed = 0, tries = 0, made_s = ?, next_s = ? WHERE failed = 1"
            return database.execute(query, (now_s, now_s))

    def depth(self, receiver: str) -> Depth:
        """The state of a receiver's queue.

        Raises:
            WorldError: ``store-unavailable``.
        """
        query = "SELECT count(*), min(made_s) FROM outbox WHERE receiver = ? AND failed = ?"
        [(queued, oldest_s)] = self._database.rows(query, (receiver, 0))
        [(failed, _)] = self._database.rows(query, (receiver, 1))
        return Depth(queued=queued, oldest_s=oldest_s, failed=failed)

    def _close(self, key: str, successor: Outgoing | None, receivers: Receivers, now_s: int) -> None:
        """Closes the open alert under ``key``, for stateful receivers too; unless its successor is the same to them."""
        query = "SELECT alert, receivers, starts_s FROM stands WHERE key = ?"
        row = self._database.first_row(query, (key,))
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
            self._database.execute_many(insert, [(receiver, encode_alert(each.alert), now_s, now_s) for each in mine])
            over = (
                "UPDATE outbox SET failed = 1, why = 'the queue was full' WHERE number IN (SELECT number FROM outbox "
                "WHERE receiver = ? AND failed = 0 ORDER BY number DESC LIMIT -1 OFFSET ?)"
            )
            if self._database.execute(over, (receiver, receivers.max_queued)) > 0:
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
    def _transaction(self) -> Iterator[Database]:
        """All or nothing; on disk at its end. A stored alert that does not parse is a fault of the file."""
        try:
            with self._database.transaction() as database:
                yield database
        except PeerError as error:
            raise WorldError(Reason.STORE_UNAVAILABLE, f"{self._database.path}: {error}") from error


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
