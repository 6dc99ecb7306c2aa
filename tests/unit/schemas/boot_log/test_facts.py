"""Boot facts from the attacker's side: an operating system that writes its own log and extends what it likes."""

from dataclasses import replace

import pytest

from schemas.boot_log.event_types import EventType
from schemas.boot_log.facts import (
    IMAGES_PCR,
    MAX_ACTION_BYTES,
    MAX_IMAGES,
    MAX_VERSION_CHARACTERS,
    SECURE_BOOT_PCR,
    VERSION_PCR,
    BootFacts,
    SecureBoot,
    secure_boot_state,
)
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


# ── at the limits, and bank by bank ──────────────────────────────────────────────────────────────────────────────────


def in_banks(made: BootEvent, *digests: bytes | None) -> BootEvent:
    """The event with these digests, in the order of ``BANKS``; None where it did not extend the bank."""
    given = zip(BANKS, digests, strict=True)
    return replace(made, digests=tuple((bank.tpm_id, digest) for bank, digest in given if digest is not None))


def after(*events: BootEvent) -> BootFacts:
    return BootFacts().after(events, BANKS)


def test_the_limits_are_as_documented() -> None:
    assert (MAX_IMAGES, MAX_VERSION_CHARACTERS, MAX_ACTION_BYTES) == (4, 128, 256)
    assert (VERSION_PCR, IMAGES_PCR, SECURE_BOOT_PCR) == (0, 4, 7)


def test_the_states_of_secure_boot_have_the_names_in_results() -> None:
    assert list(SecureBoot) == ["unknown", "enabled", "disabled"]


def test_before_any_event_nothing_is_known() -> None:
    facts = BootFacts()
    assert (facts.version, facts.versions, facts.version_ended) == (None, 0, False)
    assert (facts.images, facts.images_total, facts.images_unknown) == ((), 0, False)
    assert (facts.secure_boot, facts.test_keys) == (SecureBoot.UNKNOWN, False)
    assert (facts.secure_boot_value, facts.secure_boot_broken, facts.secure_boot_ended) == (
        SecureBoot.UNKNOWN,
        False,
        False,
    )


def test_events_in_any_pieces_give_the_same_facts() -> None:
    events = [version("1"), ON, PK, image(b"a"), END, image(b"b"), event(0, EventType.EV_SEPARATOR, bytes(4))]
    whole = after(*events)
    assert whole == BootFacts(
        version="1",
        versions=1,
        version_ended=True,
        images=(SHA256.digest(b"a"), SHA256.digest(b"b")),
        images_total=2,
        secure_boot_value=SecureBoot.ENABLED,
        secure_boot_ended=True,
    )
    for cut in range(len(events)):
        assert after(*events[:cut]).after(events[cut:], BANKS) == whole


def test_events_of_other_pcrs_and_of_no_action_change_nothing() -> None:
    for made in (ON, END, version("1"), image(b"a")):
        assert after(replace(made, pcr_index=5), replace(made, event_type=EventType.EV_NO_ACTION)) == BootFacts()
        assert BootFacts().after([made], ()) == BootFacts()


@pytest.mark.parametrize("separator", [bytes(4), b"\xff" * 4, b"\1\0\0\0"])
@pytest.mark.parametrize("bank", [0, 1])
def test_a_separator_in_one_bank_ends_the_firmwares_phase(separator: bytes, bank: int) -> None:
    digests = [each.digest(b"x") for each in BANKS]
    digests[bank] = BANKS[bank].digest(separator)
    for pcr_index, last in ((0, version("9")), (7, OFF)):
        end = in_banks(replace(END, pcr_index=pcr_index), *digests)
        facts = after(end, last)
        assert (facts.version_ended, facts.secure_boot_ended) == (pcr_index == 0, pcr_index == 7)
        assert (facts.version, facts.versions) == (None, 0)
        assert facts.secure_boot_value is SecureBoot.UNKNOWN
        assert facts.secure_boot_broken == (pcr_index == 7 and separator == b"\1\0\0\0")
        alone = [digest if number == bank else None for number, digest in enumerate(digests)]
        assert after(in_banks(end, *alone), last) == facts


def test_an_event_breaks_secure_boot_for_all_that_follow() -> None:
    assert after(HIDDEN_OFF, END).secure_boot_broken
    assert after(HIDDEN_OFF).secure_boot_broken
    assert not after(ON, PK, END).secure_boot_broken


