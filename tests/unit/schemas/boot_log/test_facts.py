"""Boot facts from the attacker's side: an operating system that writes its own log and extends what it likes."""

from dataclasses import replace

import pytest

from schemas.boot_log.event_types import EventType
from schemas.boot_log.facts import MAX_IMAGES, MAX_VERSION_CHARACTERS, BootFacts, SecureBoot, secure_boot_state
from schemas.boot_log.records import BootEvent
from schemas.hashes import SHA1, SHA256
from tests.builders.log_bytes import uefi_variable

BANKS = (SHA1, SHA256)


def event(pcr_index: int, event_type: int, data: bytes, hashed: bytes | None = None) -> BootEvent:
    content = data if hashed is None else hashed
    digests = tuple((bank.tpm_id, bank.digest(content)) for bank in BANKS)
    return BootEvent(pcr_index=pcr_index, event_type=event_type, digests=digests, data=data)


def secure_boot(content: bytes, name: str = "SecureBoot") -> BootEvent:
    return event(7, EventType.EV_EFI_VARIABLE_DRIVER_CONFIG, uefi_variable(name, content))


def image(content: bytes) -> BootEvent:
    return event(4, EventType.EV_EFI_BOOT_SERVICES_APPLICATION, bytes(32), content)


ON, OFF, PK = secure_boot(b"\1"), secure_boot(b"\0"), secure_boot(b"key", "PK")
END = event(7, EventType.EV_SEPARATOR, bytes(4))
FAILED = event(7, EventType.EV_SEPARATOR, b"\1\0\0\0")
DEBUG = event(7, EventType.EV_EFI_ACTION, b"UEFI Debug Mode")
HIDDEN_OFF = event(7, EventType.EV_POST_CODE, b"junk", OFF.data)
HIDDEN_END = event(7, EventType.EV_POST_CODE, b"junk", bytes(4))


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([ON, PK, END], SecureBoot.ENABLED),
        ([OFF, PK, END], SecureBoot.DISABLED),
        ([secure_boot(b""), END], SecureBoot.DISABLED),
        ([DEBUG, ON, END], SecureBoot.ENABLED),
        ([ON, PK], SecureBoot.UNKNOWN),  # the firmware is not done
        ([PK, END], SecureBoot.UNKNOWN),
        ([ON, FAILED], SecureBoot.UNKNOWN),
        ([event(7, 4, b"\1\0\0\0 and why", b"\1\0\0\0"), ON, END], SecureBoot.UNKNOWN),
        ([secure_boot(b"\2"), END], SecureBoot.UNKNOWN),
        ([ON, OFF, END], SecureBoot.UNKNOWN),
        ([OFF, ON, END], SecureBoot.UNKNOWN),
        ([OFF, END, ON, END], SecureBoot.DISABLED),  # extended by the operating system
        ([HIDDEN_OFF, END, ON], SecureBoot.UNKNOWN),
        ([HIDDEN_OFF, HIDDEN_END, ON, END], SecureBoot.UNKNOWN),
        ([HIDDEN_OFF, ON, END], SecureBoot.UNKNOWN),
        ([OFF, HIDDEN_END, ON, END], SecureBoot.DISABLED),
        ([event(7, EventType.EV_EFI_VARIABLE_DRIVER_CONFIG, ON.data, OFF.data), END], SecureBoot.UNKNOWN),
        ([event(7, EventType.EV_EFI_VARIABLE_DRIVER_CONFIG, ON.data, b"\1"), END], SecureBoot.UNKNOWN),
        ([secure_boot(b"\1", "SecureBoot\0"), END], SecureBoot.UNKNOWN),
        ([replace(ON, pcr_index=6), END], SecureBoot.UNKNOWN),
        ([replace(ON, event_type=EventType.EV_NO_ACTION), END], SecureBoot.UNKNOWN),
        ([], SecureBoot.UNKNOWN),
    ],
)
def test_secure_boot(events: list[BootEvent], state: SecureBoot) -> None:
    assert secure_boot_state(events, BANKS) is state


def test_events_that_extend_only_one_of_the_banks_are_not_believed() -> None:
    partly = replace(ON, digests=ON.digests[:1])
    assert secure_boot_state([partly, END], BANKS) is SecureBoot.UNKNOWN
    assert secure_boot_state([partly, END], (SHA1,)) is SecureBoot.ENABLED
    elsewhere = replace(OFF, digests=((0x12, bytes(32)),))  # extends a bank that nobody looks at
    assert secure_boot_state([elsewhere, ON, END], BANKS) is SecureBoot.ENABLED
    assert secure_boot_state([ON, END], ()) is SecureBoot.UNKNOWN


def version(text: str) -> BootEvent:
    return event(0, EventType.EV_S_CRTM_VERSION, f"{text}\0".encode("utf-16-le"))


def test_the_firmware_version_counts_before_the_separator_and_once() -> None:
    end = event(0, EventType.EV_POST_CODE, b"junk", bytes(4))
    assert BootFacts().after([version("2.1"), end, version("9.9")], BANKS).version == "2.1"
    assert BootFacts().after([end, version("9.9")], BANKS).version is None
    assert BootFacts().after([version("2.1"), version("2.2")], BANKS).version is None
    forged = replace(version("9.9"), digests=version("2.1").digests)
    assert BootFacts().after([forged], BANKS).version is None
    assert BootFacts().after([version("x" * 500)], BANKS).version == "x" * MAX_VERSION_CHARACTERS
    assert BootFacts().after([version("\x1b[2J")], BANKS).version is None


def test_boot_images_are_the_digests_of_pcr_4_whatever_the_log_calls_them() -> None:
    action = event(4, EventType.EV_EFI_ACTION, b"Calling EFI Application from Boot Option")
    end = event(4, EventType.EV_SEPARATOR, bytes(4))
    renamed = replace(image(b"shim"), event_type=EventType.EV_EFI_ACTION, data=b"Calling EFI Application")
    facts = BootFacts().after([action, end, renamed, image(b"grub")], BANKS)
    assert facts.images == (SHA256.digest(b"shim"), SHA256.digest(b"grub"))
    assert facts.images_total == 2


def test_facts_are_bounded() -> None:
    facts = BootFacts().after([image(bytes([number])) for number in range(100)], BANKS)
    assert (len(facts.images), facts.images_total) == (MAX_IMAGES, 100)
