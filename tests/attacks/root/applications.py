"""CEL logs of applications and systemd are bent."""

from dataclasses import replace

from schemas.cel import in_cbor as cel_cbor
from schemas.cel.records import ApplicationContent, CelRecord, SystemdContent, application_record
from schemas.hashes import SHA1, SHA256
from schemas.messages.evidence import LogIncrement
from schemas.reasons import Reason
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_call, of_step
from tests.worlds.step_bench import APP, SYSTEMD, CelBench

CONFIGURATION = Kind(by=Attacker.ROOT, goal="use a configuration that nobody approved, and be affirmed")
BAD = "contraindicated"


def _affirmed() -> CelBench:
    bench = CelBench()
    bench.push()
    assert bench.verdict()[0] == "affirming"
    return bench


@CONFIGURATION.attack(BAD, code=Reason.FILE_UNEXPECTED)
def openly(scene: Scene) -> Seen:
    """It is measured, and listed."""
    bench = _affirmed()
    bench.device.measure_file(APP, "/etc/app.conf", b"evil config")
    return of_step(bench.push())


@CONFIGURATION.attack("refused", code=Reason.LOG_MALFORMED)
def described_as_the_good_one(scene: Scene) -> Seen:
    """The entry extends the digest of the bad file and describes the good one."""
    bench = _affirmed()
    good = ApplicationContent(event_type="app.config", name="/etc/app.conf", digest=SHA256.digest(b"good config"))
    true = application_record(14, replace(good, digest=SHA256.digest(b"evil")), (SHA256.tpm_id,), 1)
    bench.device.log_record(APP, replace(true, content=good))
    return of_step(bench.push())


@CONFIGURATION.attack(BAD, code=Reason.FILE_UNEXPECTED)
def without_a_description(scene: Scene) -> Seen:
    """The entry extends the digest and says nothing of what it is."""
    bench = _affirmed()
    digests = ((SHA256.tpm_id, SHA256.digest(b"evil config")),)
    bench.device.log_record(APP, CelRecord(recnum=0, pcr=14, digests=digests, content=SystemdContent(string="x")))
    return of_step(bench.push())


@CONFIGURATION.attack(BAD, code=Reason.FILE_UNEXPECTED)
def as_a_phase_of_systemd(scene: Scene) -> Seen:
    """It is measured into a PCR of systemd's, under the name of an approved phase."""
    bench = _affirmed()
    bench.phase("enter-initrd", index=15, digest=SHA256.digest(b"evil config"))
    return of_step(bench.push())


@CONFIGURATION.attack(BAD, code=Reason.FILE_UNEXPECTED)
def as_a_boot_event(scene: Scene) -> Seen:
    """It is passed off as an event of the boot log, on a PCR that the boot log shares with systemd's."""
    bench = CelBench()
    bench.device.boot()
    bench.device.sync(bench.handle)
    bench.device.measure_file(APP, "/etc/app.conf", b"good config")
    bench.device.measure_boot(11, b"evil config, as firmware")
    bench.phase("enter-initrd")
    return of_step(bench.push())


@CONFIGURATION.attack("refused", "none", BAD)
def entry_that_extended_another_bank(scene: Scene) -> Seen:
    """The true entry is given with a digest for the SHA-1 bank alone, which is not quoted."""
    bench = _affirmed()
    digests = ((SHA1.tpm_id, SHA1.digest(b"evil config")),)
    bench.device.extend(14, SHA256.digest(b"evil config"))
    record = CelRecord(recnum=1, pcr=14, digests=digests, content=SystemdContent(string="x"))
    bench.device.cel_logs[APP].append(cel_cbor.encode_record(record))
    return of_step(bench.push())


@CONFIGURATION.attack("refused", code=Reason.LOG_REPLAY_MISMATCH)
def extended_and_not_listed(scene: Scene) -> Seen:
    """PCR 14 is extended, and no log has an entry of it."""
    bench = _affirmed()
    bench.device.extend(14, SHA256.digest(b"evil config"))
    return of_step(bench.push())


@CONFIGURATION.attack("refused", code=Reason.LOG_NOT_BOUND_TO_BODY)
def increment_that_the_body_does_not_name(scene: Scene) -> Seen:
    """Records that extend nothing are added to an increment after the body was quoted."""
    bench = _affirmed()
    bench.device.measure_file(APP, "/etc/app.conf", b"good config")
    push = bench.device.push()
    extra = cel_cbor.encode_record(
        CelRecord(recnum=0, pcr=3, digests=((SHA1.tpm_id, bytes(20)),), content=SystemdContent(string="forged"))
    )
    records = push.unsigned_increments[APP].records + extra
    changed = replace(push, unsigned_increments={APP: LogIncrement(records=records, total=3)})
    bench.device.push = lambda **_: changed  # type: ignore[method-assign]  # this push and no other
    return of_step(bench.push())


@CONFIGURATION.attack(BAD, code=Reason.FILE_UNEXPECTED)
def good_one_measured_again(scene: Scene) -> Seen:
    """The bad configuration is measured, then the good one again."""
    bench = _affirmed()
    bench.device.measure_file(APP, "/etc/app.conf", b"evil config")
    bench.device.measure_file(APP, "/etc/app.conf", b"good config")
    return of_step(bench.push())


@CONFIGURATION.attack("none", code=Reason.LOG_MISSING)
def two_logs_of_one_pcr(scene: Scene) -> Seen:
    """It is listed in a log of root's own, on the PCR of the application's log."""
    bench = CelBench()
    bench.device.measure_file("cel/mine", "/etc/app.conf", b"evil config", index=14)
    return of_step(bench.push())


@CONFIGURATION.attack("refused", code=Reason.MALFORMED)
def log_of_a_name_that_cannot_be(scene: Scene) -> Seen:
    """A log is called by a name with a line break and a terminal's escape."""
    bench = _affirmed()
    bench.device.measure_file("cel/a\n\x1b[2J", "/etc/app.conf", b"evil config", index=16)
    return of_call(bench.push)


@CONFIGURATION.attack(BAD, code=Reason.FILE_UNEXPECTED)
def systemd_phase_that_nobody_knows(scene: Scene) -> Seen:
    """A phase that no reference value lists is measured."""
    bench = _affirmed()
    bench.phase("own-the-machine")
    assert SYSTEMD in bench.device.cel_logs
    return of_step(bench.push())
