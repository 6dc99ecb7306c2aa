"""``step`` with CEL logs and state transitions: by honest devices and by attackers."""

from dataclasses import replace

import pytest

from schemas.cel import in_cbor as cel_cbor
from schemas.cel.records import (
    ApplicationContent,
    CelRecord,
    ManagementContent,
    ManagementEvent,
    SystemdContent,
    application_record,
)
from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256
from schemas.messages.evidence import LogIncrement, encode_evidence, parse_evidence
from schemas.reasons import Reason
from schemas.transitions import TransitionKind
from schemas.verdicts import Tier
from tests.worlds.device import FakeDevice, make_handle
from tests.worlds.step_bench import APP, SYSTEMD, CelBench
from verifier_worker.core.result_builder import build_result
from verifier_worker.core.step import Step, step


@pytest.fixture
def bench() -> CelBench:
    made = CelBench()
    made.push()
    assert made.verdict() == (Tier.AFFIRMING, set())
    return made


def details(taken: Step) -> list[str]:
    return [finding.detail for finding in taken.findings]


def test_two_cel_logs_and_a_pcr_shared_with_the_boot_log_are_affirmed(bench: CelBench) -> None:
    assert bench.state is not None
    assert bench.state.replay.next_index == {"tcg2": 10, "ima": 1, APP: 1, SYSTEMD: 1}
    assert bench.state.measured.owners[SHA256.tpm_id, 11] == (SYSTEMD, "tcg2")
    bench.device.measure_file(APP, "/etc/again.conf", b"good config")
    bench.phase("enter-initrd", index=15)
    bench.push()
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_a_file_without_a_reference_value_is_named(bench: CelBench) -> None:
    bench.device.measure_file(APP, "/etc/evil.conf", b"evil config")
    taken = bench.push()
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})
    assert details(taken) == ["/etc/evil.conf (app.config, cel/app)"]


def test_an_entry_whose_text_no_pcr_binds_is_not_called_by_it(bench: CelBench) -> None:
    bench.phase("enter-initrd", index=15, digest=b"\x99" * 32)
    assert details(bench.push()) == ["entry 0 of PCR 15 (cel/systemd)"]


def test_a_boot_event_does_not_explain_what_an_application_measured() -> None:
    bench = CelBench()
    bench.device.boot()
    bench.device.sync(bench.handle)
    bench.device.measure_file(APP, "/etc/app.conf", b"good config")
    bench.device.measure_boot(11, b"passed off as firmware")
    bench.phase("enter-initrd")
    assert "event 0x4 of PCR 11 (tcg2)" in details(bench.push())
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})


def test_entries_that_extend_nothing_are_counted_and_not_judged(bench: CelBench) -> None:
    version = ManagementContent(event=ManagementEvent.CEL_VERSION, values=(1, 1))
    bench.device.log_record(APP, CelRecord(recnum=0, pcr=14, digests=((11, bytes(32)),), content=version))
    nv_entry = SystemdContent(string="product-uuid")
    bench.device.log_record(APP, CelRecord(recnum=0, nv_index=0x01D10200, digests=((11, bytes(32)),), content=nv_entry))
    only_sha1 = CelRecord(recnum=0, pcr=14, digests=((SHA1.tpm_id, bytes(20)),), content=SystemdContent())
    bench.device.log_record(APP, only_sha1)
    bench.push()
    assert bench.verdict() == (Tier.AFFIRMING, set())
    assert bench.state is not None
    assert bench.state.replay.next_index[APP] == 4


def test_an_increment_that_is_not_the_quoted_one_is_refused(bench: CelBench) -> None:
    bench.device.measure_file(APP, "/etc/app.conf", b"good config")
    evidence = bench.device.push()
    (increment,) = evidence.unsigned_increments.values()
    extra = cel_cbor.encode_record(
        CelRecord(recnum=0, pcr=3, digests=(), content=ManagementContent(event=ManagementEvent.FIRMWARE_END))
    )
    changed = {APP: LogIncrement(records=increment.records + extra, total=3)}
    taken = step(
        bench.state, bench.device.ueid, replace(evidence, unsigned_increments=changed), bench.now_us, bench.trust
    )
    assert taken.refused is not None
    assert taken.refused.reason is Reason.LOG_NOT_BOUND_TO_BODY


def test_a_renamed_entry_is_refused(bench: CelBench) -> None:
    good = ApplicationContent(event_type="app.config", name="/etc/app.conf", digest=SHA256.digest(b"good config"))
    true = application_record(14, replace(good, digest=SHA256.digest(b"evil")), (SHA256.tpm_id,), 1)
    bench.device.log_record(APP, replace(true, content=good))  # the operating system lies about what it extended
    taken = bench.push()
    assert taken.refused is not None
    assert taken.refused.reason is Reason.LOG_MALFORMED


