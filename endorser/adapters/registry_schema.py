"""The tables of the registry, in SQL.

* ``device``: one permanent row for each UEID.
* ``iak``: the device of each initial attestation key (SHA-256 of its SubjectPublicKeyInfo), permanent.
* ``endorsement``: all versions.
* ``challenge``: open ones with their secret, answered ones without.
* ``pending``: requests that wait for an operator.
* ``record``: decisions; triggers refuse changes.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from runtime.database import Schema

_VERSION_1: Final = """
CREATE TABLE IF NOT EXISTS device (
    ueid BLOB PRIMARY KEY, name TEXT UNIQUE, standing TEXT NOT NULL, grouped TEXT, certificate TEXT, root TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS endorsement (
    ueid BLOB NOT NULL REFERENCES device, version INTEGER NOT NULL, ak_name BLOB NOT NULL, ak_public BLOB NOT NULL,
    genuine TEXT, not_after_s INTEGER NOT NULL, signed BLOB NOT NULL, published INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (ueid, version)
) STRICT;
CREATE TABLE IF NOT EXISTS iak (key BLOB PRIMARY KEY, ueid BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS unpublished ON endorsement (ueid) WHERE published = 0;
CREATE TABLE IF NOT EXISTS challenge (
    digest BLOB PRIMARY KEY, ueid BLOB NOT NULL, request BLOB NOT NULL, expires_s INTEGER NOT NULL,
    secret BLOB, raw_request BLOB
) STRICT;
CREATE TABLE IF NOT EXISTS pending (
    ueid BLOB PRIMARY KEY, request BLOB NOT NULL, raw_request BLOB NOT NULL, since_s INTEGER NOT NULL,
    name TEXT, ak_name BLOB NOT NULL, summary TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS record (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at_s INTEGER NOT NULL, ueid BLOB NOT NULL, action TEXT NOT NULL,
    who TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS record_is_kept BEFORE DELETE ON record
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS record_stays BEFORE UPDATE ON record
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""
_VERSION_2: Final = """
CREATE INDEX endorsement_keys ON endorsement (ueid, version, ak_name, not_after_s);
CREATE INDEX device_standing ON device (standing);
CREATE INDEX record_of_device ON record (ueid, number);
"""
SCHEMA: Final = Schema(
    field="registry",
    program="endorser",
    migrations=(_VERSION_1, _VERSION_2),
    if_damaged="If it is damaged, put a backup in its place: without it every device must be enrolled again",
)


class Tally(NamedTuple):
    """The number of devices by standing, of pending requests, and of endorsements not published yet."""

    standings: Mapping[str, int]
    pending: int
    unpublished: int


COUNT_STANDINGS: Final = "SELECT standing, count(*) FROM device GROUP BY standing"
COUNT_WAITING: Final = (
    "SELECT (SELECT count(*) FROM pending), (SELECT count(DISTINCT ueid) FROM endorsement WHERE published = 0)"
)
