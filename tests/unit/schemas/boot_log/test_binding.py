"""What a digest covers: the whole of the data, a part by a quirk that a real log has, or nothing."""

import pytest

from schemas.boot_log.binding import AuthenticatedData, DescriptiveData, bind, hashable_banks
from schemas.boot_log.event_types import EventType
from schemas.boot_log.quirks import Part, measured_parts, without_padding
from schemas.boot_log.records import BootEvent, parse_event
from schemas.hashes import SHA1, SHA256, SHA384
from tests.builders.log_bytes import measured, sha1_event, spec_id_record, uefi_variable

BANKS = (SHA1, SHA256)


def event(event_type: int, data: bytes, hashed: bytes, pcr_index: int = 1) -> BootEvent:
    digests = tuple((bank.tpm_id, bank.digest(hashed)) for bank in BANKS)
    return BootEvent(pcr_index=pcr_index, event_type=event_type, digests=digests, data=data)


VARIABLE = uefi_variable("BootOrder", b"\1\0")


@pytest.mark.parametrize(
    ("event_type", "data", "hashed", "part"),
    [
        (EventType.EV_EFI_ACTION, b"Exit", b"Exit", Part.WHOLE),
        (EventType.EV_EFI_VARIABLE_BOOT, VARIABLE, VARIABLE, Part.WHOLE),
        (EventType.EV_EFI_VARIABLE_BOOT, VARIABLE, b"\1\0", Part.VARIABLE_CONTENT),
        (EventType.EV_EFI_VARIABLE_AUTHORITY, VARIABLE + bytes(6), VARIABLE + bytes(5), Part.ALL_BUT_LAST_BYTE),
        (EventType.EV_IPL, b"grub_cmd: ls\0", b"ls", Part.TEXT_AFTER_PREFIX),
        (EventType.EV_IPL, b"kernel_cmdline: ro\0", b"ro", Part.TEXT_AFTER_PREFIX),
        (EventType.EV_IPL, b"grub_cmd ls\0", b"ls\0", Part.TEXT_AFTER_PREFIX),
        (EventType.EV_IPL, b"grub_kernel_cmdline ro\0", b"ro", Part.TEXT_AFTER_PREFIX),
        (EventType.EV_IPL, b"r\0o\0\0", b"r\0o\0\0\0", Part.HALF_TERMINATOR_MISSING),
        (EventType.EV_IPL, ".linux\0".encode("utf-16-le"), b".linux\0", Part.ASCII_OF_UTF16),
        (EventType.EV_SEPARATOR, b"it failed", b"\1\0\0\0", Part.ERROR_VALUE),
    ],
)
def test_what_the_digests_are_of_is_authentic(event_type: int, data: bytes, hashed: bytes, part: Part) -> None:
    bound = bind(event(event_type, data, hashed), BANKS)
    assert bound == AuthenticatedData(part=part, measured=hashed, unverified_data=data)
    assert isinstance(bound, AuthenticatedData)
    assert bound.whole == (part is Part.WHOLE)


@pytest.mark.parametrize(
    ("event_type", "data", "hashed"),
    [
        (EventType.EV_EFI_ACTION, b"Exit", b"exit"),
        (EventType.EV_EFI_ACTION, VARIABLE, b"\1\0"),  # a quirk of variables
        (EventType.EV_EFI_VARIABLE_BOOT, VARIABLE + b"x", b"\1\0"),
        (EventType.EV_EFI_VARIABLE_AUTHORITY, VARIABLE + bytes(7), VARIABLE + bytes(6)),
        (EventType.EV_EFI_VARIABLE_BOOT, VARIABLE, b"BootOrder"),
        (EventType.EV_IPL, b"grub_cmd: ls\0", b"cat"),
        (EventType.EV_IPL, b"r\0\0\xd8", b"r"),
        (EventType.EV_NO_ACTION, b"x", b"x"),
    ],
)
def test_everything_else_is_descriptive(event_type: int, data: bytes, hashed: bytes) -> None:
    assert bind(event(event_type, data, hashed), BANKS) == DescriptiveData(unverified_data=data)


def test_every_bank_must_agree() -> None:
    made = event(EventType.EV_EFI_ACTION, b"a", b"a")
    assert isinstance(bind(made, BANKS), AuthenticatedData)
    assert isinstance(bind(made, (SHA256, SHA384)), DescriptiveData)  # it extended nothing into the third bank
    assert isinstance(bind(made, ()), DescriptiveData)
    lying = BootEvent(
        pcr_index=1,
        event_type=EventType.EV_EFI_ACTION,
        digests=((SHA1.tpm_id, SHA1.digest(b"b")), (SHA256.tpm_id, SHA256.digest(b"a"))),
        data=b"a",
    )
    assert isinstance(bind(lying, (SHA256,)), AuthenticatedData)
    assert isinstance(bind(lying, BANKS), DescriptiveData)


def test_a_sha1_only_event_is_bound_by_its_one_digest() -> None:
    made = parse_event(sha1_event(0, EventType.EV_EFI_ACTION, SHA1.digest(b"x"), b"x"), None)
    assert hashable_banks(made) == (SHA1,)
    assert isinstance(bind(made, hashable_banks(made)), AuthenticatedData)


def test_digests_of_unknown_algorithms_are_passed_over() -> None:
    made = BootEvent(pcr_index=0, event_type=1, digests=((0x12, bytes(32)), (11, bytes(32))), data=b"")
    assert hashable_banks(made) == (SHA256,)


def test_the_whole_comes_first() -> None:
    for event_type in (*EventType, 0xDEAD):
        assert next(iter(measured_parts(event_type, b"data"))) == (Part.WHOLE, b"data")


@pytest.mark.parametrize("filler", [b"\0", b"\xff"])
@pytest.mark.parametrize("last", [b"\0\0\0\0", b"\xff\xff", b"text"])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 100])
def test_padding_ends_where_the_last_record_does(filler: bytes, last: bytes, size: int) -> None:
    log = spec_id_record({4: 20, 11: 32}) + measured(7, last)
    assert without_padding(log + filler * size) == log


@pytest.mark.parametrize("filler", [b"\0", b"\xff"])
def test_padding_of_a_sha1_only_log(filler: bytes) -> None:
    log = sha1_event(0, 4, SHA1.digest(bytes(4)), bytes(4))
    assert without_padding(log + filler * 50) == log


def test_a_log_that_does_not_end_is_left_as_it_is() -> None:
    log = spec_id_record({4: 20, 11: 32}) + measured(7, b"abc\0\0")
    assert without_padding(log[:-1]) == log[:-1]
    assert without_padding(b"") == b""
