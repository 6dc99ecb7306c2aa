"""The worker on a real SQLite file: the order of effects, and what a crash or a failing disk leaves behind."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.audit_log.any_log import read_entries
from runtime.audit_log.frames import FrameFile
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import ConfigError, WorldError
from schemas.media_types import Indicator
from schemas.messages import result_token
from schemas.messages.result import Rejections
from schemas.messages.result_token import ResultFormat
from schemas.messages.solicit import verify_solicit
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier
from tests.worlds.device import make_trust
from tests.worlds.worker import KEY, KEY_ID, NOW_US, WorkerRig
from verifier_worker.adapters.state_store import SqliteStateStore
from verifier_worker.audit.entry_text import entry_line
from verifier_worker.worker import Received


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WorkerRig]:
    """A fresh rig."""
    made = WorkerRig(tmp_path)
    yield made
    made.store.close()


def test_a_push_becomes_a_stored_recorded_published_result(rig: WorkerRig) -> None:
    rig.process([rig.message(rig.device.push())])
    (result,) = rig.results()
    assert (result.status, result.freshness, result.ueid) == (Tier.AFFIRMING, Freshness.FRESH, rig.device.ueid)
    assert result.handle == rig.handle.id
    assert result.policies == ("test/1",)
    assert len(rig.audit.entries) == 1
    stored = rig.store.load(rig.device.ueid)
    assert stored is not None
    assert stored.result is not None


def test_a_change_of_format_finds_results_of_the_old_one_in_the_outbox(rig: WorkerRig) -> None:
    """Each travels under the media type of what it is."""
    rig.publisher.connected = False
    rig.process([rig.message(rig.device.push())])
    rig.result_format = ResultFormat.CWT
    rig.crash()
    rig.process([rig.message(rig.device.push(elapsed_ms=1), NOW_US + 1)])
    payloads = rig.publisher.on(rig.name, "results")
    assert [result_token.format_of(result_token.unwrap(each)) for each in payloads] == ["jwt", "cwt"]
    assert [result.sequence for result in rig.results()] == [0, 1]
    rig.process([rig.message(rig.device.push(elapsed_ms=1), NOW_US + 2)] * 2)
    assert [result.sequence for result in rig.results()] == [0, 1, 2, 2]


def test_a_batch_keeps_the_order_of_one_attesters_pushes(rig: WorkerRig) -> None:
    pushes = [rig.device.push() for _ in range(3)]
    rig.device.run(b"/tmp/evil", b"evil")
    rig.process([rig.message(push) for push in [*pushes, rig.device.push()]])
    assert [result.sequence for result in rig.results()] == [0, 1, 2, 3]
    assert rig.results()[-1].unexpected == ("/tmp/evil",)


def test_a_redelivered_push_publishes_the_stored_result_again(rig: WorkerRig) -> None:
    message = rig.message(rig.device.push())
    rig.process([message])
    rig.crash()
    rig.worker.publish_pending()
    rig.process([message])
    tokens = set(rig.publisher.on(rig.name, "results"))
    assert len(tokens) == 1
    assert len(rig.audit.entries) == 1


def test_after_a_crash_state_goes_on_without_a_baseline(rig: WorkerRig) -> None:
    rig.process([rig.message(rig.device.push())])
    rig.crash()
    rig.device.run(b"/usr/bin/cat", b"cat")
    rig.process([rig.message(rig.device.push())])
    assert [result.status for result in rig.results()][-1] is Tier.AFFIRMING
    assert not rig.publisher.on(rig.name, "solicit")


def test_a_result_stored_while_the_broker_is_away_is_published_after_a_crash(rig: WorkerRig) -> None:
    rig.publisher.connected = False
    rig.process([rig.message(rig.device.push())])
    assert rig.worker.unpublished == 1
    rig.crash()
    rig.worker.publish_pending()
    assert len(rig.results()) == 1
    assert rig.worker.unpublished == 0


def test_what_was_published_is_forgotten_only_when_the_broker_has_it(rig: WorkerRig) -> None:
    rig.process([rig.message(rig.device.push())])
    rig.crash()
    rig.worker.publish_pending()
    assert len(rig.results()) == 1
    rig.worker.published(1)
    rig.worker.flush()
    rig.crash()
    rig.worker.publish_pending()
    assert rig.results() == []


def test_a_crash_between_store_and_audit_loses_no_audit_entry(rig: WorkerRig) -> None:
    rig.audit.fail_next = True
    with pytest.raises(WorldError):
        rig.process([rig.message(rig.device.push())])
    assert rig.audit.entries == []
    rig.crash()
    assert len(rig.audit.entries) == 1


def test_a_failing_audit_disk_delays_and_then_records_once(rig: WorkerRig) -> None:
    message = rig.message(rig.device.push())
    rig.audit.fail_next = True
    with pytest.raises(WorldError):
        rig.process([message])
    assert rig.results() == []
    rig.worker.settle()
    assert len(rig.audit.entries) == 1
    (result,) = rig.results()
    assert result.rejections is None


def test_a_failing_transaction_leaves_everything_as_it_was(rig: WorkerRig) -> None:
    rig.process([rig.message(rig.device.push())])
    message = rig.message(rig.device.push())
    blocker = rig.store._db  # the connection itself, to make the next write fail
    blocker.execute("PRAGMA query_only = ON")
    with pytest.raises(WorldError):
        rig.process([message])
    assert len(rig.results()) == 1
    blocker.execute("PRAGMA query_only = OFF")
    rig.process([message])
    assert [result.sequence for result in rig.results()] == [0, 1]


def test_a_state_is_not_stored_without_its_outcome(rig: WorkerRig) -> None:
    rig.process([rig.message(rig.device.push())])
    before = rig.store.load(rig.device.ueid)
    refusal = "CREATE TRIGGER refuse BEFORE INSERT ON pending BEGIN SELECT RAISE(ABORT, 'by the test'); END"
    rig.store._db.execute(refusal)  # the connection itself: it holds the file alone
    with pytest.raises(WorldError, match="by the test"):
        rig.process([rig.message(rig.device.push())])
    assert rig.store.load(rig.device.ueid) == before


def test_garbage_on_any_topic_is_refused_and_counted(rig: WorkerRig) -> None:
    rig.process([rig.message(rig.device.push())])
    for payload in (b"", b"\xff", b"\x83", bytes(300_000), cmw.wrap("text/plain", b"x", Indicator.EVIDENCE)):
        rig.process([Received(ueid_text=rig.name, payload=payload, received_us=NOW_US)])
    rig.process([Received(ueid_text="not a ueid", payload=b"", received_us=NOW_US)])
    rig.process([rig.message(rig.device.push())])
    last = rig.results()[-1]
    assert last.status is Tier.AFFIRMING
    assert last.rejections is not None
    assert (last.rejections.count, last.rejections.last) == (5, Reason.UNKNOWN_MEDIA_TYPE)


def test_silence_becomes_a_stale_result_also_across_a_restart(rig: WorkerRig) -> None:
    rig.process([rig.message(rig.device.push())])
    assert rig.expire(NOW_US + 9_000_000) == 0
    rig.crash()
    assert rig.expire(NOW_US + 10_000_000) == 1
    assert rig.expire(NOW_US + 11_000_000) == 0
    last = rig.results()[-1]
    assert (last.status, last.freshness, last.reasons) == (Tier.NONE, Freshness.STALE, ("evidence-overdue",))
    rig.process([rig.message(rig.device.push(), NOW_US + 11_000_000)])
    assert rig.results()[-1].status is Tier.AFFIRMING


def test_a_gap_is_solicited_once_in_a_while(rig: WorkerRig) -> None:
    rig.process([rig.message(rig.device.push())])
    rig.device.push()
    rig.process([rig.message(rig.device.push()), rig.message(rig.device.push())])
    (payload,) = rig.publisher.on(rig.name, "solicit")
    asked = verify_solicit(cmw.unwrap(payload, media_types.SOLICIT, None), {KEY_ID: KEY.public_key()})
    assert (asked.ueid, asked.reason, asked.full) == (rig.device.ueid, Reason.SEQUENCE_GAP, True)
    assert asked.logs == {"tcg2": 9, "ima": 1}


def test_an_attester_that_asking_does_not_help_is_asked_less_and_less_often(
    rig: WorkerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(0, 10**9, 1800))
    monkeypatch.setattr("verifier_worker.adapters.solicitor.monotonic_s", lambda: float(next(seconds)))
    rig.process([rig.message(rig.device.push())])
    rig.device.push()
    asked = []
    for _ in range(150):
        rig.process([rig.message(rig.device.push())])
        asked.append(len(rig.publisher.on(rig.name, "solicit")))
    pauses = [asked.index(count + 1) - asked.index(count) for count in range(1, asked[-1])]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 10 * pauses[0]
    rig.process([rig.message(rig.device.push(full=True, resend={"tcg2": 9, "ima": 1}))])
    assert Reason.SEQUENCE_GAP not in rig.results()[-1].reasons
    while next(seconds) < 10**6:
        pass
    rig.device.push()
    before = asked[-1]
    for _ in range(6):
        rig.process([rig.message(rig.device.push())])
    assert len(rig.publisher.on(rig.name, "solicit")) >= before + 2


def test_a_lost_database_does_not_lose_audit_entries(rig: WorkerRig) -> None:
    rig.process([rig.message(rig.device.push()), rig.message(rig.device.push())])
    rig.store.close()
    (rig.folder / "state.db").unlink()
    rig.store = SqliteStateStore(rig.folder / "state.db")
    rig.worker = rig.start()
    rig.process([rig.message(rig.device.push())])
    assert [number for number, _ in rig.audit.entries] == [1, 2, 3]


def test_two_workers_cannot_share_a_database(rig: WorkerRig) -> None:
    with pytest.raises(ConfigError, match="another verifier"):
        SqliteStateStore(rig.folder / "state.db")


def test_a_state_that_does_not_parse_reads_as_unknown(rig: WorkerRig) -> None:
    rig.process([rig.message(rig.device.push())])
    rig.store.close()
    with sqlite3.connect(rig.folder / "state.db") as db:
        db.execute("UPDATE attester SET state = x'00'")
    db.close()
    rig.store = SqliteStateStore(rig.folder / "state.db")
    assert rig.store.load(rig.device.ueid) is None
    assert rig.store.due(2**62, 10) == [rig.device.ueid]
    rig.worker = rig.start()
    assert rig.expire(2**62) == 0
    assert rig.store.due(2**62, 10) == []


def test_the_audit_file_cuts_a_torn_tail_and_refuses_damage(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = FrameFile(path)
    log.append([(1, b"one"), (2, b"two")])
    log.append([(2, b"two again"), (3, b"three")])
    log.close()
    whole = path.read_bytes()
    assert list(read_entries(path)) == [(1, b"one"), (2, b"two"), (3, b"three")]
    for size in range(len(whole) - 4, len(whole)):
        path.write_bytes(whole[:size])
        log = FrameFile(path)
        assert log.last_number() == 2
        log.append([(3, b"three")])
        log.close()
        assert path.read_bytes() == whole
    path.write_bytes(whole[:17] + b"X" + whole[18:])
    with pytest.raises(ConfigError, match="damaged at offset 0"):
        FrameFile(path)
    assert len(path.read_bytes()) == len(whole)
    log = FrameFile(path, repeated_from=1)  # the outbox holds all of it still
    assert log.last_number() == 0
    log.close()


def test_a_damaged_length_is_no_torn_tail(tmp_path: Path) -> None:
    """It points behind the end of the file, as for a torn entry; the entries before it were acknowledged."""
    path = tmp_path / "audit.log"
    log = FrameFile(path)
    log.append([(1, b"one"), (2, b"two"), (3, b"three")])
    log.close()
    whole = path.read_bytes()
    for start in (0, 19):
        path.write_bytes(whole[: start + 8] + b"\x40" + whole[start + 9 :])
        for repeated_from in (None, 4):
            with pytest.raises(ConfigError, match=f"damaged at offset {start}"):
                FrameFile(path, repeated_from=repeated_from)
        assert len(path.read_bytes()) == len(whole)
        log = FrameFile(path, repeated_from=1)
        assert log.last_number() == (1 if start else 0)
        log.close()


def test_what_was_pending_resolves_when_its_handle_comes(rig: WorkerRig) -> None:
    handles, rig.trust = rig.trust, make_trust(rig.device)
    rig.process([rig.message(rig.device.push())])
    assert [(each.status, each.freshness) for each in rig.results()] == [(Tier.NONE, Freshness.PENDING)]
    assert rig.worker.resolve(rig.handle.id, NOW_US) == 0  # a rumour
    rig.process([rig.message(rig.device.push(), NOW_US + 1)])
    rig.trust = handles
    assert rig.worker.resolve(rig.handle.id, NOW_US + 2) == 1
    rig.worker.settle()
    last = rig.results()[-1]
    assert (last.status, last.freshness, last.sequence) == (Tier.AFFIRMING, Freshness.FRESH, 1)
    assert rig.worker.resolve(rig.handle.id, NOW_US + 3) == 0
    assert " resolved " in entry_line(*rig.audit.entries[-1])
    rig.worker.expire(NOW_US + 3600_000_000)
    rig.worker.settle()
    assert " overdue " in entry_line(*rig.audit.entries[-1])
    rig.crash()
    rig.process([rig.message(rig.device.push(), NOW_US + 1_000_000)])
    assert rig.results()[-1].status is Tier.AFFIRMING


def test_what_a_failing_database_kept_from_resolving_resolves_when_it_works_again(rig: WorkerRig) -> None:
    handles, rig.trust = rig.trust, make_trust(rig.device)
    rig.process([rig.message(rig.device.push())])
    rig.trust = handles
    rig.store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(WorldError):
        rig.worker.resolve(rig.handle.id, NOW_US + 1)
    rig.store._db.execute("PRAGMA query_only = OFF")
    assert rig.worker.resolve(rig.handle.id, NOW_US + 2) == 1


def test_messages_refused_before_the_first_accepted_push_are_counted(rig: WorkerRig) -> None:
    push = rig.device.push()
    forged = replace(push, signature=push.signature[:-1] + bytes([push.signature[-1] ^ 1]))
    rig.process([rig.message(forged, NOW_US), rig.message(forged, NOW_US + 1)])
    rig.process([Received(ueid_text=rig.name, payload=b"\xff", received_us=NOW_US + 2), rig.message(push, NOW_US + 3)])
    (result,) = rig.results()
    assert result.rejections == Rejections(count=3, last=Reason.MALFORMED, last_us=NOW_US + 2)
    rig.process([rig.message(rig.device.push(elapsed_ms=1), NOW_US + 4)])
    assert rig.results()[-1].rejections == result.rejections


def test_strangers_fill_no_memory(rig: WorkerRig) -> None:
    """Only attesters with an endorsement are counted before their first accepted push."""
    trusted = rig.trust
    rig.trust = replace(trusted, endorsed={})
    push = rig.device.push()
    rig.process([rig.message(push)] * 3)
    rig.trust = trusted
    rig.process([rig.message(push)])
    assert rig.results()[-1].rejections is None


def test_no_unsigned_message_makes_a_state(rig: WorkerRig) -> None:
    rig.process([Received(ueid_text=rig.name, payload=b"\xff", received_us=NOW_US)] * 3)
    assert rig.store.load(rig.device.ueid) is None
    assert rig.results() == []
