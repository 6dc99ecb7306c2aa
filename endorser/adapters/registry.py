"""The registry of enrolled devices, in one SQLite file.

Each method makes all of its changes or none, and they are on disk when it returns (WAL, synchronous FULL). A UEID and a
name belong together permanently. A challenge is used once. Rows of the record of decisions are only added; the database
refuses to change or delete them. Several processes may use the file: the service, and commands beside it.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from endorser.adapters.registry_schema import COUNT_STANDINGS, COUNT_WAITING, SCHEMA, Tally
from endorser.adapters.withdrawn_devices import read_withdrawals
from endorser.core.enrolment import (
    Candidate,
    Decision,
    Device,
    Endorsed,
    OpenChallenge,
    Pending,
    Standing,
    check_standing,
)
from runtime.database import Database
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.endorsement import Genuine
from schemas.messages.enrolment import ChallengeDigest, RequestDigest
from schemas.messages.trust_statement import Withdrawal
from schemas.reasons import Reason

_BUSY_S: Final = 5.0
_USED_KEPT_S: Final = 86_400  # so long a replayed activation is refused as replayed, later as unsolicited
_ENDED_KEPT_S: Final = 60  # so long a late activation is refused as late, later as unsolicited
_OPEN_PER_DEVICE: Final = 4


class Registry:
    """The registry. Owned by one thread."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it, readable only by its owner.

        Raises:
            ConfigError: the file is not a registry, or cannot be opened.
        """
        self._database = Database(path, SCHEMA, busy_s=_BUSY_S)

    def close(self) -> None:
        """Closes the file. Without it nothing is lost."""
        self._database.close()

    # ── challenges ───────────────────────────────────────────────────────────────────────────────────────────────────

    def open_challenge(self, challenge: OpenChallenge, now_s: int, *, limit: int) -> None:
        """Stores a challenge before it is sent.

        Only the newest few of one device are kept: certificates are not secret, so anyone who knows one could otherwise
        use up all open challenges. Expired challenges are deleted soon, answered ones after a day.

        Raises:
            PeerError: ``enrolment-rate-limited`` if ``limit`` challenges are open.
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            database.execute(
                "DELETE FROM challenge WHERE expires_s < ? OR (expires_s < ? AND secret IS NOT NULL)",
                (now_s - _USED_KEPT_S, now_s - _ENDED_KEPT_S),
            )
            database.execute(
                "DELETE FROM challenge WHERE digest IN (SELECT digest FROM challenge WHERE ueid = ? AND "
                "secret IS NOT NULL ORDER BY expires_s DESC, rowid DESC LIMIT -1 OFFSET ?)",
                (challenge.ueid, _OPEN_PER_DEVICE - 1),
            )
            [(count,)] = database.rows(
                "SELECT count(*) FROM challenge WHERE secret IS NOT NULL AND expires_s >= ?", (now_s,)
            )
            if count >= limit:
                raise PeerError(Reason.ENROLMENT_RATE_LIMITED, f"{count} challenges are open; try again later")
            row = (challenge.digest, challenge.ueid, challenge.request, challenge.expires_s)
            database.execute(
                "INSERT INTO challenge VALUES (?, ?, ?, ?, ?, ?)", (*row, challenge.secret, challenge.raw_request)
            )

    def challenge(self, digest: ChallengeDigest) -> tuple[OpenChallenge | None, bool]:
        """The open challenge with that digest, and whether it was answered already.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            row = database.first_row(
                "SELECT ueid, request, expires_s, secret, raw_request FROM challenge WHERE digest = ?", (digest,)
            )
        if row is None or row[3] is None:
            return None, row is not None
        ueid, request, expires_s, secret, raw_request = row
        return (
            OpenChallenge(
                digest=digest,
                request=RequestDigest(request),
                ueid=Ueid(ueid),
                secret=secret,
                expires_s=expires_s,
                raw_request=raw_request,
            ),
            False,
        )

    # ── devices ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def device(self, ueid: Ueid) -> Device | None:
        """The device with a UEID; None if it is unknown.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            return _device(database, ueid)

    def devices(self) -> Sequence[Device]:
        """All devices, by name.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            ueids = database.rows("SELECT ueid FROM device ORDER BY name, ueid")
            return [device for (ueid,) in ueids if (device := _device(database, Ueid(ueid))) is not None]

    def tally(self) -> Tally:
        """Counts devices, pending requests and unpublished endorsements.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            [waiting] = database.rows(COUNT_WAITING)
            return Tally(dict(database.rows(COUNT_STANDINGS)), *waiting)

    def owner_of(self, name: str | None) -> Ueid | None:
        """The device that has a name; None for no name or a free one.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            row = database.first_row("SELECT ueid FROM device WHERE name = ?", (name,))
        return None if row is None else Ueid(row[0])

    def admit(
        self,
        candidate: Candidate,
        endorsed: Endorsed,
        group: str | None,
        decision: Decision,
        used: ChallengeDigest | None = None,
    ) -> None:
        """Admits a device, stores its endorsement, deletes its pending request, marks its challenge as used.

        Raises:
            PeerError: as ``enrolment.check_standing``; ``iak-certificate-taken``; ``activation-replayed`` if the
                challenge was used meanwhile.
            WorldError: ``store-unavailable``; then nothing is changed.
        """
        with self._database.transaction() as database:
            _use(database, used)
            owner = database.first_row("SELECT ueid FROM device WHERE name = ?", (candidate.name,))
            check_standing(
                candidate, _device(database, candidate.ueid), None if owner is None else Ueid(owner[0])
            )  # again: another process may have decided meanwhile
            certificate = candidate.certificate
            row = (candidate.ueid, candidate.name, Standing.ADMITTED, group, certificate.serial, certificate.root)
            database.execute(
                "INSERT INTO device VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (ueid) DO UPDATE SET "
                "name = coalesce(device.name, excluded.name), standing = excluded.standing, "
                "grouped = excluded.grouped, certificate = excluded.certificate, root = excluded.root",
                row,
            )
            if candidate.genuine is Genuine.IAK_CERTIFICATE:
                _bind_iak(database, candidate)
            _add_endorsement(database, endorsed)
            database.execute("DELETE FROM pending WHERE ueid = ?", (candidate.ueid,))
            _add_record(database, decision)

    def change_standing(
        self, standing: Standing, decision: Decision, end: Callable[[Device | None, Endorsed | None], Endorsed | None]
    ) -> Endorsed | None:
        """Stores an operator's decision.

        Args:
            standing: the new one.
            decision: for the record.
            end: makes the next version of the endorsement from the device and its last version. It runs inside the
                transaction, so that the service cannot add a version in between.

        Returns:
            The result of ``end``.

        Raises:
            WorldError: ``store-unavailable``; then nothing is changed.
        """
        with self._database.transaction() as database:
            endorsed = end(_device(database, decision.ueid), _last_endorsement(database, decision.ueid))
            database.execute(
                "INSERT INTO device (ueid, standing) VALUES (?, ?) "
                "ON CONFLICT (ueid) DO UPDATE SET standing = excluded.standing",
                (decision.ueid, standing),
            )
            if endorsed is not None:
                _add_endorsement(database, endorsed)
            database.execute("DELETE FROM pending WHERE ueid = ?", (decision.ueid,))
            _add_record(database, decision)
        return endorsed

    # ── pending ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def postpone(self, pending: Pending, candidate: Candidate, used: ChallengeDigest) -> None:
        """Stores a request that waits for an operator; it replaces an earlier one of the same device.

        An IAK is bound to the device at once, so that one IAK cannot make many devices wait.

        Raises:
            PeerError: ``activation-replayed`` if the challenge was used meanwhile; ``iak-certificate-taken``.
            WorldError: ``store-unavailable``; then nothing is changed.
        """
        with self._database.transaction() as database:
            _use(database, used)
            if candidate.genuine is Genuine.IAK_CERTIFICATE:
                _bind_iak(database, candidate)
            row = (pending.ueid, pending.request, pending.raw_request, pending.since_s)
            database.execute(
                "INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*row, pending.name, candidate.ak.name, pending.summary),
            )

    def pending(self, ueid: Ueid | None = None) -> Sequence[Pending]:
        """The waiting requests, oldest first; with ``ueid`` only that device's.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            rows = database.rows(
                "SELECT ueid, request, raw_request, since_s, name, summary FROM pending "
                "WHERE ? IS NULL OR ueid = ? ORDER BY since_s, ueid",
                (ueid, ueid),
            )
        return [
            Pending(
                ueid=Ueid(row[0]),
                request=RequestDigest(row[1]),
                raw_request=row[2],
                since_s=row[3],
                name=row[4],
                summary=row[5],
            )
            for row in rows
        ]

    # ── publishing ───────────────────────────────────────────────────────────────────────────────────────────────────

    def unpublished(self) -> Sequence[tuple[Ueid, int, bytes]]:
        """UEID, version and object of the newest endorsements that the broker has not acknowledged.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            rows = database.rows(
                "SELECT ueid, max(version), signed FROM endorsement WHERE published = 0 GROUP BY ueid LIMIT 100"
            )
        return [(Ueid(ueid), version, signed) for ueid, version, signed in rows]

    def published(self, ueid: Ueid, version: int) -> None:
        """Marks this version and earlier ones as published.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            database.execute("UPDATE endorsement SET published = 1 WHERE ueid = ? AND version <= ?", (ueid, version))

    def last_decision(self) -> int:
        """The number of the last decision; 0 before the first.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            [(number,)] = database.rows("SELECT coalesce(max(number), 0) FROM record")
        return int(number)

    def withdrawals(self, now_s: int) -> dict[Ueid, Withdrawal]:
        """Every endorsement that is not in force any more, although its validity has not ended.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            return read_withdrawals(database, now_s)

    def records(self) -> Sequence[Decision]:
        """All decisions, oldest first.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            rows = database.rows("SELECT at_s, ueid, action, who, detail FROM record ORDER BY number")
        return [
            Decision(at_s=at_s, ueid=Ueid(ueid), action=action, who=who, detail=detail)
            for at_s, ueid, action, who, detail in rows
        ]


def _device(database: Database, ueid: Ueid) -> Device | None:
    row = database.first_row("SELECT standing, name, grouped FROM device WHERE ueid = ?", (ueid,))
    if row is None:
        return None
    last = database.first_row(
        "SELECT ak_name, version FROM endorsement WHERE ueid = ? ORDER BY version DESC LIMIT 1", (ueid,)
    )
    return Device(
        ueid=ueid,
        standing=Standing(row[0]),
        name=row[1],
        group=row[2],
        ak_name=None if last is None else last[0],
        version=0 if last is None else last[1],
    )


def _bind_iak(database: Database, candidate: Candidate) -> None:
    """Binds the IAK permanently to the device, also with later certificates.

    Raises:
        PeerError: ``iak-certificate-taken`` if the IAK belongs to another device.
    """
    row = (hashlib.sha256(candidate.certificate.key).digest(), candidate.ueid)
    database.execute("INSERT INTO iak VALUES (?, ?) ON CONFLICT (key) DO NOTHING", row)
    [(owner,)] = database.rows("SELECT ueid FROM iak WHERE key = ?", row[:1])
    if owner != candidate.ueid:
        serial = candidate.certificate.serial
        raise PeerError(Reason.IAK_CERTIFICATE_TAKEN, f"IAK certificate {serial}: its key belongs to another device")


def _last_endorsement(database: Database, ueid: Ueid) -> Endorsed | None:
    row = database.first_row(
        "SELECT version, ak_name, ak_public, genuine, not_after_s, signed FROM endorsement WHERE ueid = ? "
        "ORDER BY version DESC LIMIT 1",
        (ueid,),
    )
    if row is None:
        return None
    version, ak_name, ak_public, genuine, not_after_s, signed = row
    return Endorsed(
        ueid=ueid,
        version=version,
        ak_name=ak_name,
        ak_public=ak_public,
        genuine=None if genuine is None else Genuine(genuine),
        not_after_s=not_after_s,
        signed=signed,
    )


def _use(database: Database, used: ChallengeDigest | None) -> None:
    if used is None:
        return
    changed = database.execute(
        "UPDATE challenge SET secret = NULL, raw_request = NULL WHERE digest = ? AND secret IS NOT NULL", (used,)
    )
    if changed != 1:
        raise PeerError(Reason.ACTIVATION_REPLAYED, "this challenge was answered before; ask for another")


def _add_endorsement(database: Database, endorsed: Endorsed) -> None:
    e = endorsed
    row = (e.ueid, e.version, e.ak_name, e.ak_public, e.genuine, e.not_after_s, e.signed)
    database.execute(
        "INSERT INTO endorsement (ueid, version, ak_name, ak_public, genuine, not_after_s, signed) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        row,
    )


def _add_record(database: Database, decision: Decision) -> None:
    row = (decision.at_s, decision.ueid, decision.action, decision.who, decision.detail)
    database.execute("INSERT INTO record (at_s, ueid, action, who, detail) VALUES (?, ?, ?, ?, ?)", row)
