"""Reads from the registry the endorsements that are not in force any more, although their validity has not ended."""

from typing import Final

from endorser.core.enrolment import Standing
from runtime.database import Database
from schemas.identifiers import Ueid
from schemas.messages.trust_statement import MAX_BY_CHARACTERS, Withdrawal, Withdrawn

# The devices that are out, with the last version of their endorsement and the decision.
_WITHDRAWN: Final = """
SELECT device.ueid, standing, coalesce((SELECT max(version) FROM endorsement WHERE ueid = device.ueid), 0), at_s, who
FROM device JOIN record ON record.number = (SELECT max(number) FROM record WHERE ueid = device.ueid)
WHERE standing <> 'admitted'
"""
# The devices with a version that is valid now, although a later one has another key or has ended.
_REPLACED: Final = """
SELECT newest.ueid, newest.version FROM endorsement AS newest JOIN endorsement AS older USING (ueid)
WHERE newest.version = (SELECT max(version) FROM endorsement WHERE ueid = newest.ueid)
AND older.version < newest.version AND older.not_after_s >= ?
AND (older.ak_name <> newest.ak_name OR newest.not_after_s < ?)
"""


def read_withdrawals(database: Database, now_s: int) -> dict[Ueid, Withdrawal]:
    """The withdrawals, by device.

    Raises:
        WorldError: ``store-unavailable``.
    """
    found = {
        Ueid(ueid): Withdrawal(below=version, standing=Withdrawn.REPLACED, at_s=now_s)
        for ueid, version in database.rows(_REPLACED, (now_s, now_s))
    }
    for ueid, standing, version, at_s, who in database.rows(_WITHDRAWN):
        is_ended = standing == Standing.DECOMMISSIONED
        found[Ueid(ueid)] = Withdrawal(
            below=max(version, at_s) + 1,
            standing=Withdrawn.DECOMMISSIONED if is_ended else Withdrawn.REVOKED,
            at_s=at_s,
            by=who[:MAX_BY_CHARACTERS],
        )
    return found
