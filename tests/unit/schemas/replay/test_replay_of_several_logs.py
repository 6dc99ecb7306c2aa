"""Replay of CEL logs, and of several logs at once: order, ownership, and what each quote leaves behind."""

import pytest

from schemas import limits
from schemas.cel.in_cbor import encode_record
from schemas.cel.records import (
    ApplicationContent,
    CelRecord,
    ManagementContent,
    ManagementEvent,
    SystemdContent,
    application_record,
)
from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256, SHA384, HashAlgorithm
from schemas.ima.records import ImaBankMode
from schemas.reasons import Reason
from schemas.replay.log_replay import IMA, TCG2, Consumed, Quoted, Replay, ReplayState
from schemas.tpm.pcr import PcrBankSelection, PcrSelection, PcrValues, composite_digest, extend, initial_value
from tests.builders.log_bytes import EV_NO_ACTION, agile_event, ima_ng, measured, spec_id_record, startup_locality

APP, SYSTEMD = "cel/app", "cel/systemd"
SPEC_ID = spec_id_record({4: 20, 11: 32})
FRESH = ReplayState(banks=(SHA1, SHA256))
FILES = [ima_ng(b"/%d" % number, b"") for number in range(4)]


def sha256(index: int, *digests: bytes) -> bytes:
    value = initial_value(SHA256, index)
    for digest in digests:
        value = extend(SHA256, value, digest)
    return value


def quoted(state: ReplayState, *indices: int, bank: HashAlgorithm = SHA256) -> Quoted:
    """A quote of one bank, as a TPM in ``state`` would make it."""
    selection = PcrSelection(banks=(PcrBankSelection(algorithm=bank, indices=indices),))
    values = PcrValues({bank: {index: initial_value(bank, index, state.startup_locality) for index in indices}})
    digest = composite_digest(selection, values.updated(PcrValues(state.registers)), SHA256)
    return Quoted(selection=selection, digest=digest, algorithm=SHA256)


def text(number: int, pcr: int | None, content: str, nv_index: int | None = None) -> CelRecord:
    """A record of systemd's, with digests of its text."""
    digests = tuple((bank.tpm_id, bank.digest(content.encode())) for bank in (SHA1, SHA256))
    return CelRecord(recnum=number, pcr=pcr, nv_index=nv_index, digests=digests, content=SystemdContent(string=content))


def cel(*records: CelRecord) -> bytes:
    return b"".join(map(encode_record, records))


# ── CEL logs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_record_extends_its_pcr_in_each_bank() -> None:
    records = (text(0, 11, "a"), text(0, 15, "b"), text(1, 11, "c"), text(0, 0, "d"))
    whole = Replay(FRESH, {SYSTEMD: cel(*records)}).whole
    assert whole.state.registers[SHA256] == {
        11: sha256(11, SHA256.digest(b"a"), SHA256.digest(b"c")),
        15: sha256(15, SHA256.digest(b"b")),
        0: sha256(0, SHA256.digest(b"d")),
    }
    assert whole.state.registers[SHA1].keys() == {0, 11, 15}
    assert whole.state.next_index == {SYSTEMD: 4}
    consumed = whole.consumed[SYSTEMD]
    assert consumed == Consumed(count=4, size=len(cel(*records)), cel=records)


def test_records_of_nv_indices_extend_no_pcr() -> None:
    """Not even PCR 0, which stands in their place among the columns."""
    state = Replay(FRESH, {SYSTEMD: cel(text(0, None, "a", nv_index=0x01000000), text(0, 15, "b"))}).whole.state
    assert state.registers[SHA256] == {15: sha256(15, SHA256.digest(b"b"))}
    assert state.next_index == {SYSTEMD: 2}


def test_records_that_tell_of_the_log_extend_nothing() -> None:
    """CEL 1.1: cel_version and firmware_end are not extended."""
    digests = ((SHA256.tpm_id, b"\x01" * 32),)
    content = ManagementContent(event=ManagementEvent.FIRMWARE_END)
    record = CelRecord(recnum=0, pcr=15, digests=digests, content=content)
    assert Replay(FRESH, {SYSTEMD: cel(record)}).whole.state.registers == {}


def test_a_bank_for_which_a_record_has_no_digest_stays() -> None:
    record = application_record(14, ApplicationContent(event_type="a", name="b", digest=bytes(32)), (SHA256.tpm_id,), 0)
    state = Replay(ReplayState(banks=(SHA1, SHA256, SHA384)), {APP: cel(record)}).whole.state
    assert state.registers.keys() == {SHA256}


