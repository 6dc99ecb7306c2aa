"""Event data by type: what is read, what stays opaque, what is refused."""

import struct
import uuid

import pytest

from schemas.boot_log.event_data import decode_event_data
from schemas.boot_log.event_types import IMAGE_TYPES, VARIABLE_TYPES, EventType, event_type_name
from schemas.boot_log.event_values import (
    DeviceSecurity,
    FirmwareBlob,
    HandoffTables,
    ImageLoad,
    Opaque,
    PartitionTable,
    ReferenceManifest,
    Separator,
    SpecId,
    StartupLocality,
    TaggedEvent,
    Text,
    VariableEvent,
)
from schemas.boot_log.windows_tags import MAX_DEPTH, MAX_VALUES, parse_tagged_values
from schemas.errors import PeerError
from tests.builders.log_bytes import spec_id_record, uefi_variable

GUID = uuid.UUID("8868e871-e4f1-11d3-bc22-0080c73c8881")
PCI = bytes.fromhex("010106000301")
HEADER = b"EFI PART" + struct.pack("<IIII QQQQ", 0x10000, 92, 0, 0, 1, 9, 34, 99) + GUID.bytes_le + bytes(20)


def partition(name: str) -> bytes:
    return GUID.bytes_le * 2 + struct.pack("<QQQ", 34, 40, 0) + name.encode("utf-16-le").ljust(72, b"\0")


def tag(number: int, content: bytes) -> bytes:
    return struct.pack("<II", number, len(content)) + content


def image(path: bytes) -> bytes:
    return struct.pack("<QQQQ", 0x1000, 0x2000, 0, len(path)) + path


def test_types_have_the_names_of_the_profile_and_others_their_number() -> None:
    assert event_type_name(0x80000003) == "EV_EFI_BOOT_SERVICES_APPLICATION"
    assert event_type_name(0xDEAD) == "0x0000dead"


@pytest.mark.parametrize("event_type", sorted(VARIABLE_TYPES))
def test_variables(event_type: int) -> None:
    decoded = decode_event_data(event_type, uefi_variable("db", b"x"))
    assert isinstance(decoded, VariableEvent)
    assert decoded.text == "db: 1 bytes"


@pytest.mark.parametrize("event_type", sorted(IMAGE_TYPES))
def test_images(event_type: int) -> None:
    assert decode_event_data(event_type, image(PCI)) == ImageLoad(
        location=0x1000, length=0x2000, link_time_address=0, path="Pci(0x1,0x3)"
    )
    assert decode_event_data(event_type, image(b"") + bytes(9)).text == "image of 8192 bytes at 0x1000"
    with pytest.raises(PeerError):
        decode_event_data(event_type, image(PCI) + bytes(10))


@pytest.mark.parametrize(
    ("event_type", "data", "expected", "text"),
    [
        (EventType.EV_SEPARATOR, bytes(4), Separator(value=0), "separator 0x00000000"),
        (EventType.EV_SEPARATOR, b"\xff" * 4, Separator(value=0xFFFFFFFF), "separator 0xffffffff"),
        (
            EventType.EV_SEPARATOR,
            b"\1\0\0\0why",
            Separator(value=1, detail=b"why"),
            "separator 0x00000001 (error)",
        ),
        (EventType.EV_EFI_ACTION, b"Exit Boot", Text(value="Exit Boot"), "Exit Boot"),
        (EventType.EV_S_CRTM_VERSION, "v1\0".encode("utf-16-le"), Text(value="v1"), "v1"),
        (EventType.EV_S_CRTM_VERSION, GUID.bytes_le, Text(value=str(GUID)), str(GUID)),
        (EventType.EV_S_CRTM_VERSION, b"\0\0", Text(value=""), ""),
        (EventType.EV_IPL, b"grub_cmd: ls\0", Text(value="grub_cmd: ls"), "grub_cmd: ls"),
        (EventType.EV_IPL, "ro\0".encode("utf-16-le"), Text(value="ro"), "ro"),
        (EventType.EV_IPL, "ro\0".encode("utf-16-le")[:-1], Text(value="ro"), "ro"),
        (EventType.EV_IPL, "größe".encode(), Text(value="größe"), "größe"),
        (EventType.EV_IPL, b"\x1b[2J", Opaque(content=b"\x1b[2J"), "1b5b324a"),
        (EventType.EV_POST_CODE, b"ACPI DATA", Text(value="ACPI DATA"), "ACPI DATA"),
        (EventType.EV_POST_CODE, struct.pack("<QQ", 16, 32), FirmwareBlob(base=16, length=32), "32 bytes at 0x10"),
        (
            EventType.EV_EFI_PLATFORM_FIRMWARE_BLOB2,
            b"\3UEF" + struct.pack("<QQ", 16, 32),
            FirmwareBlob(base=16, length=32, description="UEF"),
            "UEF 32 bytes at 0x10",
        ),
        (
            EventType.EV_EFI_HANDOFF_TABLES2,
            b"\2a\0" + struct.pack("<Q", 1) + GUID.bytes_le + struct.pack("<Q", 8),
            HandoffTables(tables=((str(GUID), 8),), description="a"),
            f"a {GUID} at 0x8",
        ),
        (EventType.EV_EFI_HANDOFF_TABLES, struct.pack("<Q", 0), HandoffTables(tables=()), ""),
        (
            EventType.EV_NO_ACTION,
            b"StartupLocality\0\3",
            StartupLocality(locality=3),
            "startup locality 3",
        ),
        (
            EventType.EV_NO_ACTION,
            spec_id_record({4: 20}, b"\xaa\xbb")[32:],
            SpecId(version="2.0 errata 0", platform_class=0, vendor_data=b"\xaa\xbb"),
            "Spec ID 2.0 errata 0, vendor data aabb",
        ),
        (
            EventType.EV_NO_ACTION,
            b"SP800-155 Event\0" + struct.pack("<I", 343) + GUID.bytes_le,
            ReferenceManifest(signature="SP800-155 Event", vendor_id=343, manifest=str(GUID), rest=b""),
            f"SP800-155 Event: manifest {GUID} of vendor 343",
        ),
        (
            EventType.EV_EFI_SPDM_FIRMWARE_BLOB,
            b"SPDM Device Sec\0" + struct.pack("<HHII", 1, 28, 0, 1) + b"block",
            DeviceSecurity(version=1, device_type=1, auth_state=None, path="", content=b"block"),
            "SPDM device of type 1",
        ),
        (
            EventType.EV_EFI_SPDM_FIRMWARE_CONFIG,
            b"SPDM Device Sec2" + struct.pack("<HBBIIIIQQ", 2, 0, 0, 0, 1, 0, 0, 0, len(PCI)) + PCI + b"block",
            DeviceSecurity(version=2, device_type=1, auth_state=0, path="Pci(0x1,0x3)", content=b"block"),
            "SPDM device of type 1, authentication state 0 Pci(0x1,0x3)",
        ),
        (EventType.EV_EFI_SPDM_FIRMWARE_CONFIG, b"\1", Opaque(content=b"\1"), "01"),
        (EventType.EV_OMIT_BOOT_DEVICE_EVENTS, b"BOOT ATTEMPTS OMITTED", Text(value="BOOT ATTEMPTS OMITTED"), None),
        (0x12345678, b"\0\1", Opaque(content=b"\0\1"), "0001"),
        (EventType.EV_CPU_MICROCODE, b"", Opaque(content=b""), ""),
    ],
)
def test_event_data(event_type: int, data: bytes, expected: object, text: str | None) -> None:
    decoded = decode_event_data(event_type, data)
    assert decoded == expected
    if text is not None:
        assert decoded.text == text


