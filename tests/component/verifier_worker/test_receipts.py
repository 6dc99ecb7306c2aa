"""Receipts bound to handles: order in the audit log, once and never lost, and a clock that must not be behind."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from runtime.audit_log.any_log import read_entries
from schemas.audit.entry import ObjectEntry, encode_entry, parse_entry
from schemas.errors import PeerError, WorldError
from schemas.reasons import Reason
from schemas.topics import TopicKind
from tests.worlds.verifier import Verifying
from verifier_worker.adapters.receipt_clock import CLOCK_BEHIND, ReceiptClock
from verifier_worker.audit.entry_text import entry_line

S = 1_000_000


@pytest.fixture(name="verifying")
def a_verifier(tmp_path: Path, at_end: ExitStack) -> Verifying:
    return at_end.enter_context(Verifying(tmp_path))


def kinds(verifying: Verifying) -> list[str]:
    """What the log holds, in order."""
    parsed = [parse_entry(raw) for _, raw in read_entries(verifying.audit_file)]
    return [each.kind if isinstance(each, ObjectEntry) else "evidence" for each in parsed]


def test_handles_and_endorsements_are_recorded_once_also_across_restarts(verifying: Verifying) -> None:
    raw = verifying.mint.raw(verifying.now_us)
    verifying.take_handle(raw)
    verifying.device.sync(verifying.verified(raw))
    verifying.push()
    for _ in range(3):
        verifying.restart()
        verifying.take_handle(raw, retained=True)
    verifying.pass_s(1)
    verifying.new_handle()
    verifying.push()
    assert kinds(verifying) == [TopicKind.ENDORSEMENTS, TopicKind.HANDLES, "evidence", TopicKind.HANDLES, "evidence"]
    recorded = [parse_entry(each) for _, each in read_entries(verifying.audit_file)]
    assert isinstance(recorded[1], ObjectEntry)
    assert recorded[1].raw == raw
    numbers = [number for number, _ in read_entries(verifying.audit_file)]
    assert numbers == sorted(set(numbers))


def test_a_crash_between_store_and_log_loses_no_handle_and_keeps_the_order(
    verifying: Verifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_entries: object) -> None:
        raise WorldError(Reason.STORE_UNAVAILABLE, "ordered by the test")

    raw = verifying.mint.raw(verifying.now_us)
    monkeypatch.setattr(verifying.audit, "append", fail)
    with pytest.raises(WorldError):
        verifying.take_handle(raw)
    assert kinds(verifying) == [TopicKind.ENDORSEMENTS]
    verifying.restart()
    assert kinds(verifying) == [TopicKind.ENDORSEMENTS, TopicKind.HANDLES]
    assert verifying.take_handle(raw) is False
    verifying.device.sync(verifying.verified(raw))
    verifying.push()
    assert kinds(verifying) == [TopicKind.ENDORSEMENTS, TopicKind.HANDLES, "evidence"]


def test_a_crash_before_the_transaction_leaves_a_handle_neither_stored_nor_recorded(verifying: Verifying) -> None:
    raw = verifying.mint.raw(verifying.now_us)
    verifying.trust.accept(TopicKind.HANDLES, "distributor-1", raw, verifying.now_us)
    verifying.restart()
    assert kinds(verifying) == [TopicKind.ENDORSEMENTS]
    assert verifying.take_handle(raw) is True
    assert kinds(verifying) == [TopicKind.ENDORSEMENTS, TopicKind.HANDLES]


def test_a_failing_database_has_the_handle_recorded_once_when_it_works_again(verifying: Verifying) -> None:
    raw = verifying.mint.raw(verifying.now_us)
    verifying.trust.accept(TopicKind.HANDLES, "distributor-1", raw, verifying.now_us)
    entry = ObjectEntry(received_us=verifying.receipt_us(), kind=TopicKind.HANDLES, raw=raw)
    verifying.store._db.execute("PRAGMA query_only = ON")
    for _ in range(2):
        with pytest.raises(WorldError):
            verifying.worker.record([entry])
    verifying.store._db.execute("PRAGMA query_only = OFF")
    verifying.worker.record([entry])
    verifying.worker.settle()
    assert kinds(verifying) == [TopicKind.ENDORSEMENTS, TopicKind.HANDLES]
    verifying.restart()
    assert verifying.take_handle(raw) is False


def test_receipts_only_grow_and_never_run_behind_the_handles(caplog: pytest.LogCaptureFixture) -> None:
    receipts = ReceiptClock()
    with caplog.at_level("WARNING"):
        assert receipts.next_us(100 * S, 0) == 100 * S
        assert receipts.next_us(99 * S, 0) == 100 * S + 1
        assert receipts.next_us(101 * S, 103 * S) == 103 * S
        assert CLOCK_BEHIND._value.get() == 2.0
        assert receipts.next_us(102 * S, 103 * S) == 103 * S + 1
        assert CLOCK_BEHIND._value.get() == 1.0
        assert caplog.text.count("verifier-clock-behind") == 1
        assert receipts.next_us(104 * S, 103 * S) == 104 * S
        assert CLOCK_BEHIND._value.get() == 0.0
        receipts.next_us(104 * S, 105 * S)
        assert caplog.text.count("verifier-clock-behind") == 2


def test_a_clock_that_was_far_ahead_is_followed_back(caplog: pytest.LogCaptureFixture) -> None:
    receipts = ReceiptClock()
    receipts.next_us(1_000 * S, 0)
    receipts.next_us(9_000 * S, 0)
    with caplog.at_level("WARNING"):
        assert receipts.next_us(1_001 * S, 0) < 1_002 * S
        assert receipts.next_us(1_000 * S, 0) > 1_001 * S
    assert caplog.text.count("verifier-clock-set-back") == 1
    receipts.next_us(9_000 * S, 0)
    assert receipts.next_us(1_001 * S, 2_000 * S) >= 2_000 * S


def test_a_verifier_whose_clock_is_behind_takes_no_evidence_for_younger_than_it_is(verifying: Verifying) -> None:
    handle = verifying.verified(verifying.mint.raw(verifying.now_us))
    verifying.now_us -= 5 * S
    verifying.take_handle(verifying.mint.raw(handle.time_us))
    verifying.device.sync(handle)
    raw = verifying.mint.raw(handle.time_us + S)
    verifying.take_handle(raw)
    result = verifying.push()
    assert result.received_us is not None
    assert result.received_us >= verifying.verified(raw).earliest_us > verifying.now_us


def test_the_floor_survives_a_restart(verifying: Verifying) -> None:
    handle = verifying.new_handle()
    verifying.restart()
    assert verifying.trust.floor_us == handle.earliest_us


def test_entries_of_both_kinds_are_lines_for_people(verifying: Verifying) -> None:
    handle = verifying.new_handle()
    verifying.device.sync(handle)
    verifying.push()
    lines = [entry_line(number, raw) for number, raw in read_entries(verifying.audit_file)]
    assert " endorsements accepted digest=" in lines[0]
    assert lines[1].endswith(f" handles accepted digest={handle.id.hex()[:16]}")
    assert " result - evidence=" in lines[2]
    assert entry_line(7, b"\xff").startswith("7 unreadable")


@pytest.mark.parametrize(
    "entry",
    [
        ObjectEntry(received_us=1, kind="handles", raw=b"x"),
        ObjectEntry(received_us=0, kind="endorsements", raw=b""),
    ],
)
def test_object_entries_come_back(entry: ObjectEntry) -> None:
    assert parse_entry(encode_entry(entry)) == entry


def test_an_object_of_another_kind_is_malformed() -> None:
    with pytest.raises(PeerError) as refused:
        parse_entry(encode_entry(ObjectEntry(received_us=1, kind="solicits", raw=b"x")))
    assert refused.value.reason is Reason.MALFORMED