def test_only_the_global_variable_states_secure_boot() -> None:
    other = uefi_variable("SecureBoot", b"\1", vendor="77fa9abd-0359-4d32-bd60-28f4e78f784b")
    foreign = event(7, EventType.EV_EFI_VARIABLE_DRIVER_CONFIG, other)
    assert secure_boot_state([foreign, OFF, END], BANKS) is SecureBoot.DISABLED
    assert secure_boot_state([foreign, END], BANKS) is SecureBoot.UNKNOWN


@pytest.mark.parametrize("mark", [b"DO NOT TRUST", b"DO NOT SHIP", b"Test PK"])
@pytest.mark.parametrize("name", ["PK", "KEK", "db"])
def test_a_key_with_a_mark_of_test_keys_is_one(mark: bytes, name: str) -> None:
    marked = secure_boot(b"CN=" + mark + b" - AMI", name)
    facts = after(ON, marked, END)
    assert facts.test_keys
    assert facts.secure_boot is SecureBoot.ENABLED
    assert not after(secure_boot(b"CN=" + mark.lower(), name)).test_keys
    assert not after(END, marked).test_keys
    assert not after(replace(marked, data=marked.data + b"x")).test_keys
    for other in ("dbx", "SecureBoot", "dbDefault"):
        assert not after(secure_boot(mark, other)).test_keys


# ── version ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_version_leaves_none_and_a_third_is_not_counted() -> None:
    assert [after(*([version("1")] * count)).versions for count in range(4)] == [0, 1, 2, 2]
    assert [after(*([version("1")] * count)).version for count in range(4)] == [None, "1", None, None]


def test_a_version_is_a_text_that_all_banks_cover() -> None:
    guid = event(0, EventType.EV_S_CRTM_VERSION, bytes(range(16)))
    assert after(guid).version == "03020100-0504-0706-0809-0a0b0c0d0e0f"
    unread = event(0, EventType.EV_S_CRTM_VERSION, b"\1\2\3")
    assert (after(unread).version, after(unread).versions) == (None, 1)
    partly = in_banks(version("1"), version("1").digests[0][1], None)
    assert (after(partly).version, after(partly).versions) == (None, 1)
    assert BootFacts().after([partly], (SHA1,)).version == "1"
    other = replace(version("1"), event_type=EventType.EV_POST_CODE)
    assert after(other) == BootFacts()
    assert after(version("x" * 128)).version == "x" * 128


# ── images ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_image_that_extended_only_one_of_the_banks_makes_the_images_unknown() -> None:
    for digests in ((SHA1.digest(b"a"), None), (None, SHA256.digest(b"a"))):
        facts = after(in_banks(image(b"a"), *digests))
        assert facts == BootFacts(images_unknown=True)
        assert after(in_banks(image(b"a"), *digests), image(b"b")).images == (SHA256.digest(b"b"),)
    assert not after(image(b"a")).images_unknown
    elsewhere = replace(image(b"a"), digests=((0x12, bytes(32)),))
    assert after(elsewhere) == BootFacts()


def test_images_are_named_by_the_strongest_bank_whatever_the_order() -> None:
    for banks in ((SHA1, SHA256), (SHA256, SHA1)):
        assert BootFacts().after([image(b"a")], banks).images == (SHA256.digest(b"a"),)
    assert BootFacts().after([image(b"a")], (SHA1,)).images == (SHA1.digest(b"a"),)


def test_a_separator_in_one_bank_alone_is_an_image() -> None:
    for digests in ((SHA1.digest(bytes(4)), SHA256.digest(b"a")), (SHA1.digest(b"a"), SHA256.digest(bytes(4)))):
        assert after(in_banks(image(b"a"), *digests)).images == (digests[1],)
    assert after(in_banks(image(b"a"), SHA1.digest(bytes(4)), SHA256.digest(b"\xff" * 4))).images_total == 0


def test_an_action_is_a_short_text_that_hashes_to_its_digest() -> None:
    for data, images in ((b"a" * 256, 0), (b"a" * 257, 1), (b"\1\2\3", 1), (b"", 1)):
        assert after(event(4, EventType.EV_EFI_ACTION, data)).images_total == images
    assert after(event(4, EventType.EV_EFI_ACTION, b"a", b"b")).images_total == 1
    partly = event(4, EventType.EV_IPL, b"grub_cmd: ls\0", b"ls")  # a digest of a part of the text
    assert after(partly).images_total == 1


def test_four_images_are_kept_and_more_are_counted() -> None:
    for count in (3, 4, 5):
        facts = after(*(image(bytes([number])) for number in range(count)))
        assert facts.images == tuple(SHA256.digest(bytes([number])) for number in range(min(count, 4)))
        assert facts.images_total == count
