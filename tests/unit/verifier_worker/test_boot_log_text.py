"""Boot logs for people: no content of a log may break its line."""

from pathlib import Path

import pytest

from schemas.boot_log.event_types import EventType
from schemas.boot_log.records import parse_event, split_records
from schemas.hashes import SHA1, SHA256
from schemas.text.boot_log import boot_log_lines
from tests.builders.log_bytes import FIRMWARE, agile_event, measured, sha1_event, spec_id_record, uefi_variable
from verifier_worker.__main__ import main

SPEC_ID = spec_id_record({4: 20, 11: 32})
SECURITY_DATABASE = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"


def line(record: bytes) -> str:
    return list(boot_log_lines(SPEC_ID + record))[-2]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (measured(5, b"Exit", EventType.EV_EFI_ACTION), "whole Exit"),
        (measured(7, uefi_variable("SecureBoot", b"\1"), 0x80000001), "whole SecureBoot: 01"),
        (measured(7, uefi_variable("PK", b""), 0x80000001), "whole PK: empty"),
        (measured(7, uefi_variable("db", b"x", SECURITY_DATABASE), 0x80000001), "whole db: unreadable ("),
        (
            measured(7, uefi_variable("SbatLevel", b"sbat,1\nshim,2\n"), 0x800000E0),
            "whole SbatLevel: sbat,1\\nshim,2\\n",
        ),
        (measured(7, uefi_variable("MokListTrusted", b"\1"), 0x800000E0), "whole MokListTrusted: 01"),
        (measured(1, uefi_variable("BootOrder", b"\2\0\x0a\0"), 0x80000002), "whole BootOrder: 0002, 000A"),
        (measured(1, uefi_variable("Boot000A", b"x"), 0x80000002), "whole Boot000A: unreadable ("),
        (measured(1, uefi_variable("Booty", b"x"), 0x80000002), "whole Booty: 78"),
        (measured(1, b"\2\0\0\0"), "whole unreadable (separator: 02000000): 02000000"),
        (
            agile_event(1, 4, {4: SHA1.digest(b"\1\0\0\0"), 11: SHA256.digest(b"\1\0\0\0")}, b"\1\0\0\0why"),
            "error-value separator 0x00000001 (error) why",
        ),
        (agile_event(1, 0xDEAD, {11: bytes(32)}, b"\xff"), "0x0000dead sha256:0000000000000000 descriptive ff"),
        (agile_event(1, 0xDEAD, {}, b"\xff"), "0x0000dead - descriptive ff"),
        (agile_event(1, 3, {11: bytes(32)}, b"x"), "EV_NO_ACTION - not extended x"),
        (measured(1, bytes(4000), 9), "..."),
    ],
)
def test_a_line(record: bytes, expected: str) -> None:
    assert expected in line(record)


@pytest.mark.parametrize("event_type", [*EventType, 0xDEAD])
@pytest.mark.parametrize("data", [b"\x1b[2J\r\n", "a\r\n\u202eb\0".encode("utf-16-le"), b"\xff\xfe\0"])
def test_no_event_breaks_its_line(event_type: int, data: bytes) -> None:
    for record in (measured(1, data, event_type), measured(1, uefi_variable("a\n\x1b", data), event_type)):
        assert all(character.isprintable() for character in line(record))


def test_a_sha1_only_log_with_padding_and_one_that_is_cut() -> None:
    record = sha1_event(0, 4, SHA1.digest(bytes(4)), bytes(4))
    lines = list(boot_log_lines(record + bytes(100)))
    assert lines[1].split() == ["0", "0", "EV_SEPARATOR", "sha1:9069ca78e7450a28", "whole", "separator", "0x00000000"]
    assert "cut short" in list(boot_log_lines(record + record[:-1]))[-2]


def test_the_command_prints_the_recorded_boot(capsys: pytest.CaptureFixture[str]) -> None:
    path = FIRMWARE / "binary_bios_measurements"
    assert main(["show-log", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    entries = split_records(path.read_bytes()).records
    assert len([text for text in lines if text[:4].strip().isdecimal()]) == len(entries)
    assert parse_event(entries[0], None).pcr_index == 0
    assert lines[-1] == "secure boot, where PCR 7 is quoted: disabled"


def test_the_command_refuses_what_is_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_bytes(b"\xff" * 100)
    assert main(["show-log", str(tmp_path / "log")]) == 1
    assert main(["show-log", str(tmp_path / "none")]) == 2
    assert "boot log" in capsys.readouterr().err
