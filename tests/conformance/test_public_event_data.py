"""Event data of real logs, against what tpm2-tools says of the same logs.

Outside data in ``../shared/vectors``, beside the repository; a test whose data are missing says which.
"""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.boot_log.binding import AuthenticatedData, bind, hashable_banks
from schemas.boot_log.event_data import decode_event_data
from schemas.boot_log.event_types import EventType, event_type_name
from schemas.boot_log.event_values import FirmwareBlob, ImageLoad, PartitionTable, VariableEvent
from schemas.boot_log.facts import BootFacts, SecureBoot
from schemas.boot_log.quirks import Part
from schemas.boot_log.records import BootEvent, parse_event, split_records
from schemas.boot_log.uefi_variable import Signature, parse_load_option, parse_signature, parse_signature_lists
from tests.builders.log_bytes import FIRMWARE

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"

TPM2_TOOLS = (
    "event-arch-linux",
    "event-bootorder",
    "event-gce-ubuntu-2104-log",
    "event-moklisttrusted",
    "event-postcode",
    "event-sd-boot-fedora37",
    "event-uefi-sha1-log",
    "event-uefiaction",
    "event-uefiservices",
    "event-uefivar",
)
SECURE_BOOT = {
    "tpm2-tools/event-arch-linux.bin": SecureBoot.DISABLED,
    "tpm2-tools/event-bootorder.bin": SecureBoot.DISABLED,
    "tpm2-tools/event-gce-ubuntu-2104-log.bin": SecureBoot.DISABLED,
    "tpm2-tools/event-moklisttrusted.bin": SecureBoot.ENABLED,
    "tpm2-tools/event-postcode.bin": SecureBoot.ENABLED,
    "tpm2-tools/event-sd-boot-fedora37.bin": SecureBoot.DISABLED,
    "tpm2-tools/event-uefi-sha1-log.bin": SecureBoot.DISABLED,
    "tpm2-tools/event-uefivar.bin": SecureBoot.UNKNOWN,  # one event: PCR 7 has no separator
    "go-eventlog/arch-linux-workstation.bin": SecureBoot.DISABLED,
    "go-eventlog/cos-101-amd-sev.bin": SecureBoot.ENABLED,
    "go-eventlog/debian-10.bin": SecureBoot.ENABLED,
    "go-eventlog/rhel8-uefi.bin": SecureBoot.ENABLED,
    "go-eventlog/ubuntu-1804-amd-sev.bin": SecureBoot.DISABLED,
    "tpm2-tss/binary_measurements_hcrtm.b64": SecureBoot.DISABLED,
    "ovmf-vtpm/binary_bios_measurements": SecureBoot.DISABLED,
}
# Types whose data describe what was hashed, in every log of the corpus.
DESCRIPTIVE = {
    EventType.EV_POST_CODE,
    EventType.EV_EFI_HCRTM_EVENT,
    EventType.EV_EFI_PLATFORM_FIRMWARE_BLOB,
    EventType.EV_EFI_HANDOFF_TABLES,
    EventType.EV_EFI_BOOT_SERVICES_APPLICATION,
    EventType.EV_EFI_BOOT_SERVICES_DRIVER,
    EventType.EV_EVENT_TAG,
}
# libefivar's text of this one node runs its addresses together; ours is UEFI's.
MISPRINTED = "IPv4(0.0.0.00.0.0.0,0,0)"


def vector(name: str) -> bytes:
    path = VECTORS / name
    if not path.is_file():
        pytest.skip(f"outside data are not on this machine: ../shared/vectors/{name}")
    content = path.read_bytes()
    return base64.b64decode(content) if path.suffix == ".b64" else content


def events_of(log: bytes) -> list[BootEvent]:
    split = split_records(log)
    return [parse_event(record, split.format if index else None) for index, record in enumerate(split.records)]


def printed(text: str) -> Iterator[dict[str, str]]:
    """The first value of each name in each event that tpm2_eventlog prints."""
    for block in re.split(r"(?:\n- EventNum: \d+)?\n  PCRIndex: ", text.partition("\npcrs:")[0])[1:]:
        names = {"PCRIndex": block.partition("\n")[0]}
        for line in block.splitlines():
            if found := re.fullmatch(r"[ -]*(\w+): (.*)", line):
                names.setdefault(found[1], found[2].strip("'\""))
        yield names