def test_an_application_record_has_the_digests_of_its_content() -> None:
    """A sender that reproduces the PCR by other digests may not name files of its choice beside them."""
    content = ApplicationContent(event_type="app", name="/etc/app.conf", digest=bytes(32))
    lie = CelRecord(recnum=0, pcr=14, digests=((SHA256.tpm_id, b"\x01" * 32),), content=content)
    for data in (cel(lie), cel(application_record(14, content, (SHA256.tpm_id,), 0), lie)):
        with pytest.raises(PeerError) as caught:
            Replay(FRESH, {APP: data})
        assert caught.value.reason is Reason.LOG_MALFORMED


def test_a_record_that_is_cut_short_is_malformed() -> None:
    data = cel(text(0, 15, "a"), text(1, 15, "b"))
    for cut in (1, len(data) // 2 + 1, len(data) - 1):
        with pytest.raises(PeerError, match="cut short") as caught:
            Replay(FRESH, {SYSTEMD: data[:cut]})
        assert caught.value.reason is Reason.LOG_MALFORMED


def test_the_longest_prefix_of_a_cel_log_is_consumed() -> None:
    records = [text(number, 15, f"{number}") for number in range(4)]
    replay = Replay(FRESH, {SYSTEMD: cel(*records)})
    for count in (3, 0, 2, 4, 1):
        there = Replay(FRESH, {SYSTEMD: cel(*records[:count])} if count else {}).whole.state
        found = replay.until(quoted(there, 15))
        assert found is not None
        assert found.state == there
        consumed = found.consumed[SYSTEMD]
        assert (consumed.count, consumed.size, consumed.cel) == (
            count,
            len(cel(*records[:count])),
            tuple(records[:count]),
        )


def test_a_cel_log_goes_on_from_the_boot_log_and_ima_from_both() -> None:
    """Whatever the order of the increments: firmware, then CEL logs by name, then IMA."""
    increments = {
        IMA: ima_ng(b"/f", b"", pcr_index=11),
        SYSTEMD: cel(text(0, 11, "s")),
        APP: cel(text(0, 11, "a")),
        TCG2: SPEC_ID + measured(11, b"stub"),
    }
    whole = Replay(FRESH, increments).whole
    data = increments[IMA][4 + 20 + 4 + 6 + 4 :]
    digests = SHA256.digest(b"stub"), SHA256.digest(b"a"), SHA256.digest(b"s"), SHA256.digest(data)
    assert whole.state.registers[SHA256] == {11: sha256(11, *digests)}
    assert list(whole.consumed) == [TCG2, APP, SYSTEMD, IMA]


# ── several logs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_three_logs_may_each_be_ahead_of_the_quote() -> None:
    events = [SPEC_ID, measured(0, b"a"), measured(4, b"b"), measured(5, b"c")]
    records = [text(number, 15, f"{number}") for number in range(3)]
    replay = Replay(FRESH, {TCG2: b"".join(events), SYSTEMD: cel(*records), IMA: b"".join(FILES)})
    parts = {TCG2: b"".join(events[:3]), SYSTEMD: cel(*records[:2]), IMA: b"".join(FILES[:3])}
    there = Replay(FRESH, parts).whole.state
    found = replay.until(quoted(there, 0, 4, 5, 10, 15))
    assert found is not None
    assert found.state == there
    assert {name: (each.count, each.size) for name, each in found.consumed.items()} == {
        TCG2: (3, len(parts[TCG2])),
        SYSTEMD: (2, len(parts[SYSTEMD])),
        IMA: (3, len(parts[IMA])),
    }
    assert found.consumed[TCG2].events == replay.whole.consumed[TCG2].events[:3]


def test_a_pcr_that_two_logs_extend_keeps_the_earlier_whole_only_if_it_is_quoted() -> None:
    """The quote says nothing of PCR 11, so it does not matter that the IMA list goes on with it."""
    events = [SPEC_ID, measured(0, b"a"), measured(11, b"b"), measured(0, b"c")]
    files = [FILES[0], ima_ng(b"/f", b"", pcr_index=11)]
    there = Replay(FRESH, {TCG2: b"".join(events[:2]), IMA: FILES[0]}).whole.state
    found = Replay(FRESH, {TCG2: b"".join(events), IMA: b"".join(files)}).until(quoted(there, 0, 10))
    assert found is not None
    assert found.consumed[TCG2].count == 3  # what it does not speak of goes with those before it


def test_an_earlier_log_is_only_tried_whole_whatever_lies_between_it_and_the_later_one() -> None:
    """Both extend PCR 10; the log between them extends another selected PCR."""
    boot = SPEC_ID + measured(10, b"a")
    there = Replay(FRESH, {TCG2: boot}).whole.state
    increments = {TCG2: boot + measured(10, b"b"), SYSTEMD: cel(text(0, 15, "s")), IMA: FILES[0]}
    assert Replay(FRESH, increments).until(quoted(there, 10, 15)) is None
    whole_boot = Replay(FRESH, {TCG2: increments[TCG2]}).whole.state
    found = Replay(FRESH, increments).until(quoted(whole_boot, 10, 15))
    assert found is not None
    assert {name: each.count for name, each in found.consumed.items()} == {TCG2: 3, SYSTEMD: 0, IMA: 0}


def test_an_entry_that_extends_nothing_does_not_hold_an_earlier_log_whole() -> None:
    """EV_NO_ACTION for PCR 10 after an event for PCR 10 is no extension that IMA would go on from."""
    nothing = agile_event(10, EV_NO_ACTION, {4: bytes(20), 11: bytes(32)}, b"")
    events = [SPEC_ID, nothing, measured(0, b"a"), measured(0, b"b")]
    there = Replay(FRESH, {TCG2: b"".join(events[:3]), IMA: b"".join(FILES[:2])}).whole.state
    found = Replay(FRESH, {TCG2: b"".join(events), IMA: b"".join(FILES)}).until(quoted(there, 0, 10))
    assert found is not None
    assert found.state == there


def test_asking_for_one_quote_changes_nothing_for_the_next() -> None:
    replay = Replay(FRESH, {TCG2: SPEC_ID + measured(0, b"a"), IMA: b"".join(FILES)})
    for count in (4, 1, 3, 1, 2, 4):
        there = Replay(FRESH, {TCG2: SPEC_ID + measured(0, b"a"), IMA: b"".join(FILES[:count])}).whole.state
        found = replay.until(quoted(there, 0, 10))
        assert found is not None
        assert found.state == there
    first = Replay(FRESH, {TCG2: SPEC_ID + measured(0, b"a")}).whole.state
    for _ in range(2):
        found = replay.until(quoted(first, 0, 10))
        assert found is not None
        assert found.state == first


def test_indices_add_up_over_increments() -> None:
    state = Replay(FRESH, {TCG2: SPEC_ID + measured(0, b"a"), IMA: FILES[0]}).whole.state
    state = Replay(state, {IMA: FILES[1] + FILES[2]}).whole.state
    state = Replay(state, {TCG2: measured(4, b"b")}).whole.state
    assert state.next_index == {TCG2: 3, IMA: 3}


def test_what_the_boot_log_said_stays_while_other_logs_grow() -> None:
    log = SPEC_ID + startup_locality(3) + measured(0, b"a")
    booted = Replay(FRESH, {TCG2: log}).whole.state
    later = Replay(booted, {IMA: FILES[0], SYSTEMD: cel(text(0, 15, "a"))}).whole.state
    assert (later.boot_log_format, later.startup_locality) == (booted.boot_log_format, 3)
    both = Replay(FRESH, {TCG2: log, IMA: FILES[0]}).whole.state
    assert (both.boot_log_format, both.startup_locality) == (booted.boot_log_format, 3)


def test_a_log_of_which_nothing_was_quoted_leaves_nothing_behind() -> None:
    """Not its format, which entry 0 brings again; not an index of 0 either, so equal states are equal."""
    replay = Replay(FRESH, {TCG2: SPEC_ID + measured(0, b"a"), IMA: FILES[0]})
    found = replay.until(quoted(Replay(FRESH, {TCG2: SPEC_ID + measured(0, b"a")}).whole.state, 0, 10))
    assert found is not None
    assert found.state.next_index == {TCG2: 2}
    plain = Replay(FRESH, {TCG2: measured_sha1(0, b"a") + measured_sha1(0, b"b")})
    nothing = plain.until(quoted(FRESH, 0, bank=SHA1))
    assert nothing is not None
    assert nothing.state == FRESH
    assert nothing.state.boot_log_format is None


def measured_sha1(pcr_index: int, data: bytes) -> bytes:
    """An entry of a log without a Spec ID Event: TCG_PCR_EVENT from the first on."""
    return pcr_index.to_bytes(4, "little") + b"\x04\0\0\0" + SHA1.digest(data) + len(data).to_bytes(4, "little") + data


def test_a_locality_beyond_the_quote_is_not_kept() -> None:
    events = [SPEC_ID, measured(4, b"a"), measured(4, b"b"), startup_locality(3)]
    there = Replay(FRESH, {TCG2: b"".join(events[:2])}).whole.state
    found = Replay(FRESH, {TCG2: b"".join(events)}).until(quoted(there, 4))
    assert found is not None
    assert (found.consumed[TCG2].count, found.state.startup_locality) == (2, 0)
    again = Replay(found.state, {TCG2: b"".join(events[2:])}).whole.state
    assert again.startup_locality == 3


def test_the_bank_modes_stay() -> None:
    start = ReplayState(banks=(SHA1, SHA256), ima_bank_modes={SHA256: ImaBankMode.PADDED_SHA1})
    replay = Replay(start, {IMA: FILES[0] + FILES[1]})
    assert replay.whole.state.ima_bank_modes == start.ima_bank_modes
    found = replay.until(quoted(Replay(start, {IMA: FILES[0]}).whole.state, 10))
    assert found is not None
    assert found.state.ima_bank_modes == start.ima_bank_modes


def test_a_quoted_bank_that_no_log_replays_has_the_values_beside_the_logs() -> None:
    selection = PcrSelection(
        banks=(
            PcrBankSelection(algorithm=SHA384, indices=(10,)),
            PcrBankSelection(algorithm=SHA256, indices=(10,)),
        )
    )
    beside = PcrValues({SHA384: {10: b"\x38" * 48}})
    there = Replay(FRESH, {IMA: FILES[0]}).whole.state
    digest = composite_digest(selection, beside.updated(PcrValues(there.registers)), SHA256)
    quote = Quoted(selection=selection, digest=digest, algorithm=SHA256)
    found = Replay(FRESH, {IMA: FILES[0] + FILES[1]}).until(quote, beside)
    assert found is not None
    assert found.consumed[IMA].count == 1
    assert Replay(FRESH, {IMA: FILES[0] + FILES[1]}).until(quote) is None


def test_the_same_quote_hashed_otherwise_is_another_one() -> None:
    """The hash is the one of the key's signing scheme."""
    there = Replay(FRESH, {IMA: FILES[0]}).whole.state
    selection = PcrSelection(banks=(PcrBankSelection(algorithm=SHA256, indices=(10,)),))
    digest = composite_digest(selection, PcrValues(there.registers), SHA384)
    replay = Replay(FRESH, {IMA: FILES[0] + FILES[1]})
    found = replay.until(Quoted(selection=selection, digest=digest, algorithm=SHA384))
    assert found is not None
    assert found.consumed[IMA].count == 1
    assert replay.until(Quoted(selection=selection, digest=digest, algorithm=SHA256)) is None


def test_a_selection_of_unextended_registers_is_reproduced_by_all_entries_or_by_none() -> None:
    """No entry touches PCR 7: there is nothing to shorten, and nothing to find."""
    replay = Replay(FRESH, {IMA: FILES[0]})
    assert replay.until(quoted(FRESH, 7)) == replay.whole
    other = PcrValues({SHA256: {7: b"\x07" * 32}})
    selection = PcrSelection(banks=(PcrBankSelection(algorithm=SHA256, indices=(7,)),))
    quote = Quoted(selection=selection, digest=composite_digest(selection, other, SHA256), algorithm=SHA256)
    assert replay.until(quote) is None


def test_a_log_has_as_many_entries_as_allowed_and_not_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.MAX_LOG_ENTRIES == 2_000_000
    monkeypatch.setattr(limits, "MAX_LOG_ENTRIES", 2)
    two = Replay(FRESH, {IMA: FILES[0] + FILES[1]}).whole.state
    assert two.next_index == {IMA: 2}
    one = Replay(FRESH, {IMA: FILES[0]}).whole.state
    assert Replay(one, {IMA: FILES[1], SYSTEMD: cel(text(0, 15, "a"))}).whole.state.next_index[IMA] == 2
    for state, data in ((FRESH, FILES[0] + FILES[1] + FILES[2]), (one, FILES[1] + FILES[2]), (two, FILES[2])):
        with pytest.raises(PeerError, match="log ima") as caught:
            Replay(state, {IMA: data})
        assert caught.value.reason is Reason.TOO_LARGE


def test_the_padded_assumption_is_no_part_of_what_a_state_is() -> None:
    assert ReplayState(banks=(SHA256,), padded={SHA256: {10: bytes(32)}}) == ReplayState(banks=(SHA256,))
    state = ReplayState(banks=(SHA256,), padded={SHA256: {10: bytes(32)}})
    assert Replay(state, {IMA: FILES[0]}).whole.state.padded == {}


@pytest.mark.parametrize("name", ["", "foo", "cel", "tcg2/a", "ima/a", "foo/a", "TCG2", "cel2/a"])
def test_other_logs_are_not_replayed(name: str) -> None:
    with pytest.raises(PeerError) as caught:
        Replay(FRESH, {name: b"", IMA: FILES[0]})
    assert caught.value.reason is Reason.LOG_MALFORMED