def test_an_entry_logged_and_not_extended_yet_waits_for_the_next_quote(bench: CelBench) -> None:
    pcrs = dict(bench.device.pcrs)
    bench.device.measure_file(APP, "/etc/evil.conf", b"evil config")
    extended, bench.device.pcrs = bench.device.pcrs, pcrs
    bench.push()
    assert bench.verdict() == (Tier.AFFIRMING, set())
    assert bench.state is not None
    assert set(bench.state.tails) == {APP}
    bench.device.pcrs = extended
    bench.push()
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})


def test_a_log_that_the_policy_names_must_be_there() -> None:
    bench = CelBench()
    bench.device.cel_logs.pop(APP)
    bench.device.pcrs[14] = bytes(32)
    taken = bench.push()
    assert bench.verdict() == (Tier.NONE, {Reason.LOG_MISSING})
    assert details(taken) == [f"{APP}: no entry; PCR 14"]


def test_a_suspend_is_told_and_reported(bench: CelBench) -> None:
    bench.device.resume()
    bench.device.sync(bench.handle)
    bench.push()
    assert bench.verdict() == (Tier.AFFIRMING, {Reason.RESUMED})
    assert bench.state is not None
    result = build_result(
        bench.device.ueid, bench.state, (), bench.now_us, "v", policy=bench.trust.policy, handle=bench.handle
    )
    assert [(each.kind, each.restart_count) for each in result.transitions] == [(TransitionKind.SUSPEND, 1)]
    bench.push()
    assert bench.verdict() == (Tier.AFFIRMING, set())
    bench.push(full=True)
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_all_transitions_are_reported_in_order(bench: CelBench) -> None:
    for _ in range(3):
        bench.device.resume()
    bench.device.tell(TransitionKind.KEXEC)
    bench.device.sync(bench.handle)
    bench.push()
    assert bench.verdict() == (Tier.AFFIRMING, {Reason.RESUMED, Reason.KERNEL_REPLACED})
    assert bench.state is not None
    assert [each.restart_count for each in bench.state.transitions] == [1, 2, 3, 3]


def test_a_log_of_a_pcr_that_a_suspend_clears_starts_anew(bench: CelBench) -> None:
    for _ in range(3):
        bench.device.measure_file("cel/volatile", "/v", b"anything", index=16)
    bench.push()
    assert bench.state is not None
    assert (bench.state.replay.next_index["cel/volatile"], bench.state.measured.owners[SHA256.tpm_id, 16]) == (
        3,
        ("cel/volatile",),
    )
    bench.device.resume()
    bench.device.sync(bench.handle)
    bench.device.cel_logs["cel/volatile"] = []
    bench.device.sent.pop("cel/volatile")
    bench.device.measure_file("cel/volatile", "/w", b"anything", index=16)
    bench.push(full=True)
    assert bench.verdict() == (Tier.AFFIRMING, {Reason.RESUMED})
    assert bench.state.replay.next_index["cel/volatile"] == 1


@pytest.mark.parametrize("reported", [0, 1])
def test_a_resume_that_was_not_reported_is_a_warning(bench: CelBench, reported: int) -> None:
    bench.device.restart_count += 2 - reported
    for _ in range(reported):
        bench.device.resume()
    bench.device.sync(bench.handle)
    taken = bench.push()
    assert bench.verdict() == (Tier.WARNING, {Reason.RESUMED, Reason.TRANSITION_UNREPORTED})
    assert f"{2 - reported} of 2 resumes" in details(taken)


def test_a_hibernation_is_a_reset_that_says_so(bench: CelBench) -> None:
    bench.device.reboot()
    bench.device.tell(TransitionKind.HIBERNATE)
    bench.device.measure_boot(11, b"stub section")
    bench.device.measure_file(APP, "/etc/app.conf", b"good config")
    bench.phase("enter-initrd")
    bench.device.sync(bench.handle)
    bench.push()
    outlived = {Reason.REBOOTED, Reason.HIBERNATED, Reason.IMA_LIST_OUTLIVED_TPM}
    assert bench.verdict() == (Tier.NONE, outlived)


def test_transitions_have_a_form() -> None:
    device = FakeDevice()
    device.sync(make_handle())
    device.tell(TransitionKind.KEXEC)
    evidence = device.push()
    assert parse_evidence(encode_evidence(evidence)).body == evidence.body
    impossible = replace(evidence.body.transitions[0], clock_ms=-1)
    signed = encode_evidence(device.sign(replace(evidence.body, transitions=(impossible,)), {}, {}))
    with pytest.raises(PeerError):
        parse_evidence(signed)
