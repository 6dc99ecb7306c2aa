"""Replay: what is extended, how far a quote reaches, and which PCRs the logs own."""

import pytest

from schemas import limits
from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256, SHA384, HashAlgorithm
from schemas.ima.records import ImaBankMode
from schemas.reasons import Reason
from schemas.replay import prefix_search
from schemas.replay.log_replay import IMA, TCG2, Consumed, Quoted, Replay, ReplayState
from schemas.tpm.pcr import PcrBankSelection, PcrSelection, PcrValues, composite_digest, extend, initial_value
from tests.builders.log_bytes import (
    EV_HCRTM,
    EV_NO_ACTION,
    agile_event,
    ima_ng,
    ima_record,
    measured,
    spec_id_record,
    startup_locality,
)

SPEC_ID = spec_id_record({4: 20, 11: 32})
FRESH = ReplayState(banks=(SHA1, SHA256))


def extended(bank: HashAlgorithm, value: bytes, *digests: bytes) -> bytes:
    for digest in digests:
        value = extend(bank, value, digest)
    return value


def sha256(index: int, *digests: bytes, locality: int = 0) -> bytes:
    return extended(SHA256, initial_value(SHA256, index, locality), *digests)


def quoted(state: ReplayState, *indices: int, unlogged: PcrValues | None = None) -> Quoted:
    """A quote of SHA-256 PCRs, as a TPM in ``state`` would make it."""
    selection = PcrSelection(banks=(PcrBankSelection(algorithm=SHA256, indices=indices),))
    values = PcrValues({SHA256: {index: initial_value(SHA256, index, state.startup_locality) for index in indices}})
    values = values.updated(unlogged or PcrValues({})).updated(PcrValues(state.registers))
    return Quoted(selection=selection, digest=composite_digest(selection, values, SHA256), algorithm=SHA256)


def test_each_event_extends_its_pcr_in_each_bank() -> None:
    whole = Replay(FRESH, {TCG2: SPEC_ID + measured(0, b"a") + measured(4, b"b") + measured(0, b"c")}).whole
    assert whole.state.registers == {
        SHA1: {
            0: extended(SHA1, bytes(20), SHA1.digest(b"a"), SHA1.digest(b"c")),
            4: extended(SHA1, bytes(20), SHA1.digest(b"b")),
        },
        SHA256: {0: sha256(0, SHA256.digest(b"a"), SHA256.digest(b"c")), 4: sha256(4, SHA256.digest(b"b"))},
    }
    assert whole.state.next_index == {TCG2: 4}
    events = whole.consumed[TCG2].events
    assert isinstance(events, tuple)
    size = len(SPEC_ID + measured(0, b"a") + measured(4, b"b") + measured(0, b"c"))
    assert whole.consumed[TCG2] == Consumed(count=4, size=size, events=events)
    assert [event.data for event in events[1:]] == [b"a", b"b", b"c"]


def test_an_event_without_a_digest_for_a_bank_leaves_the_bank_alone() -> None:
    log = SPEC_ID + measured(0, b"a", banks=(SHA1,))
    state = Replay(ReplayState(banks=(SHA1, SHA256, SHA384)), {TCG2: log}).whole.state
    assert state.registers.keys() == {SHA1}


def test_events_of_no_action_extend_nothing() -> None:
    log = SPEC_ID + agile_event(1, EV_NO_ACTION, {4: b"\x01" * 20, 11: b"\x01" * 32}, b"")
    assert Replay(FRESH, {TCG2: log}).whole.state.registers == {}


@pytest.mark.parametrize("locality", [0, 3, 4])
def test_pcr_0_starts_at_the_startup_locality(locality: int) -> None:
    state = Replay(FRESH, {TCG2: SPEC_ID + startup_locality(locality) + measured(0, b"a")}).whole.state
    assert state.startup_locality == locality
    assert state.registers[SHA256][0] == sha256(0, SHA256.digest(b"a"), locality=locality)


def test_pcr_0_starts_at_4_when_the_h_crtm_was_first() -> None:
    state = Replay(FRESH, {TCG2: SPEC_ID + measured(0, b"HCRTM", EV_HCRTM)}).whole.state
    assert state.registers[SHA256][0] == sha256(0, SHA256.digest(b"HCRTM"), locality=4)


def test_a_startup_locality_after_the_first_extension_changes_nothing() -> None:
    state = Replay(FRESH, {TCG2: SPEC_ID + measured(0, b"a") + startup_locality(3)}).whole.state
    assert state.startup_locality == 0
    later = Replay(state, {TCG2: startup_locality(3) + measured(0, b"b")}).whole.state
    assert later.startup_locality == 0
    assert later.registers[SHA256][0] == sha256(0, SHA256.digest(b"a"), SHA256.digest(b"b"))


