"""Logs that show nothing: what is not measured cannot be found bad, and is therefore not affirmed."""

from dataclasses import replace

from schemas.hashes import SHA256
from schemas.reasons import Reason
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.hand_made import push_of
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_step
from tests.builders.log_bytes import EV_NO_ACTION, agile_event, ima_ng, spec_id_record
from tests.worlds.device import make_references, make_trust
from tests.worlds.step_bench import APP, Bench, CelBench
from verifier_worker.core.policy.policy_file import LogsTable

NOT_MEASURED = Kind(by=Attacker.ROOT, goal="be affirmed while nothing that runs is measured")


def _without_ima(bench: Bench) -> None:
    bench.device.ima_list.clear()
    bench.device.pcrs[10] = bytes(32)


@NOT_MEASURED.attack("none", code=Reason.LOG_MISSING)
def no_list_at_all(scene: Scene) -> Seen:
    """The kernel has no IMA: PCR 10 is as it starts, and no list is sent."""
    bench = Bench()
    _without_ima(bench)
    return of_step(bench.take(bench.device.push()))


@NOT_MEASURED.attack("none", code=Reason.LOG_MISSING)
def entry_of_a_pcr_that_is_not_quoted(scene: Scene) -> Seen:
    """The kernel has no IMA; the list has one entry, and that is of PCR 12, which is not quoted."""
    bench = Bench()
    _without_ima(bench)
    bench.device.ima_list.append(ima_ng(b"/usr/bin/true", b"true", pcr_index=12))
    return of_step(bench.take(bench.device.push()))


@NOT_MEASURED.attack("none", code=Reason.LOG_MISSING)
def entries_of_a_pcr_of_another_log(scene: Scene) -> Seen:
    """The kernel has no IMA; the list's entries extend PCR 9, which the policy gives to the boot log."""
    bench = Bench()
    _without_ima(bench)
    record = ima_ng(b"/usr/bin/true", b"true", pcr_index=9)
    bench.device.ima_list.append(record)
    bench.device.extend(9, SHA256.digest(record[28 + 6 + 4 :]))
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy)
    return of_step(bench.take(bench.device.push()))


@NOT_MEASURED.attack("none", code=Reason.LOG_MISSING)
def cel_entry_of_another_pcr(scene: Scene) -> Seen:
    """An application's CEL log is to explain PCR 14; its one entry extends PCR 15, which belongs to another log."""
    bench = CelBench()
    bench.device.pcrs[14] = bytes(32)
    bench.device.cel_logs.pop(APP)
    bench.device.measure_file(APP, "/etc/app.conf", b"good config", index=15)
    return of_step(bench.push())


@NOT_MEASURED.attack("none", code=Reason.LOG_MISSING)
def cel_log_that_is_not_sent(scene: Scene) -> Seen:
    """The application measures nothing: PCR 14 is as it starts, and its CEL log does not exist."""
    bench = CelBench()
    bench.device.pcrs[14] = bytes(32)
    bench.device.cel_logs.pop(APP)
    return of_step(bench.push())


@NOT_MEASURED.attack("none", code=Reason.LOG_MISSING)
def boot_events_that_extend_nothing(scene: Scene) -> Seen:
    """The boot log names PCR 7 in an event of type EV_NO_ACTION alone, which extends nothing."""
    bench = Bench()
    device = bench.device
    device.boot_log.pop()
    device.boot_log.append(agile_event(7, EV_NO_ACTION, {SHA256.tpm_id: bytes(32)}, b"not an action"))
    device.pcrs[7] = bytes(32)
    _without_ima(bench)
    device.run(b"/usr/bin/true", b"true")
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy)
    return of_step(bench.take(device.push()))


