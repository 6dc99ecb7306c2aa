"""The demo's devices: their recorded firmware and the kernel's list, compared with our parsers."""

import hashlib
from pathlib import Path

import pytest

from deploy.demo.machine.firmware_log import Firmware, parse_registers
from deploy.demo.machine.ima_list import BOOT_AGGREGATE, boot_aggregate, measurement
from schemas.errors import ConfigError
from schemas.hashes import HASH_ALGORITHMS, SHA1, SHA256
from schemas.ima import records as ima_records
from schemas.ima.records import ImaBankMode
from schemas.tpm.pcr import PcrValues, extend, initial_value

RECORDED = Path(__file__).resolve().parents[3] / "deploy" / "demo" / "firmware"
FIRMWARE = Firmware(
    boot_log=(RECORDED / "binary_bios_measurements").read_bytes(),
    registers=parse_registers((RECORDED / "pcrs.txt").read_text(encoding="utf-8")),
)
DIGEST = hashlib.sha256(b"content").digest()


def test_the_recorded_log_leads_to_the_recorded_registers_in_every_bank() -> None:
    banks = {bank: {index: initial_value(bank, index) for index in range(24)} for bank in HASH_ALGORITHMS}
    touched = set()
    for index, digests in FIRMWARE.extensions():
        touched.add(index)
        for bank, digest in digests.items():
            banks[bank][index] = extend(bank, banks[bank][index], digest)
    recorded = FIRMWARE.registers
    expected = [(bank, index) for bank, index, _ in recorded if index in touched or index < 8]
    assert touched >= {0, 1, 4, 5, 7}
    assert {each: banks[each[0]][each[1]] for each in expected} == {each: recorded.get(*each) for each in expected}


def test_the_first_entry_is_that_of_the_recorded_kernel() -> None:
    recorded = ima_records.parse_entry(
        ima_records.split_records((RECORDED / "binary_runtime_measurements").read_bytes())[0][0]
    )
    ours = boot_aggregate(FIRMWARE.registers)
    assert recorded.path == ours.path == BOOT_AGGREGATE
    assert recorded.file_digest == (SHA256, ours.digest)


@pytest.mark.parametrize("path", ["/usr/bin/true", "/tmp/ein Wörterbuch", "/odd/\udcff"])
def test_the_reading_side_understands_our_records(path: str) -> None:
    written = measurement(path, DIGEST)
    entry = ima_records.parse_entry(written.record)
    assert (entry.template_name, entry.pcr_index, entry.violation) == ("ima-ng", 10, False)
    assert entry.raw_path == path.encode("utf-8", "surrogateescape")
    assert entry.file_digest == (SHA256, DIGEST)


def test_the_reading_side_extends_what_we_extend() -> None:
    written = measurement("/usr/bin/true", DIGEST)
    records = ima_records.read_records(written.record)
    for bank in (SHA1, SHA256):
        assert records.extensions(bank, ImaBankMode.HASHED) == [written.extensions([bank])[bank]]


@pytest.mark.parametrize("text", ["sha256 0", "sha257 0 00", "sha256 x 00", "sha256 0 zz"])
def test_other_lines_than_registers_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_registers(text)


def test_an_empty_file_has_no_registers() -> None:
    assert parse_registers("") == PcrValues({})