def test_only_an_extension_of_pcr_0_in_a_replayed_bank_ends_the_search_for_the_locality() -> None:
    sha1_only = measured(0, b"a", banks=(SHA1,))
    one_bank = ReplayState(banks=(SHA256,))
    assert Replay(one_bank, {TCG2: SPEC_ID + sha1_only + startup_locality(3)}).whole.state.startup_locality == 3
    assert Replay(FRESH, {TCG2: SPEC_ID + sha1_only + startup_locality(3)}).whole.state.startup_locality == 0
    both = SPEC_ID + measured(0, b"a") + startup_locality(3)
    assert Replay(one_bank, {TCG2: both}).whole.state.startup_locality == 0
    other_pcr = SPEC_ID + measured(4, b"a") + startup_locality(3) + measured(0, b"b")
    state = Replay(FRESH, {TCG2: other_pcr}).whole.state
    assert state.registers[SHA256][0] == sha256(0, SHA256.digest(b"b"), locality=3)


def test_dynamic_pcrs_start_as_ones() -> None:
    state = Replay(FRESH, {TCG2: SPEC_ID + measured(17, b"a")}).whole.state
    assert state.registers[SHA256][17] == extended(SHA256, b"\xff" * 32, SHA256.digest(b"a"))


def test_a_violation_extends_ones() -> None:
    violation = ima_record(b"ima-ng", b"sha256:\0" + bytes(32), b"/v\0", template_hash=bytes(20))
    state = Replay(FRESH, {IMA: violation}).whole.state
    assert state.registers == {
        SHA1: {10: extended(SHA1, bytes(20), b"\xff" * 20)},
        SHA256: {10: sha256(10, b"\xff" * 32)},
    }


def test_a_bank_that_the_kernel_pads_is_extended_with_padded_sha1() -> None:
    start = ReplayState(banks=(SHA256, SHA384), ima_bank_modes={SHA384: ImaBankMode.PADDED_SHA1})
    record = ima_ng(b"/f", b"")
    data = record[4 + 20 + 4 + 6 + 4 :]
    state = Replay(start, {IMA: record}).whole.state
    assert state.registers == {
        SHA256: {10: sha256(10, SHA256.digest(data))},
        SHA384: {10: extended(SHA384, bytes(48), SHA1.digest(data) + bytes(28))},
    }


def test_a_state_is_not_changed_by_what_is_replayed_over_it() -> None:
    before = Replay(FRESH, {IMA: ima_ng(b"/1", b"")}).whole.state
    value = before.registers[SHA256][10]
    Replay(before, {IMA: ima_ng(b"/2", b"")})
    assert before.registers[SHA256][10] == value
    assert before.next_index == {IMA: 1}


def test_the_longest_prefix_that_the_quote_reaches_is_consumed() -> None:
    records = [ima_ng(b"/%d" % number, b"") for number in range(6)]
    start = Replay(FRESH, {TCG2: SPEC_ID + measured(0, b"a"), IMA: records[0]}).whole.state
    replay = Replay(start, {IMA: b"".join(records[1:])})
    for count in range(6):
        there = Replay(start, {IMA: b"".join(records[1 : 1 + count])}).whole.state if count else start
        found = replay.until(quoted(there, 0, 10))
        assert found is not None
        assert found.state == there
        consumed = found.consumed[IMA]
        assert (consumed.count, consumed.size) == (count, sum(map(len, records[1 : 1 + count])))
        assert consumed.ima is not None
        assert [file.path for file in consumed.ima.files(count)] == [b"/%d" % number for number in range(1, 1 + count)]


def test_entries_that_touch_no_selected_pcr_go_with_those_before_them() -> None:
    log = ima_ng(b"/1", b"") + ima_ng(b"/2", b"", pcr_index=11) + ima_ng(b"/3", b"")
    there = Replay(FRESH, {IMA: ima_ng(b"/1", b"")}).whole.state
    found = Replay(FRESH, {IMA: log}).until(quoted(there, 10))
    assert found is not None
    assert found.consumed[IMA].count == 2
    assert found.state.registers[SHA256].keys() == {10, 11}


@pytest.mark.parametrize("event_count", [1, 2, 3, 4])
@pytest.mark.parametrize("file_count", [1, 2, 4])
def test_each_of_two_logs_may_be_ahead_of_the_quote(event_count: int, file_count: int) -> None:
    events = [SPEC_ID, measured(0, b"a"), measured(4, b"b"), measured(5, b"c")]
    files = [ima_ng(b"/%d" % number, b"") for number in range(4)]
    there = Replay(FRESH, {TCG2: b"".join(events[:event_count]), IMA: b"".join(files[:file_count])}).whole.state
    found = Replay(FRESH, {TCG2: b"".join(events), IMA: b"".join(files)}).until(quoted(there, 0, 4, 5, 10))
    assert found is not None
    assert {name: each.count for name, each in found.consumed.items()} == {TCG2: event_count, IMA: file_count}
    assert found.state == there
    assert len(found.consumed[TCG2].events) == event_count