@NOT_MEASURED.attack("none", code=Reason.LOG_MISSING)
def boot_log_without_events(scene: Scene) -> Seen:
    """The boot log is its header alone; the PCRs have the learned values, sent as bare values."""
    bench = Bench()
    bench.device.boot_log = [spec_id_record({SHA256.tpm_id: 32})]
    push = bench.device.push()
    values = {SHA256: {index: bench.device.pcrs[index] for index in range(10)}}
    return of_step(bench.take(bench.device.sign(push.body, push.unsigned_increments, values)))


@NOT_MEASURED.attack("none", code=Reason.REFERENCE_VALUES_MISSING)
def policy_that_asks_for_no_log(scene: Scene) -> Seen:
    """The operator's policy names a set of files and no log that measures files; no log is sent."""
    bench = Bench(policy_changes={"logs": LogsTable()})
    references = make_references(bench.device, registers={})
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    bench.device.run(b"/tmp/evil", b"evil")
    values = {SHA256: {index: bench.device.pcrs[index] for index in range(11)}}
    return of_step(bench.take(push_of(bench.device, {}, values)))


@NOT_MEASURED.attack("none", code=Reason.LOG_MISSING)
def a_bare_value_instead_of_the_list(scene: Scene) -> Seen:
    """PCR 10 is sent as a value, as PCRs without a log are, and the list is left out."""
    bench = Bench()
    bench.device.run(b"/tmp/evil", b"evil")
    bench.device.ima_list.clear()
    push = bench.device.push()
    values = {SHA256: {8: bytes(32), 9: bytes(32), 10: bench.device.pcrs[10]}}
    return of_step(bench.take(bench.device.sign(push.body, push.unsigned_increments, values)))


UNUSED_BANK = Kind(by=Attacker.ROOT, goal="pass another platform's values off in a bank that the firmware does not use")


@UNUSED_BANK.attack("none", code=Reason.BANK_NOT_EXTENDED)
def learned_as_zeros(scene: Scene) -> Seen:
    """The firmware measures into another bank; PCRs 0-9 of the quoted bank are zeros, and were learned as zeros."""
    bench = Bench(policy_changes={"logs": LogsTable(ima=(10,))})
    device = bench.device
    device.pcrs.update({index: bytes(32) for index in range(11)})
    device.boot_log, device.ima_list = device.boot_log[:1], []
    device.run(b"/usr/bin/true", b"true")
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy)
    return of_step(bench.take(device.push()))


@UNUSED_BANK.attack("none", code=Reason.BANK_NOT_EXTENDED)
def locality_that_no_pcr_binds(scene: Scene) -> Seen:
    """As before, and the boot log states that TPM2_Startup came from locality 3, whose first value is not zero."""
    bench = Bench(policy_changes={"logs": LogsTable(ima=(10,))})
    device = bench.device
    device.pcrs.update({index: bytes(32) for index in range(11)})
    stated = agile_event(0, EV_NO_ACTION, {SHA256.tpm_id: bytes(32)}, b"StartupLocality\0\3")
    device.boot_log, device.ima_list = [device.boot_log[0], stated], []
    device.run(b"/usr/bin/true", b"true")
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy)
    values = {SHA256: {index: bytes(32) for index in range(10)}}
    return of_step(bench.take(replace(device.push(), unsigned_pcrs=values)))


@UNUSED_BANK.attack("none", "contraindicated")
def good_values_extended_by_hand(scene: Scene) -> Seen:
    """The quoted bank is empty; root extends the digests of a good platform's boot log into it by hand."""
    bench = Bench()
    device = bench.device
    good = make_references(device)
    events = device.boot_log[:]
    device.pcrs.update({index: bytes(32) for index in range(11)})
    device.ima_list, device.boot_log = [], events[:1]
    for index in range(8):
        device.extend(index, SHA256.digest(b"firmware %d" % index))
    device.run(b"/usr/bin/true", b"true")
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy, references=(good,))
    values = {SHA256: {index: device.pcrs[index] for index in range(10)}}
    push = device.push()
    return of_step(bench.take(device.sign(push.body, push.unsigned_increments, values)))
