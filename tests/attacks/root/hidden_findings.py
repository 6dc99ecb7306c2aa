"""A device that was found bad tries to lose the finding without a reboot."""

from collections.abc import Callable
from dataclasses import replace

from schemas.messages.evidence import Evidence, LogIncrement
from schemas.reasons import Reason
from schemas.tpm.pcr import parse_selection_text
from schemas.verdicts import Tier
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_state
from tests.worlds.device import make_policy, make_references, make_trust
from tests.worlds.step_bench import APP, Bench, CelBench

FOUND = Kind(by=Attacker.ROOT, goal="lose what was found, without a reboot")


def inflated_total(bench: Bench) -> Evidence:
    """Each push says that more of the list is to come than there is."""
    return replace(bench.device.push(), unsigned_increments={"ima": LogIncrement(records=b"", total=2_000_000)})


def more_pcrs(bench: Bench) -> Evidence:
    """Each push quotes a PCR more, which begins the replay again."""
    bench.device.selection = parse_selection_text("sha256:0-11")
    return bench.device.push()


def fewer_pcrs(bench: Bench) -> Evidence:
    """Each push leaves PCR 10 out of the quote."""
    bench.device.selection = parse_selection_text("sha256:0-9")
    return bench.device.push()


def lost_push(bench: Bench) -> Evidence:
    """Every other push is dropped on purpose, so that each one follows a gap."""
    bench.device.push()
    return bench.device.push()


def log_begun_again(bench: Bench) -> Evidence:
    """A list of good files alone, over a PCR that was set back."""
    device = bench.device
    first = device.ima_list[0]
    device.ima_list, device.pcrs[10] = [], bytes(32)
    device.measure_record(first)
    device.run(b"/usr/bin/true", b"true")
    device.sent, device.previous = {}, None
    return device.push()


def log_cut_short(bench: Bench) -> Evidence:
    """Baselines that never reach the bad entry."""
    bench.device.sent, bench.device.previous = {}, None
    return bench.device.push(limits={"tcg2": 2, "ima": 1})


def cleared_tpm(bench: Bench) -> Evidence:
    """TPM2_Clear, which sets counters and clock back, then a list of good files."""
    bench.device.clear()
    log_begun_again(bench)
    newer = replace(bench.handle, time_us=bench.handle.time_us + 1_000_000, id=type(bench.handle.id)(b"n" * 32))
    bench.trust = replace(bench.trust, handles={**bench.trust.handles, newer.id: newer})
    bench.device.sync(newer)
    bench.device.sent, bench.device.previous = {}, None
    return bench.device.push()


def suspended(bench: Bench) -> Evidence:
    """A suspend and a resume, then a list of good files."""
    bench.device.resume()
    bench.device.sync(bench.handle)
    return log_begun_again(bench)


def firmware_updated(bench: Bench) -> Evidence:
    """The TPM's firmware changes its version, then a list of good files."""
    bench.device.firmware_version += 1
    return log_begun_again(bench)


@FOUND.ways(
    "contraindicated",
    code=Reason.FILE_UNEXPECTED,
    moves=(
        inflated_total,
        more_pcrs,
        fewer_pcrs,
        lost_push,
        log_begun_again,
        log_cut_short,
        cleared_tpm,
        suspended,
        firmware_updated,
    ),
)
def after_a_rootkit(scene: Scene, move: Callable[[Bench], Evidence]) -> Seen:
    """The device ran an unknown file."""
    bench = scene.bad_bench()
    seen = []
    for _ in range(3):
        bench.take(move(bench))
        seen.append(of_state(bench))
    return best_for_the_attacker(seen)


@FOUND.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def reboot_announced_only(scene: Scene) -> Seen:
    """The device reboots, and sends only the beginning of the new boot's logs, for ever."""
    bench = scene.bad_bench()
    bench.device.reboot()
    bench.device.sync(bench.handle)
    bench.take(bench.device.push(limits={"tcg2": 2}))
    bench.take(bench.device.push(limits={"tcg2": 1, "ima": 0}))
    return of_state(bench)


@FOUND.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def waits_for_other_reference_values(scene: Scene) -> Seen:
    """Reference values of a new version come, which do not list the file either; then a list of good files."""
    bench = scene.bad_bench()
    more = make_references(bench.device, version=2)
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(more,))
    bench.take(log_begun_again(bench))
    return of_state(bench)


@FOUND.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def waits_for_another_policy(scene: Scene) -> Seen:
    """A policy of a new version comes, which asks for the same; then a list of good files."""
    bench = scene.bad_bench()
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=make_policy(version=2))
    bench.take(log_begun_again(bench))
    return of_state(bench)


@FOUND.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def waits_until_there_is_no_policy(scene: Scene) -> Seen:
    """The policy goes, and comes back; a list of good files each time."""
    bench = scene.bad_bench()
    with_policy = bench.trust
    bench.trust = replace(bench.trust, policy=None)
    bench.take(log_begun_again(bench))
    bench.trust = with_policy
    bench.take(log_begun_again(bench))
    return of_state(bench)


@FOUND.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def buried_under_many(scene: Scene) -> Seen:
    """Thousands of other unknown files run first and after, more than a state lists; then a list of good files."""
    bench = scene.bench()
    for number in range(300):
        bench.device.run(b"/tmp/%d" % number, b"%d" % number)
    bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.CONTRAINDICATED
    bench.take(log_begun_again(bench))
    return of_state(bench)


@FOUND.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def cel_log_begun_again(scene: Scene) -> Seen:
    """A bad configuration was measured; its PCR is set back, and the CEL log begun again with the good one."""
    bench = CelBench()
    bench.push()
    bench.device.measure_file(APP, "/etc/app.conf", b"bad config")
    bench.push()
    assert bench.verdict()[0] is Tier.CONTRAINDICATED
    bench.device.pcrs[14] = bytes(32)
    bench.device.cel_logs.pop(APP)
    bench.device.measure_file(APP, "/etc/app.conf", b"good config")
    bench.device.sent, bench.device.previous = {}, None
    bench.push()
    return of_state(bench)
