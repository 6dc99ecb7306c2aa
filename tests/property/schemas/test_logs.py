"""Logs: any bytes are refused politely, any split replays alike, and no bit of what is extended can be changed."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.boot_log import records as boot_records
from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256, SHA384, HashAlgorithm
from schemas.ima import records as ima_records
from schemas.ima.ascii import convert_ascii
from schemas.ima.formats import ListFormat, convert, detect_format
from schemas.ima.records import ImaBankMode
from schemas.ima.signature import parse_file_signature
from schemas.replay.bank_replay import BankReplay
from schemas.replay.log_replay import IMA, TCG2, Quoted, Replay, ReplayState
from schemas.tpm.pcr import PcrBankSelection, PcrSelection, PcrValues, composite_digest, initial_value
from tests.builders.log_bytes import (
    EV_HCRTM,
    FIRMWARE,
    agile_event,
    ima_legacy,
    ima_ng,
    ima_record,
    measured,
    spec_id_record,
    startup_locality,
)

BANKS = (SHA1, SHA256, SHA384)
SPEC_ID = spec_id_record({4: 20, 11: 32, 0x12: 32})
FORMAT = boot_records.parse_format(SPEC_ID)
FRESH = ReplayState(banks=BANKS)
BOOT_LOG = (FIRMWARE / "binary_bios_measurements").read_bytes()
IMA_LIST = (FIRMWARE / "binary_runtime_measurements").read_bytes()

names = st.binary(max_size=20).filter(lambda name: b"\0" not in name)
events = st.one_of(
    st.builds(measured, st.integers(0, 23), st.binary(max_size=20)),
    st.builds(lambda index, data: measured(index, data, banks=(SHA1,)), st.integers(0, 9), st.binary(max_size=20)),
    st.builds(startup_locality, st.sampled_from([0, 3, 4])),
    st.just(measured(0, b"HCRTM", EV_HCRTM)),
    st.builds(lambda data: agile_event(0, 3, {}, b"note" + data), st.binary(max_size=8)),
)
files = st.one_of(
    st.builds(ima_ng, names, st.binary(max_size=8), st.integers(0, 23)),
    st.builds(ima_legacy, names, st.binary(max_size=8)),
    st.builds(lambda name: ima_record(b"ima-sig", b"sha256:\0" + bytes(32), name + b"\0", b"\x03s"), names),
    st.builds(lambda name: ima_record(b"ima-ng", b"", name, template_hash=bytes(20)), names),
    st.builds(ima_record, st.sampled_from([b"custom", b"x"]), st.binary(max_size=20)),
)
boot_logs = st.lists(events, max_size=12).map(lambda records: [SPEC_ID, *records])
ima_lists = st.lists(files, max_size=12)


def tcg2_replay(data: bytes) -> object:
    return Replay(FRESH, {TCG2: data}).whole


def ima_replay(data: bytes) -> object:
    consumed = Replay(FRESH, {IMA: data}).whole.consumed[IMA]
    assert consumed.ima is not None
    return list(consumed.ima.files(consumed.count))


PARSERS: list[Callable[[bytes], object]] = [
    boot_records.split_records,
    boot_records.parse_format,
    boot_records.decode_format,
    lambda data: boot_records.split_records(data, FORMAT),
    lambda data: boot_records.parse_event(data, FORMAT),
    lambda data: boot_records.parse_event(data, None).startup_locality,
    tcg2_replay,
    ima_records.split_records,
    ima_records.parse_entry,
    ima_replay,
    convert_ascii,
    lambda data: convert(data, detect_format(data)),
    lambda data: convert(data, ListFormat(algorithm=SHA384)),
    parse_file_signature,
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A log with some bytes replaced, removed or added."""
    log = bytearray(draw(st.sampled_from([BOOT_LOG, IMA_LIST, SPEC_ID + measured(0, b"x"), ima_legacy(b"/f", b"")])))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(log)))
        log[start : start + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(log)


@pytest.mark.parametrize("parse", PARSERS)
@given(data=st.one_of(st.binary(max_size=300), damaged()))
def test_any_bytes_parse_or_raise_a_peer_error(parse: Callable[[bytes], object], data: bytes) -> None:
    try:
        parse(data)
    except PeerError:
        return


@given(records=boot_logs, rest=st.binary(max_size=11))
def test_cutting_a_boot_log_gives_back_its_records(records: list[bytes], rest: bytes) -> None:
    split = boot_records.split_records(b"".join(records) + rest)
    assert (split.records, split.rest) == (tuple(records), rest)


@given(records=ima_lists, rest=st.binary(max_size=27))
def test_cutting_an_ima_list_gives_back_its_entries(records: list[bytes], rest: bytes) -> None:
    assert ima_records.split_records(b"".join(records) + rest) == (tuple(records), rest)
    assert len(ima_records.read_records(b"".join(records)).ends) == len(records)


@given(events_=boot_logs, files_=ima_lists, cuts=st.lists(st.integers(0, 13), max_size=4))
def test_any_increments_replay_to_the_same_state(events_: list[bytes], files_: list[bytes], cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), max(len(events_), len(files_))]
    # The firmware has measured everything before the kernel starts.
    state = FRESH
    for name, records in ((TCG2, events_), (IMA, files_)):
        for first, last in itertools.pairwise(bounds):
            if records[first:last]:
                state = Replay(state, {name: b"".join(records[first:last])}).whole.state
    increments = {name: b"".join(records) for name, records in ((TCG2, events_), (IMA, files_)) if records}
    assert Replay(FRESH, increments).whole.state == state


