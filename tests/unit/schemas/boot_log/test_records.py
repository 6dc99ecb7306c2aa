"""Boot logs: cutting, formats, events, and what is refused."""

import struct

import pytest

from schemas import limits
from schemas.boot_log.records import SHA1_ONLY, BootLogFormat, decode_format, parse_event, parse_format, split_records
from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256
from schemas.reasons import Reason
from tests.builders.log_bytes import (
    EV_HCRTM,
    EV_NO_ACTION,
    EV_SEPARATOR,
    agile_event,
    measured,
    sha1_event,
    spec_id_record,
    startup_locality,
)

SM3 = 0x0012  # an algorithm that we do not hash with
TWO_BANKS = BootLogFormat(digest_sizes=((4, 20), (11, 32)))
SPEC_ID = spec_id_record({4: 20, 11: 32})


def test_a_crypto_agile_log_is_cut_into_the_records_it_was_made_of() -> None:
    records = (SPEC_ID, measured(0, b"a"), measured(23, b""), agile_event(7, EV_NO_ACTION, {}, b"note"))
    split = split_records(b"".join(records))
    assert split.format == TWO_BANKS
    assert split.records == records
    assert split.rest == b""


def test_later_records_are_cut_with_the_format_of_entry_0() -> None:
    records = (measured(1, b"x"), measured(2, b"y"))
    assert split_records(b"".join(records), TWO_BANKS).records == records


def test_a_sha1_only_log_has_no_spec_id_record() -> None:
    records = (sha1_event(0, 8, b"\x11" * 20, b"version"), sha1_event(7, EV_SEPARATOR, b"\x22" * 20, bytes(4)))
    split = split_records(b"".join(records))
    assert split.format == SHA1_ONLY
    assert not SHA1_ONLY.crypto_agile
    assert split.records == records
    assert parse_event(records[1], SHA1_ONLY).digests == ((SHA1.tpm_id, b"\x22" * 20),)


def test_the_older_spec_id_records_are_those_of_sha1_only_logs() -> None:
    assert parse_format(sha1_event(0, EV_NO_ACTION, bytes(20), b"Spec ID Event02\0" + bytes(12))) == SHA1_ONLY


@pytest.mark.parametrize("cut", [1, 20, 70])
def test_a_record_that_is_cut_short_is_left_over(cut: int) -> None:
    log = SPEC_ID + measured(0, b"abc") + measured(1, b"def")
    split = split_records(log[:-cut])
    assert split.records == (SPEC_ID, measured(0, b"abc"))
    assert split.rest == measured(1, b"def")[:-cut]


def test_without_the_whole_of_entry_0_there_is_no_format() -> None:
    split = split_records(SPEC_ID[:-1])
    assert (split.format, split.records, split.rest) == (None, (), SPEC_ID[:-1])


def test_an_event_has_its_digests_by_number_and_its_data() -> None:
    event = parse_event(measured(4, b"boot loader"), TWO_BANKS)
    assert (event.pcr_index, event.event_type, event.data) == (4, EV_SEPARATOR, b"boot loader")
    assert event.digests == ((4, SHA1.digest(b"boot loader")), (11, SHA256.digest(b"boot loader")))
    assert event.extended


def test_digests_of_unknown_algorithms_are_kept() -> None:
    log_format = parse_format(spec_id_record({4: 20, SM3: 32}))
    event = parse_event(agile_event(0, 8, {SM3: b"\x33" * 32, 4: b"\x44" * 20}, b""), log_format)
    assert event.digests == ((SM3, b"\x33" * 32), (4, b"\x44" * 20))


def test_entry_0_itself_is_parsed_without_a_format() -> None:
    event = parse_event(SPEC_ID, None)
    assert not event.extended
    assert event.data.startswith(b"Spec ID Event03")


def test_vendor_data_in_the_spec_id_record_are_skipped() -> None:
    assert parse_format(spec_id_record({4: 20}, vendor=b"\xde\xad\xbe\xef")) == BootLogFormat(digest_sizes=((4, 20),))


