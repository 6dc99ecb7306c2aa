"""Boot events: any bytes decode or are refused politely, facts do not depend on the split, no bit can be changed."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.boot_log.binding import AuthenticatedData, bind
from schemas.boot_log.device_path import device_path_text
from schemas.boot_log.event_data import decode_event_data
from schemas.boot_log.event_types import EventType
from schemas.boot_log.facts import BootFacts, SecureBoot
from schemas.boot_log.quirks import measured_parts
from schemas.boot_log.records import BootEvent, parse_event, split_records
from schemas.boot_log.uefi_variable import parse_boot_order, parse_load_option, parse_signature, parse_signature_lists
from schemas.boot_log.windows_tags import parse_tagged_values
from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256
from schemas.text.boot_log import boot_log_lines
from tests.builders.log_bytes import FIRMWARE, uefi_variable

BANKS = (SHA1, SHA256)
BOOT_LOG = (FIRMWARE / "binary_bios_measurements").read_bytes()
SPLIT = split_records(BOOT_LOG)
RECORDED = [parse_event(record, SPLIT.format if index else None) for index, record in enumerate(SPLIT.records)]

types = st.one_of(st.sampled_from(EventType), st.integers(0, 2**32 - 1))
contents = st.sampled_from([b"", b"\0", b"\1", bytes(4), b"\1\0\0\0", b"text", uefi_variable("SecureBoot", b"\1")])


def made(pcr_index: int, event_type: int, data: bytes, hashed: bytes) -> BootEvent:
    digests = tuple((bank.tpm_id, bank.digest(hashed)) for bank in BANKS)
    return BootEvent(pcr_index=pcr_index, event_type=event_type, digests=digests, data=data)


events = st.builds(made, st.sampled_from([0, 4, 7]), types, contents, contents)


@given(types, st.binary(max_size=200))
def test_any_data_of_any_type_decode_or_are_refused(event_type: int, data: bytes) -> None:
    try:
        text = decode_event_data(event_type, data).text
    except PeerError:
        return
    assert all(character.isprintable() for character in text)


@given(st.sampled_from(RECORDED), st.integers(0, 4000), st.integers(0, 255), st.integers(0, 4000))
def test_damaged_data_of_real_events_decode_or_are_refused(
    event: BootEvent, position: int, value: int, size: int
) -> None:
    damaged = bytearray(event.data[:size])
    if damaged:
        damaged[position % len(damaged)] = value
    try:
        decode_event_data(event.event_type, bytes(damaged))
    except PeerError:
        return


@pytest.mark.parametrize(
    "parse",
    [
        device_path_text,
        parse_boot_order,
        parse_load_option,
        parse_signature,
        parse_signature_lists,
        parse_tagged_values,
    ],
)
def test_any_bytes_are_parsed_or_refused(parse: object) -> None:
    @given(st.binary(max_size=200))
    @example(b"\x30\x82\0\0")
    def check(data: bytes) -> None:
        try:
            parse(data)  # type: ignore[operator]  # one of those above
        except PeerError:
            return

    check()


@given(st.binary(max_size=300))
def test_any_bytes_are_shown_or_refused(data: bytes) -> None:
    try:
        lines = list(boot_log_lines(SPLIT.records[0] + data))
    except PeerError:
        return
    assert all(character.isprintable() for line in lines[1:] for character in line)


@given(st.lists(events, max_size=12), st.data())
def test_facts_do_not_depend_on_the_split(listed: list[BootEvent], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(listed)))
    parts = BootFacts().after(listed[:at], BANKS).after(listed[at:], BANKS)
    assert parts == BootFacts().after(listed, BANKS)


@given(types, st.binary(max_size=60))
def test_what_is_bound_is_what_was_hashed(event_type: int, data: bytes) -> None:
    for part, hashed in measured_parts(event_type, data):
        bound = bind(made(1, event_type, data, hashed), BANKS)
        if event_type != EventType.EV_NO_ACTION:
            assert isinstance(bound, AuthenticatedData)
            assert bound.measured == hashed
            assert part is bound.part or hashed in {found for _, found in measured_parts(event_type, data)}


@given(st.lists(events, max_size=8), st.lists(events, max_size=8))
def test_nothing_after_the_firmware_turns_secure_boot_on(before: list[BootEvent], after: list[BootEvent]) -> None:
    """The firmware said off first; the log may call that event, and all others, what it likes."""
    off = uefi_variable("SecureBoot", b"\0")
    for said in (made(7, 4, off, off), made(7, 4, b"junk", off)):
        elsewhere = [event for event in before if event.pcr_index != 7]
        facts = BootFacts().after([*elsewhere, said, *after], BANKS)
        assert facts.secure_boot is not SecureBoot.ENABLED