def test_a_quote_that_no_prefix_reproduces_is_found_nowhere() -> None:
    other = Replay(FRESH, {IMA: ima_ng(b"/other", b"")}).whole.state
    assert Replay(FRESH, {IMA: ima_ng(b"/1", b"")}).until(quoted(other, 10)) is None


def test_when_both_logs_extend_one_pcr_the_later_one_goes_on_from_the_whole_earlier_one() -> None:
    increments = {TCG2: SPEC_ID + measured(10, b"a") + measured(10, b"b"), IMA: ima_ng(b"/1", b"")}
    replay = Replay(FRESH, increments)
    assert replay.until(quoted(replay.whole.state, 10)) == replay.whole
    found = replay.until(quoted(Replay(FRESH, {TCG2: increments[TCG2]}).whole.state, 10))
    assert found is not None
    assert {name: each.count for name, each in found.consumed.items()} == {TCG2: 3, IMA: 0}
    part = Replay(FRESH, {TCG2: SPEC_ID + measured(10, b"a")}).whole.state
    assert replay.until(quoted(part, 10)) is None


def test_without_increments_the_state_itself_is_compared() -> None:
    state = Replay(FRESH, {IMA: ima_ng(b"/1", b"")}).whole.state
    found = Replay(state, {}).until(quoted(state, 10))
    assert found is not None
    assert found.state is state
    assert found.consumed == {}
    assert Replay(FRESH, {}).until(quoted(state, 10)) is None


def test_values_beside_the_logs_stand_for_pcrs_that_no_log_owns() -> None:
    state = Replay(FRESH, {IMA: ima_ng(b"/1", b"")}).whole.state
    beside = PcrValues({SHA256: {7: b"\x07" * 32}})
    assert Replay(state, {}).until(quoted(state, 7, 10, unlogged=beside), beside) is not None
    assert Replay(state, {}).until(quoted(state, 7, 10, unlogged=beside)) is None


def test_a_pcr_without_a_value_has_its_initial_value() -> None:
    """PCR 0 shows the locality, PCR 17 starts as ones."""
    booted = SPEC_ID + startup_locality(3)
    quote = quoted(Replay(FRESH, {TCG2: booted}).whole.state, 0, 4, 17)
    replay = Replay(FRESH, {TCG2: booted})
    assert replay.until(quote) == replay.whole
    for index in (0, 4, 17):
        found = Replay(FRESH, {TCG2: booted + measured(index, b"a") + measured(index, b"b")}).until(quote)
        assert found is not None
        assert found.state == replay.whole.state


def test_values_beside_the_logs_never_stand_for_pcrs_that_a_log_owns() -> None:
    lie = PcrValues({SHA256: {10: b"\x66" * 32}})
    selection = PcrSelection(banks=(PcrBankSelection(algorithm=SHA256, indices=(10,)),))
    quote = Quoted(selection=selection, digest=composite_digest(selection, lie, SHA256), algorithm=SHA256)
    assert Replay(FRESH, {}).until(quote, lie) is not None
    assert Replay(FRESH, {IMA: ima_ng(b"/1", b"")}).until(quote, lie) is None
    owned = Replay(FRESH, {IMA: ima_ng(b"/1", b"")}).whole.state
    assert Replay(owned, {}).until(quote, lie) is None


def test_the_search_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_search, "MAX_PREFIXES_TRIED", 3)
    log = b"".join(ima_ng(b"/%d" % number, b"") for number in range(5))
    records = len(log) // 5
    reachable, beyond = (Replay(FRESH, {IMA: log[: count * records]}).whole.state for count in (3, 2))
    assert Replay(FRESH, {IMA: log}).until(quoted(reachable, 10)) is not None
    assert Replay(FRESH, {IMA: log}).until(quoted(beyond, 10)) is None


@pytest.mark.parametrize(
    ("increments", "reason"),
    [
        ({"cel": b""}, Reason.LOG_MALFORMED),
        ({"ima/app": b""}, Reason.LOG_MALFORMED),
        ({"cel/app": b"\xa0"}, Reason.LOG_MALFORMED),
        ({IMA: ima_ng(b"/1", b"")[:-1]}, Reason.LOG_MALFORMED),
        ({TCG2: SPEC_ID + measured(0, b"a")[:-1]}, Reason.LOG_MALFORMED),
        ({TCG2: SPEC_ID[:-1]}, Reason.LOG_MALFORMED),
    ],
)
def test_increments_are_whole_entries_of_known_logs(increments: dict[str, bytes], reason: Reason) -> None:
    with pytest.raises(PeerError) as caught:
        Replay(FRESH, increments)
    assert caught.value.reason is reason


def test_a_log_has_a_number_of_entries_at_most() -> None:
    full = ReplayState(banks=(SHA256,), next_index={IMA: limits.MAX_LOG_ENTRIES})
    with pytest.raises(PeerError) as caught:
        Replay(full, {IMA: ima_ng(b"/1", b"")})
    assert caught.value.reason is Reason.TOO_LARGE
