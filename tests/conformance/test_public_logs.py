"""Logs of real machines and of the recorded boot: they parse, and replay to what their TPMs held.

The recorded boot is part of the project. The other logs are outside data in ``../shared/vectors``, beside the
repository; a test whose data are missing says which. Expected values: tpm2-tools' ``.yaml`` files; the test sources of
tpm2-tss for PCR 0 after an H-CRTM (read from a real machine) and for the IMA template hashes.
"""

import base64
import re
from pathlib import Path

import pytest

from schemas.boot_log import records as boot_records
from schemas.hashes import BY_NAME, HASH_ALGORITHMS, SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from schemas.ima import records as ima_records
from schemas.ima.records import ImaBankMode
from schemas.replay.bank_replay import BankReplay
from schemas.replay.log_replay import IMA, TCG2, Quoted, Replay, ReplayState
from schemas.tpm.pcr import PcrBankSelection, PcrSelection, PcrValues, composite_digest
from tests.builders.log_bytes import FIRMWARE, read_pcrs
from verifier_worker.core.boot_aggregate import judge_aggregates
from verifier_worker.core.measured import measure
from verifier_worker.core.state import Measured
from verifier_worker.core.trust import References

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"
ALL_BANKS = ReplayState(banks=HASH_ALGORITHMS)

TPM2_TOOLS = {
    "event-arch-linux": 25,
    "event-bootorder": 104,
    "event-gce-ubuntu-2104-log": 112,
    "event-moklisttrusted": 97,
    "event-postcode": 59,
    "event-sd-boot-fedora37": 28,
    "event-uefi-sha1-log": 17,
    "event-uefiaction": 2,
    "event-uefiservices": 2,
    "event-uefivar": 2,
}
GO_EVENTLOG = {
    "arch-linux-workstation": 25,
    "cos-101-amd-sev": 49,
    "debian-10": 25,
    "rhel8-uefi": 83,
    "ubuntu-1804-amd-sev": 88,
}


def vector(name: str) -> bytes:
    path = VECTORS / name
    if not path.is_file():
        pytest.skip(f"outside data are not on this machine: ../shared/vectors/{name}")
    content = path.read_bytes()
    return base64.b64decode(content) if path.suffix == ".b64" else content


def yaml_pcrs(text: str) -> dict[HashAlgorithm, dict[int, bytes]]:
    """The ``pcrs:`` section at the end of what tpm2_eventlog prints."""
    banks: dict[HashAlgorithm, dict[int, bytes]] = {}
    bank = SHA1
    for line in text.partition("\npcrs:\n")[2].splitlines():
        if name := re.fullmatch(r"  (\w+):", line):
            bank = BY_NAME[name[1]]
        elif register := re.fullmatch(r"    (\d+) *: 0x([0-9a-f]+)", line):
            banks.setdefault(bank, {})[int(register[1])] = bytes.fromhex(register[2])
    return banks


@pytest.mark.parametrize(("name", "entries"), TPM2_TOOLS.items())
def test_boot_logs_replay_to_the_pcrs_that_tpm2_tools_prints(name: str, entries: int) -> None:
    log = vector(f"tpm2-tools/{name}.bin")
    expected = yaml_pcrs(vector(f"tpm2-tools/{name}.bin.yaml").decode())
    assert expected
    whole = Replay(ALL_BANKS, {TCG2: log}).whole
    assert whole.consumed[TCG2].count == entries
    assert whole.state.registers == expected


@pytest.mark.parametrize(("name", "entries"), GO_EVENTLOG.items())
def test_boot_logs_of_real_machines_are_cut_to_the_last_byte(name: str, entries: int) -> None:
    log = vector(f"go-eventlog/{name}.bin")
    split = boot_records.split_records(log)
    assert (len(split.records), split.rest) == (entries, b"")
    assert b"".join(split.records) == log
    assert Replay(ALL_BANKS, {TCG2: log}).whole.consumed[TCG2].size == len(log)


