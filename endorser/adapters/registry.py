"""Who is enrolled, in one SQLite file.

Promises: what a method changed is on disk when it returns, all of it or nothing (WAL, synchronous FULL), so a process
killed at any moment leaves a registry that goes on. A UEID keeps its name and a name its UEID for good. A challenge is
taken once. The record of who decided what is only ever added to; the database refuses to change or delete its rows.
Several processes may use the file: the service, and commands beside it.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from endorser.adapters.registry_schema import COUNT_STANDINGS, COUNT_WAITING, SCHEMA, Tally
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
from schemas.reasons import Reason

_BUSY_S: Final = 5.0
_USED_KEPT_S: Final = 86_400  # how long a replayed activation is told from one that nobody asked for
_ENDED_KEPT_S: Final = 60  # how long a late one is told from it
_OPEN_PER_DEVICE: Final = 4


class Registry:
    """The registry; one instance belongs to one thread."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it, readable by its owner alone.

        Raises:
            ConfigError: the file is not a registry, or cannot be opened.
        """
        self._database = Database(path, SCHEMA, busy_s=_BUSY_S)

    def close(self) -> None:
        """Closes the file; nothing is lost without."""
        self._database.close()

    # ── challenges ───────────────────────────────────────────────────────────────────────────────────────────────────

    def open_challenge(self, challenge: OpenChallenge, now_s: int, *, limit: int) -> None:
        """Stores a challenge before it is sent.

        One device holds a few at most, the newest: whoever knows one genuine certificate, and they are no secrets, must
        not use up everybody's. Challenges that ended are forgotten soon, answered ones after a day: an activation of
        theirs is unsolicited from then on.

        Raises:
            PeerError: ``enrolment-rate-limited`` when ``limit`` challenges are open.
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
                raise PeerError(Reason.ENROLMENT_RATE_LIMITED, f"{count} challenges are open; come back later")
            row = (challenge.digest, challenge.ueid, challenge.request, challenge.expires_s)
            database.execute(
                "INSERT INTO challenge VALUES (?, ?, ?, ?, ?, ?)", (*row, challenge.secret, challenge.raw_request)
            )

    def challenge(self, digest: ChallengeDigest) -> tuple[OpenChallenge | None, bool]:
        """The open challenge of that digest, and whether there was one that has been answered.

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
        """What is known of a UEID.

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
        """How many there are of what; ``WorldError`` as everywhere."""
        with self._database.transaction() as database:
            [waiting] = database.rows(COUNT_WAITING)
            return Tally(dict(database.rows(COUNT_STANDINGS)), *waiting)

    def owner_of(self, name: str | None) -> Ueid | None:
        """Whose a name is; None for no name or one that is free.

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
        """Admits a device, stores its endorsement, forgets that it was pending, uses up its challenge.

        Raises:
            PeerError: as ``enrolment.check_standing``; ``iak-certificate-taken``; ``activation-replayed`` when the
                challenge was used meanwhile.
            WorldError: ``store-unavailable``; then nothing of this happened.
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
        """What an operator decided.

        Args:
            standing: from now on.
            decision: for the record.
            end: makes the version that goes with it from the device and its newest one. Called while nobody else can
                add a version: one that the service made meanwhile would outlive the one that ends it.

        Returns:
            what ``end`` made.

        Raises:
            WorldError: ``store-unavailable``; then nothing of this happened.
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
        """Lets a device wait for an operator; a later request of the same device replaces the earlier one.

        Its IAK is bound to it already: who waits with one cannot make a thousand others wait with it.

        Raises:
            PeerError: ``activation-replayed`` when the challenge was used meanwhile; ``iak-certificate-taken``.
            WorldError: ``store-unavailable``; then nothing of this happened.
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
        """Those that wait, or the one of ``ueid`` if it does, the oldest first.

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
        """UEID, version and object of the newest endorsements that the broker has not confirmed.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            rows = database.rows(
                "SELECT ueid, max(version), signed FROM endorsement WHERE published = 0 GROUP BY ueid LIMIT 100"
            )
        return [(Ueid(ueid), version, signed) for ueid, version, signed in rows]

    def published(self, ueid: Ueid, version: int) -> None:
        """The broker has this version; earlier ones need not go there any more.

        Raises:
            WorldError: ``store-unavailable``.
        """
        with self._database.transaction() as database:
            database.execute("UPDATE endorsement SET published = 1 WHERE ueid = ? AND version <= ?", (ueid, version))

    def records(self) -> Sequence[Decision]:
        """Every decision, the first one first.

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
    """Binds the certified key to its device for good, whatever certificates either has later.

    Raises:
        PeerError: ``iak-certificate-taken`` when it has proven another device genuine.
    """
    row = (hashlib.sha256(candidate.certificate.key).digest(), candidate.ueid)
    database.execute("INSERT INTO iak VALUES (?, ?) ON CONFLICT (key) DO NOTHING", row)
    [(owner,)] = database.rows("SELECT ueid FROM iak WHERE key = ?", row[:1])
    if owner != candidate.ueid:
        serial = candidate.certificate.serial
        raise PeerError(Reason.IAK_CERTIFICATE_TAKEN, f"IAK certificate {serial}: its key is of another device")


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