def test_long_opaque_data_are_shown_in_part() -> None:
    assert decode_event_data(0, bytes(100)).text == "00" * 64 + "... (100 bytes)"


@pytest.mark.parametrize("event_type", [EventType.EV_EFI_GPT_EVENT, EventType.EV_EFI_GPT_EVENT2])
def test_a_partition_table_lists_its_partitions(event_type: int) -> None:
    decoded = decode_event_data(event_type, HEADER + struct.pack("<Q", 2) + partition("EFI") + partition(""))
    assert isinstance(decoded, PartitionTable)
    assert decoded.text == f"disk {GUID}: EFI, {GUID}"
    assert [entry.first_block for entry in decoded.partitions] == [34, 34]


def test_tagged_values_nest() -> None:
    inner = tag(0x00050001, b"\0") + tag(0x00070001, "\\Windows\\x.exe".encode("utf-16-le"))
    decoded = decode_event_data(EventType.EV_EVENT_TAG, tag(0x40010003, inner) + tag(0x8F3B22EC, b"Linux initrd\0"))
    assert isinstance(decoded, TaggedEvent)
    assert decoded.text == (
        "LoadedModuleAggregation[OsKernelDebug=00, FilePath=\\Windows\\x.exe], LinuxInitrd=Linux initrd"
    )


def test_tagged_values_are_bounded_in_depth_and_number() -> None:
    nested = b""
    for _ in range(MAX_DEPTH):
        nested = tag(0x40010001, nested)
    assert parse_tagged_values(nested)
    for data in (tag(0x40010001, nested), tag(1, b"") * (MAX_VALUES + 1), b"\1", struct.pack("<II", 1, 9)):
        with pytest.raises(PeerError):
            parse_tagged_values(data)


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        (EventType.EV_SEPARATOR, b""),
        (EventType.EV_SEPARATOR, b"\2\0\0\0"),
        (EventType.EV_SEPARATOR, bytes(5)),
        (EventType.EV_NO_ACTION, b"StartupLocality\0\1"),
        (EventType.EV_NO_ACTION, b"StartupLocality\0"),
        (EventType.EV_NO_ACTION, b"Spec ID Event03\0" + bytes(10)),
        (EventType.EV_NO_ACTION, b"SP800-155 Event2\0"),
        (EventType.EV_EFI_GPT_EVENT, HEADER[:-1]),
        (EventType.EV_EFI_GPT_EVENT, bytes(100)),
        (EventType.EV_EFI_GPT_EVENT, HEADER + struct.pack("<Q", 1 << 40)),
        (EventType.EV_EFI_GPT_EVENT, HEADER + struct.pack("<Q", 0) + b"\0"),
        (EventType.EV_EFI_HANDOFF_TABLES, struct.pack("<Q", 1 << 40)),
        (EventType.EV_EFI_PLATFORM_FIRMWARE_BLOB2, b"\xff"),
        (EventType.EV_EFI_BOOT_SERVICES_DRIVER, struct.pack("<QQQQ", 0, 0, 0, 1 << 60)),
        (EventType.EV_EFI_VARIABLE_BOOT, uefi_variable("x", b"") + b"\0"),
        (EventType.EV_EFI_SPDM_FIRMWARE_BLOB, b"SPDM Device Sec2"),
    ],
)
def test_data_that_are_not_what_the_type_promises_are_refused(event_type: int, data: bytes) -> None:
    with pytest.raises(PeerError):
        decode_event_data(event_type, data)