@pytest.mark.parametrize("log_format", [SHA1_ONLY, TWO_BANKS, BootLogFormat(digest_sizes=((SM3, 32),))])
def test_a_format_survives_storage(log_format: BootLogFormat) -> None:
    assert decode_format(log_format.encode()) == log_format


@pytest.mark.parametrize("locality", [0, 3, 4])
def test_the_startup_locality_is_read(locality: int) -> None:
    assert parse_event(startup_locality(locality), TWO_BANKS).startup_locality == locality


def test_an_h_crtm_event_means_locality_4() -> None:
    assert parse_event(measured(0, b"HCRTM", EV_HCRTM), TWO_BANKS).startup_locality == 4


@pytest.mark.parametrize("record", [measured(0, b"x"), measured(1, b"HCRTM", EV_HCRTM)])
def test_other_events_say_nothing_of_the_startup(record: bytes) -> None:
    assert parse_event(record, TWO_BANKS).startup_locality is None


def refused(record: bytes, log_format: BootLogFormat | None = TWO_BANKS) -> str:
    with pytest.raises(PeerError) as caught:
        parse_event(record, log_format)
    assert caught.value.reason is Reason.LOG_MALFORMED
    return caught.value.detail


def test_a_locality_at_which_no_tpm_starts_is_refused() -> None:
    with pytest.raises(PeerError, match="StartupLocality 05"):
        _ = parse_event(startup_locality(5), TWO_BANKS).startup_locality


def test_bytes_after_an_event_are_refused() -> None:
    assert "not one event" in refused(measured(0, b"x") + b"\0")


def test_an_extended_pcr_above_23_is_refused() -> None:
    assert "PCR 24" in refused(measured(24, b"x"))


def test_an_event_that_extends_nothing_may_name_any_pcr() -> None:
    assert parse_event(agile_event(0xFFFFFFFF, EV_NO_ACTION, {}, b""), TWO_BANKS).pcr_index == 0xFFFFFFFF


def test_an_algorithm_that_entry_0_does_not_list_is_refused() -> None:
    assert "0x000c" in refused(agile_event(0, 8, {12: bytes(48)}, b""))


def test_more_digests_than_the_log_has_algorithms_are_refused() -> None:
    assert "3 digests" in refused(agile_event(0, 8, {4: bytes(20), 11: bytes(32), 12: bytes(48)}, b""))


def test_two_digests_of_one_algorithm_are_refused() -> None:
    two = struct.pack("<III", 0, 8, 2) + 2 * (struct.pack("<H", 4) + bytes(20)) + bytes(4)
    assert "two digests" in refused(two)


def test_event_data_have_a_limit() -> None:
    huge = struct.pack("<II20sI", 0, 8, bytes(20), limits.MAX_LOG_ENTRY_BYTES + 1)
    assert "limit" in refused(huge, None)


def test_a_log_has_a_limit() -> None:
    with pytest.raises(PeerError) as caught:
        split_records(bytes(limits.MAX_BOOT_LOG_BYTES + 1))
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        (spec_id_record({}), "0 algorithms"),
        (spec_id_record(dict.fromkeys(range(9), 20)), "9 algorithms"),
        (spec_id_record({4: 32}), "32 bytes for algorithm 0x0004"),
        (spec_id_record({SM3: 0}), "0 bytes for algorithm 0x0012"),
        (spec_id_record({SM3: 65}), "65 bytes for algorithm 0x0012"),
        (sha1_event(0, 3, bytes(20), b"Spec ID Event03\0"), "16 bytes, needs 28"),
        (sha1_event(0, 3, bytes(20), SPEC_ID[32:] + b"\0"), "do not add up"),
        (sha1_event(0, 3, bytes(20), SPEC_ID[32:-1]), "do not add up"),
    ],
)
def test_a_spec_id_record_must_make_sense(record: bytes, complaint: str) -> None:
    with pytest.raises(PeerError, match=complaint) as caught:
        parse_format(record)
    assert caught.value.reason is Reason.LOG_MALFORMED


@pytest.mark.parametrize("stored", [b"\x04", b"\x04\0\x14\0" * 2])
def test_a_stored_format_is_checked_too(stored: bytes) -> None:
    with pytest.raises(PeerError):
        decode_format(stored)