def test_pcr_0_after_an_h_crtm_is_what_the_machine_had() -> None:
    state = Replay(ALL_BANKS, {TCG2: vector("tpm2-tss/binary_measurements_hcrtm.b64")}).whole.state
    assert state.startup_locality == 4
    assert state.registers[SHA1][0].hex() == "15f4e6ca457d1af6bc49511a93ba3500ad69acc5"
    assert state.boot_log_format == boot_records.BootLogFormat(digest_sizes=((4, 20), (11, 32), (0x12, 32)))


def test_a_spec_id_record_may_carry_vendor_data() -> None:
    split = boot_records.split_records(vector("tpm2-tss/specid-vendordata.b64"))
    assert split.format == boot_records.BootLogFormat(digest_sizes=((4, 20), (11, 32)))


@pytest.mark.parametrize(
    ("name", "entries", "rest", "last_hash", "last_path"),
    [
        ("ima-sha1", 12, b"\n", "21044c1265a4b298dfd97ead49c355817b1a2493", "/scripts/init-top/blacklist"),
        ("ima-ng-sha1", 6, b"\n", "0801daa94a2c43f41200143b319f19b28b43f745", "/usr/lib/x86_64-linux-gnu/libc-2.31.so"),
        # ... and the beginning of a tenth entry:
        ("ima-sig-sha256", 9, b"\n\0\0\0\xe3\x9d", "6b60a8edd48a777ac2e05fdcad20d2af09e8489c", "/scripts/functions"),
    ],
)
def test_ima_lists_parse(name: str, entries: int, rest: bytes, last_hash: str, last_path: str) -> None:
    records, left = ima_records.split_records(vector(f"tpm2-tss/sml-{name}.b64"))
    parsed = [ima_records.parse_entry(record) for record in records]
    assert (len(parsed), left) == (entries, rest)
    assert (parsed[-1].template_hash.hex(), parsed[-1].path) == (last_hash, last_path)
    assert parsed[0].path == "boot_aggregate"
    assert not any(entry.violation for entry in parsed)
    assert len(list(ima_records.read_records(b"".join(records)).files(entries))) == entries


@pytest.mark.parametrize(("name", "violations"), [("ima-sha1", [True]), ("ima-sig-sha256", [False, True])])
def test_ima_lists_with_violations_extend_ones(name: str, violations: list[bool]) -> None:
    data = vector(f"tpm2-tss/sml-{name}-invalidated.b64")
    records = ima_records.read_records(data)
    assert [entry.digest is None for entry in records.files(2)] == violations
    assert [each == b"\xff" * 20 for each in records.extensions(SHA1, ImaBankMode.HASHED)] == violations


def test_the_violation_that_lacks_its_last_byte_is_an_incomplete_entry() -> None:
    data = vector("tpm2-tss/sml-ima-ng-sha1-invalidated.b64")  # tpm2-tss has its own check of it switched off
    assert ima_records.split_records(data) == ((), data)
    assert ima_records.parse_entry(data + b"\0").violation


def recorded(name: str, folder: Path = FIRMWARE) -> bytes:
    return (folder / name).read_bytes()


def test_the_recorded_boot_replays_to_the_pcrs_of_its_tpm_in_all_banks() -> None:
    modes = {SHA384: ImaBankMode.PADDED_SHA1, SHA512: ImaBankMode.PADDED_SHA1}  # deploy/demo/firmware/README.md
    start = ReplayState(banks=HASH_ALGORITHMS, ima_bank_modes=modes)
    increments = {TCG2: recorded("binary_bios_measurements"), IMA: recorded("binary_runtime_measurements")}
    held = read_pcrs(recorded("pcrs.txt").decode())
    state = Replay(start, increments).whole.state
    assert state.registers.keys() == held.keys() == set(HASH_ALGORITHMS)
    for bank, registers in state.registers.items():
        assert sorted(registers) == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11]
        assert registers == {index: held[bank][index] for index in registers}


