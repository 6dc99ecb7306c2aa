"""Databases that the first release wrote (dumps in tests/vectors/databases) open with today's code, and go on."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from attester_agent.adapters import spool
from attester_agent.adapters.spool import SqliteSpool
from endorser.adapters import registry_schema
from endorser.adapters.registry import Registry
from endorser.core.enrolment import Standing
from relying_party.alerts import store as alert_store
from relying_party.alerts.store import AlertStore
from runtime.database import Database, Schema
from schemas.identifiers import Ueid
from schemas.messages.alert import Condition
from tests.fakes.relying_party import ALICE
from verifier_worker.adapters import state_store
from verifier_worker.adapters.state_store import SqliteStateStore

DUMPS = Path(__file__).parents[2] / "vectors" / "databases"
DEVICE = Ueid(b"\x01" + bytes(32))
SCHEMAS = {
    "agent": spool.SCHEMA,
    "alerts": alert_store.SCHEMA,
    "registry": registry_schema.SCHEMA,
    "verifier": state_store.SCHEMA,
}
DEFINITIONS = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"


def restored(name: str, folder: Path) -> Path:
    path = folder / f"{name}.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript((DUMPS / f"{name}.sql").read_text())
    return path


def test_the_agents_pushes_and_state(tmp_path: Path) -> None:
    with closing(SqliteSpool(restored("agent", tmp_path), max_bytes=100)) as opened:
        assert [(each.number, each.payload) for each in opened.waiting(0, 9)] == [(2, b"two"), (3, b"three")]
        state = opened.load()
        assert state is not None
        opened.add(state, b"four")
        assert [each.number for each in opened.waiting(3, 9)] == [4]


def test_the_verifiers_attesters_outbox_and_trust(tmp_path: Path) -> None:
    with closing(SqliteStateStore(restored("verifier", tmp_path))) as opened:
        assert (opened.attesters(), opened.due(7, 9)) == (1, [DEVICE])
        assert [(each.number, each.audit) for each in opened.pending()] == [(2, b"audit 2")]
        assert opened.load_trust() == [("handles", b"raw")]
        assert opened.commit([], [2]) == []
        assert opened.pending() == []


def test_the_endorsers_devices_and_decisions(tmp_path: Path) -> None:
    with closing(Registry(restored("registry", tmp_path))) as opened:
        (device,) = opened.devices()
        assert (device.name, device.standing, device.version) == ("device-1", Standing.ADMITTED, 1)
        assert [each.name for each in opened.pending()] == ["second"]
        assert [each.action for each in opened.records()] == ["enrolled"]
        assert opened.unpublished() == [(device.ueid, 1, b"signed")]


def test_the_alerts_that_are_known_and_queued(tmp_path: Path) -> None:
    with closing(AlertStore(restored("alerts", tmp_path))) as opened:
        assert opened.installation.hex() == "29e1516090d119c89b40ff07299810d0"
        assert opened.serial == 5
        assert [(each.ueid, each.headline.condition) for each in opened.reported()] == [(ALICE, Condition.STALE)]
        assert [key for key, *_ in opened.open_alerts()] == ["k3"]
        assert [each.alert.summary for each in opened.closed_alerts("am", 9)] == ["summary 2"]
        due = opened.due("ops", 1_800_000_000)
        assert due is not None
        opened.delivered(due)
        assert opened.due("ops", 1_800_000_000) is None


@pytest.mark.parametrize("name", SCHEMAS)
def test_version_1_has_the_tables_of_the_first_release(name: str, tmp_path: Path) -> None:
    schema = SCHEMAS[name]
    first = Schema(
        field=schema.field, program=schema.program, migrations=schema.migrations[:1], if_damaged=schema.if_damaged
    )
    definitions = []
    (tmp_path / "old").mkdir()
    for path in (restored(name, tmp_path / "old"), tmp_path / "new.db"):
        with Database(path, first, busy_s=0) as database:
            assert database.rows("PRAGMA user_version") == [(1,)]
            definitions.append([(kind, of, sql.split()) for kind, of, sql in database.rows(DEFINITIONS)])
    assert definitions[0] == definitions[1]


@pytest.mark.parametrize("name", ["agent", "alerts"])
def test_tables_that_a_kill_left_unmade_are_made(name: str, tmp_path: Path) -> None:
    path = tmp_path / "half.db"
    first_table, _, _ = SCHEMAS[name].migrations[0].partition(";")
    with closing(sqlite3.connect(path)) as database:
        database.execute(first_table)
    with Database(path, SCHEMAS[name], busy_s=0) as opened:
        names = {each for (each,) in opened.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert SCHEMAS[name].tables(1) <= names