@pytest.mark.parametrize("name", TPM2_TOOLS)
def test_event_data_are_what_tpm2_tools_prints(name: str) -> None:
    events = events_of(vector(f"tpm2-tools/{name}.bin"))
    expected = list(printed(vector(f"tpm2-tools/{name}.bin.yaml").decode()))
    assert len(events) == len(expected)
    for event, names in zip(events, expected, strict=True):
        assert event_type_name(event.event_type) == names["EventType"]
        assert str(event.pcr_index) == names["PCRIndex"]
        decoded = decode_event_data(event.event_type, event.data)
        match decoded:
            case VariableEvent():
                variable = decoded.variable
                assert (variable.vendor, variable.name) == (names["VariableName"], names["UnicodeName"])
                assert str(len(variable.content)) == names["VariableDataLength"]
                if "DevicePath" in names:
                    option = parse_load_option(variable.content)
                    assert (option.paths[0], option.description) == (names["DevicePath"], names["Description"])
            case ImageLoad():
                if MISPRINTED not in names["DevicePath"]:
                    assert decoded.path == names["DevicePath"]
                assert f"{decoded.location:#x}" == names["ImageLocationInMemory"]
                assert str(decoded.length) == names["ImageLengthInMemory"]
            case PartitionTable():
                assert decoded.disk == names.get("DiskGUID", decoded.disk)  # older tpm2-tools print the bytes
                assert str(len(decoded.partitions)) == names.get("NumberOfPartitions", str(len(decoded.partitions)))
            case FirmwareBlob():
                assert f"{decoded.base:#x}" == names["BlobBase"]
                assert f"{decoded.length:#x}" == names["BlobLength"]
            case _:
                assert "VariableName" not in names
                assert "DevicePath" not in names


@pytest.mark.parametrize("name", SECURE_BOOT)
def test_every_event_decodes_and_what_is_authentic_is_computed(name: str) -> None:
    for event in events_of(vector(name)):
        decode_event_data(event.event_type, event.data)
        bound = bind(event, hashable_banks(event))
        authentic = isinstance(bound, AuthenticatedData)
        if event.event_type == EventType.EV_IPL:
            expected = event.pcr_index in {8, 12} and not event.data.startswith(b"grub_linuxefi")
        else:
            expected = event.extended and event.event_type not in DESCRIPTIVE
        assert authentic == expected, event


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("tpm2-tools/event-bootorder.bin", {Part.VARIABLE_CONTENT, Part.TEXT_AFTER_PREFIX}),
        ("go-eventlog/rhel8-uefi.bin", {Part.VARIABLE_CONTENT, Part.TEXT_AFTER_PREFIX}),
        ("go-eventlog/debian-10.bin", {Part.VARIABLE_CONTENT, Part.ALL_BUT_LAST_BYTE}),
        ("tpm2-tools/event-postcode.bin", {Part.TEXT_AFTER_PREFIX, Part.ALL_BUT_LAST_BYTE}),
        ("tpm2-tools/event-arch-linux.bin", {Part.HALF_TERMINATOR_MISSING}),
    ],
)
def test_each_quirk_is_needed_by_the_log_it_names(name: str, parts: set[Part]) -> None:
    found = [bind(event, hashable_banks(event)) for event in events_of(vector(name))]
    assert {bound.part for bound in found if isinstance(bound, AuthenticatedData)} == {Part.WHOLE, *parts}


@pytest.mark.parametrize(("name", "state"), SECURE_BOOT.items())
def test_secure_boot_of_real_machines(name: str, state: SecureBoot) -> None:
    events = events_of(vector(name))
    assert BootFacts().after(events, hashable_banks(events[-1])).secure_boot is state


def test_facts_of_a_machine_with_shim_and_grub() -> None:
    events = events_of(vector("go-eventlog/debian-10.bin"))
    facts = BootFacts().after(events, hashable_banks(events[-1]))
    assert facts.version == "GCE Virtual Firmware v1"
    assert facts.images[0].hex().startswith("47263679db883d7a")
    assert facts.images_total == 3


def test_signature_databases_and_the_authority_that_let_shim_run() -> None:
    subjects: dict[str, list[str]] = {}
    for event in events_of(vector("tpm2-tools/event-moklisttrusted.bin")):
        if event.pcr_index == 7 and event.event_type in {0x80000001, 0x800000E0}:
            decoded = decode_event_data(event.event_type, event.data)
            assert isinstance(decoded, VariableEvent)
            content, found = decoded.variable.content, tuple[Signature, ...]()
            if event.event_type == EventType.EV_EFI_VARIABLE_DRIVER_CONFIG and len(content) > 1:
                found = parse_signature_lists(content)
            elif decoded.variable.name in {"db", "Shim"}:
                found = (parse_signature(content),)
            subjects.setdefault(decoded.variable.name, []).extend(entry.text for entry in found)
    microsoft = "O=Microsoft Corporation,L=Redmond,ST=Washington,C=US"
    assert subjects["db"] == [
        f"CN=Microsoft Windows Production PCA 2011,{microsoft}",
        f"CN=Microsoft Corporation UEFI CA 2011,{microsoft}",
        f"CN=Microsoft Corporation UEFI CA 2011,{microsoft}",
    ]
    assert subjects["dbx"] == ["sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]
    assert subjects["Shim"][0].endswith("CN=Red Hat Secure Boot CA 5,O=Red Hat\\, Inc.")


def test_the_recorded_boot() -> None:
    events = events_of((FIRMWARE / "binary_bios_measurements").read_bytes())
    facts = BootFacts().after(events, hashable_banks(events[-1]))
    assert facts.secure_boot is SecureBoot.DISABLED
    assert facts.images_total == 1