@given(
    records=ima_lists, cuts=st.lists(st.integers(0, 13), max_size=4), padded=st.sets(st.sampled_from([SHA256, SHA384]))
)
def test_a_bank_mode_is_found_whatever_the_increments(
    records: list[bytes], cuts: list[int], padded: set[HashAlgorithm]
) -> None:
    modes = {bank: ImaBankMode.PADDED_SHA1 if bank in padded else ImaBankMode.HASHED for bank in BANKS}
    there = Replay(replace(FRESH, ima_bank_modes=modes), {IMA: b"".join(records)} if records else {}).whole.state
    state = FRESH
    bounds = [0, *sorted(cut for cut in cuts if cut < len(records))]
    for first, last in itertools.pairwise(bounds):
        part = b"".join(records[first:last])
        state = BankReplay(state, {IMA: part} if part else {}).whole.state
    rest = b"".join(records[bounds[-1] :])
    selection = PcrSelection(banks=tuple(PcrBankSelection(algorithm=bank, indices=tuple(range(24))) for bank in BANKS))
    values = {bank: {index: initial_value(bank, index, 0) for index in range(24)} for bank in BANKS}
    digest = composite_digest(selection, PcrValues(values).updated(PcrValues(there.registers)), SHA256)
    found = BankReplay(state, {IMA: rest} if rest else {}).until(
        Quoted(selection=selection, digest=digest, algorithm=SHA256)
    )
    assert found is not None
    assert found.state.registers == there.registers
    assert found.state.next_index == there.next_index


@given(records=ima_lists.filter(bool), data=st.data())
def test_the_prefix_that_was_quoted_is_found(records: list[bytes], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(records)))
    there = Replay(FRESH, {IMA: b"".join(records[:count])}).whole.state
    selection = PcrSelection(banks=(PcrBankSelection(algorithm=SHA256, indices=tuple(range(24))),))
    quote = Quoted(selection=selection, digest=quote_digest(selection, there, SHA256), algorithm=SHA256)
    found = Replay(FRESH, {IMA: b"".join(records)}).until(quote)
    assert found is not None
    assert found.state == there


def quote_digest(selection: PcrSelection, state: ReplayState, algorithm: HashAlgorithm) -> bytes:
    values = {SHA256: {index: initial_value(SHA256, index, state.startup_locality) for index in range(24)}}
    return composite_digest(selection, PcrValues(values).updated(PcrValues(state.registers)), algorithm)


def registers_after_flip(name: str, log: bytes, bit: int) -> object:
    flipped = bytearray(log)
    flipped[bit // 8] ^= 1 << bit % 8
    try:
        return Replay(FRESH, {name: bytes(flipped)}).whole.state.registers
    except PeerError:
        return None


@given(record=st.one_of(st.builds(ima_ng, names, st.binary(max_size=8)), st.builds(ima_legacy, names)), data=st.data())
def test_no_bit_of_an_ima_entry_can_be_flipped_unnoticed(record: bytes, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, len(record) * 8 - 1))
    name_bits = range(28 * 8, (28 + 7) * 8)
    assume(bit not in name_bits)  # no PCR binds the template's name: see the next test
    before = Replay(FRESH, {IMA: record}).whole.state.registers
    assert registers_after_flip(IMA, record, bit) != before


@given(path=names, name=st.binary(min_size=1, max_size=10).filter(lambda name: name != b"ima"))
def test_another_template_name_never_makes_another_file_of_an_entry(path: bytes, name: bytes) -> None:
    (true,) = ima_records.read_records(ima_ng(path, b"content")).files(1)
    renamed = ima_ng(path, b"content").replace(b"\x06\0\0\0ima-ng", len(name).to_bytes(4, "little") + name, 1)
    try:
        (claimed,) = ima_records.read_records(renamed).files(1)
    except PeerError:
        return
    assert claimed in {true, ima_records.ImaFile(10, b"", b"", b"", b"")}


@given(index=st.integers(0, 23), content=st.binary(max_size=20), data=st.data())
def test_no_bit_of_what_an_event_extends_can_be_flipped_unnoticed(
    index: int, content: bytes, data: st.DataObject
) -> None:
    log = SPEC_ID + measured(index, content)
    header = len(SPEC_ID)
    # PCR index, then (after the event type and the count) two algorithm numbers and digests; not the event data.
    extended = [*range(header, header + 4), *range(header + 12, header + 12 + 2 + 20 + 2 + 32)]
    byte = data.draw(st.sampled_from(extended))
    bit = byte * 8 + data.draw(st.integers(0, 7))
    before = Replay(FRESH, {TCG2: log}).whole.state.registers
    assert registers_after_flip(TCG2, log, bit) != before


@pytest.mark.parametrize("locality", [3, 4])
@given(bit=st.integers(0, 7))
def test_no_bit_of_the_startup_locality_can_be_flipped_unnoticed(locality: int, bit: int) -> None:
    log = SPEC_ID + startup_locality(locality) + measured(0, b"x")
    position = len(SPEC_ID + startup_locality(locality)) - 1
    before = Replay(FRESH, {TCG2: log}).whole.state.registers
    assert registers_after_flip(TCG2, log, position * 8 + bit) != before