def test_a_quote_of_all_24_pcrs_of_the_recorded_boot_needs_its_logs_and_nothing_else() -> None:
    increments = {TCG2: recorded("binary_bios_measurements"), IMA: recorded("binary_runtime_measurements")}
    held = PcrValues(read_pcrs(recorded("pcrs.txt").decode()))
    selection = PcrSelection(banks=(PcrBankSelection(algorithm=SHA256, indices=tuple(range(24))),))
    quote = Quoted(selection=selection, digest=composite_digest(selection, held, SHA256), algorithm=SHA256)
    replay = Replay(ReplayState(banks=(SHA256,)), increments)
    assert replay.until(quote) == replay.whole


def test_a_quote_of_all_banks_tells_which_of_them_the_recording_kernel_pads() -> None:
    increments = {TCG2: recorded("binary_bios_measurements"), IMA: recorded("binary_runtime_measurements")}
    held = PcrValues(read_pcrs(recorded("pcrs.txt").decode()))
    selection = PcrSelection(
        banks=tuple(PcrBankSelection(algorithm=bank, indices=tuple(range(24))) for bank in HASH_ALGORITHMS)
    )
    quote = Quoted(selection=selection, digest=composite_digest(selection, held, SHA256), algorithm=SHA256)
    found = BankReplay(ALL_BANKS, increments).until(quote)
    assert found is not None
    assert found.state.ima_bank_modes == {SHA384: ImaBankMode.PADDED_SHA1, SHA512: ImaBankMode.PADDED_SHA1}


@pytest.mark.parametrize("folder", [FIRMWARE, VECTORS / "ovmf-vtpm"], ids=["recorded", "ovmf-vtpm"])
def test_the_boot_aggregate_of_a_kernel_is_that_of_its_tpms_pcrs(folder: Path) -> None:
    if folder != FIRMWARE:
        vector("ovmf-vtpm/pcrs.txt")
    increments = {TCG2: recorded("binary_bios_measurements", folder)}
    increments[IMA] = recorded("binary_runtime_measurements", folder)
    held = PcrValues(read_pcrs(recorded("pcrs.txt", folder).decode()))
    whole = Replay(ReplayState(banks=(SHA256,)), increments).whole
    nothing = References(label="", missing=(), registers={}, files=frozenset())
    selection = PcrSelection(banks=(PcrBankSelection(algorithm=SHA256, indices=tuple(range(11))),))
    found = measure(Measured(), whole.consumed, whole.state, nothing, selection, {})
    found = judge_aggregates(found, whole.state, held, selection)
    assert not found.aggregate_differs
    assert "boot_aggregate" not in [path for _, path in found.unexpected]


def test_the_recorded_list_has_every_template_that_the_kernel_makes() -> None:
    records, rest = ima_records.split_records(recorded("binary_runtime_measurements"))
    entries = [ima_records.parse_entry(record) for record in records]
    assert rest == b""
    assert {entry.template_name for entry in entries} == {
        "ima",
        "ima-ng",
        "ima-sig",
        "ima-ngv2",
        "ima-sigv2",
        "ima-buf",
        "ima-modsig",
    }
    assert [entry.path for entry in entries if entry.violation] == ["/measured/violated"]
    assert entries[-1].raw_path == b"/measured/\xff\xfe"
    for owner in (1001, 1002, 1003, 1004, 1006, 1008):
        digest = SHA256.digest(f"file of {owner}\n".encode())
        assert [e.file_digest for e in entries if e.path == f"/measured/file_of_{owner}"] == [(SHA256, digest)]


def test_another_boot_of_the_same_firmware_replays_to_its_tpm_too() -> None:
    vector("ovmf-vtpm/pcrs.txt")
    folder = VECTORS / "ovmf-vtpm"
    increments = {
        TCG2: recorded("binary_bios_measurements", folder),
        IMA: recorded("binary_runtime_measurements", folder),
    }
    held = read_pcrs(recorded("pcrs.txt", folder).decode())
    registers = Replay(ReplayState(banks=(SHA1, SHA256)), increments).whole.state.registers
    for bank in (SHA1, SHA256):
        assert registers[bank] == {index: held[bank][index] for index in registers[bank]}
