"""The network holds messages back, loses them, repeats them and changes their order; or flips a bit."""

import contextlib
import random
from collections.abc import Callable
from dataclasses import replace

from schemas.errors import PeerError
from schemas.messages.evidence import Evidence, encode_evidence, parse_evidence
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_state, of_step, of_verdict
from tests.worlds.step_bench import Bench
from tests.worlds.watched_device import INTERVAL_S, SECOND_US
from verifier_worker.core.conclusion import resolve
from verifier_worker.core.step import overdue, step

REPEAT = Kind(by=Attacker.NETWORK, goal="put an old good state in the place of a bad one")
SPOIL = Kind(by=Attacker.NETWORK, goal="make a good device look bad")
FLIP = Kind(by=Attacker.NETWORK, goal="have a changed message affirmed")
FROM_START = {"tcg2": 0, "ima": 0}


@REPEAT.attack("refused", code=Reason.EVIDENCE_REPLAYED)
def good_push_again(scene: Scene) -> Seen:
    """The good push of before the rootkit is sent again after the bad one."""
    bench = Bench()
    good = bench.device.push()
    bench.take(good)
    bench.device.run(b"/tmp/evil", b"evil")
    bench.take(bench.device.push())
    seen = of_step(bench.take(good))
    assert bench.verdict()[0] is Tier.CONTRAINDICATED
    return seen


@REPEAT.attack("refused", code=Reason.EVIDENCE_REPLAYED)
def good_push_held_back(scene: Scene) -> Seen:
    """A good push is held back, and delivered after the bad one for the first time."""
    bench = scene.bench()
    held_back = bench.device.push()
    bench.device.run(b"/tmp/evil", b"evil")
    bench.take(bench.device.push(full=True, resend=FROM_START))
    seen = of_step(bench.take(held_back))
    assert bench.verdict()[0] is Tier.CONTRAINDICATED
    return seen


@REPEAT.attack("refused", code=Reason.EVIDENCE_REPLAYED)
def push_of_an_earlier_boot(scene: Scene) -> Seen:
    """A push of the boot before, which nobody has seen, is delivered in the bad one."""
    bench = scene.bench()
    old = bench.device.push()
    bench.device.reboot()
    bench.device.run(b"/tmp/evil", b"evil")
    bench.device.sync(bench.handle)
    bench.take(bench.device.push())
    return of_step(bench.take(old))


@REPEAT.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def bad_push_lost_and_the_next_delivered(scene: Scene) -> Seen:
    """The push that shows the rootkit is lost; the device answers the solicit that follows the gap."""
    bench = scene.bench()
    bench.device.run(b"/tmp/evil", b"evil")
    bench.device.push()
    asked = bench.take(bench.device.push()).solicit
    assert asked is not None
    return of_step(bench.take(bench.device.push(full=True, resend=asked.logs)))


@REPEAT.attack("none", code=Reason.SEQUENCE_GAP)
def bad_push_lost_and_the_solicit_too(scene: Scene) -> Seen:
    """The push that shows the rootkit is lost, and so is every solicit."""
    bench = scene.bench()
    bench.device.run(b"/tmp/evil", b"evil")
    bench.device.push()
    seen = [of_step(bench.take(bench.device.push())) for _ in range(20)]
    return best_for_the_attacker(seen)


@REPEAT.attack("none", code=Reason.EVIDENCE_OVERDUE)
def everything_lost(scene: Scene) -> Seen:
    """Nothing of the device arrives any more."""
    bench = scene.bench()
    assert bench.state is not None
    assert bench.state.deadline_us is not None
    return of_verdict(overdue(bench.state, bench.state.deadline_us).verdict)


@REPEAT.attack("contraindicated", code=Reason.EVIDENCE_OVERDUE)
def everything_lost_after_the_bad_push(scene: Scene) -> Seen:
    """The device was found bad; nothing of it arrives any more."""
    bench = scene.bad_bench()
    assert bench.state is not None
    assert bench.state.deadline_us is not None
    return of_verdict(overdue(bench.state, bench.state.deadline_us).verdict)


@REPEAT.attack("none", code=Reason.EVIDENCE_TOO_OLD)
def good_push_delivered_an_hour_late(scene: Scene) -> Seen:
    """A good push and its handle are delivered an hour late."""
    watched = scene.watched()
    push = watched.device.push(elapsed_ms=1)
    watched.now_us += 3600 * SECOND_US
    watched.take(push)
    return of_state(watched)


@REPEAT.attack("none", code=Reason.HANDLE_UNKNOWN)
def handle_shown_to_the_device_alone(scene: Scene) -> Seen:
    """The device is shown a handle that the verifier never gets."""
    watched = scene.watched()
    watched.pass_time(INTERVAL_S)
    watched.next_handle(known=False)
    watched.push()
    return of_state(watched)


@REPEAT.attack("nothing affirmed")
def handle_that_comes_after_the_deadline(scene: Scene) -> Seen:
    """The handle of a pending push is delivered when the deadline has passed."""
    watched = scene.watched()
    watched.pass_time(INTERVAL_S)
    watched.next_handle(known=False)
    watched.push()
    watched.known += 1
    assert watched.state is not None
    assert watched.state.deadline_us is not None
    resolved = resolve(watched.device.ueid, watched.state, watched.trust, watched.state.deadline_us)
    return Seen(verdict="nothing affirmed") if resolved is None else of_verdict(resolved[0].verdict)


@REPEAT.attack("refused", code=Reason.EVIDENCE_REPLAYED)
def pending_push_again(scene: Scene) -> Seen:
    """Two pushes wait for a handle; when it comes, the first of them is sent again."""
    watched = scene.watched()
    watched.pass_time(INTERVAL_S)
    watched.next_handle(known=False)
    first = watched.device.push(full=True, resend=FROM_START, elapsed_ms=1)
    watched.take(first)
    watched.pass_time(1)
    watched.push()
    assert watched.verdict[1] is Freshness.PENDING
    watched.known += 1
    return of_step(watched.take(first))


def late(bench: Bench, push: Evidence) -> None:
    """it arrives two hours late."""
    bench.now_us += 7_200_000_000
    bench.take(push)


def twice(bench: Bench, push: Evidence) -> None:
    """it arrives three times."""
    for _ in range(3):
        bench.take(push)


def out_of_order(bench: Bench, push: Evidence) -> None:
    """it arrives after the next one."""
    bench.take(bench.device.push())
    bench.take(push)


def lost(bench: Bench, push: Evidence) -> None:
    """it is lost, and the next five arrive."""
    for _ in range(5):
        bench.take(bench.device.push())


@SPOIL.ways("affirming", "none", moves=(late, twice, out_of_order, lost))
def honest_push(scene: Scene, move: Callable[[Bench, Evidence], None]) -> Seen:
    """An honest push:"""
    bench = scene.bench()
    bench.device.run(b"/usr/bin/cat", b"cat")
    move(bench, bench.device.push())
    return of_state(bench)


def _flips(raw: bytes, count: int) -> list[bytes]:
    dice = random.Random(17)
    flipped = []
    for place in sorted(dice.sample(range(len(raw)), min(count, len(raw)))):
        changed = bytearray(raw)
        changed[place] ^= 1 << dice.randrange(8)
        flipped.append(bytes(changed))
    return flipped


@FLIP.attack("refused", "none")
def one_bit_of_a_baseline(scene: Scene) -> Seen:
    """One bit of a baseline is flipped, at 400 places; the verifier knows nothing of the device yet."""
    bench = Bench()
    seen = [Seen(verdict="refused")]
    for changed in _flips(encode_evidence(bench.device.push()), 400):
        with contextlib.suppress(PeerError):
            push = parse_evidence(changed)
            taken = step(None, bench.device.ueid, push, bench.now_us, bench.trust)
            if taken.state is not None and not _only_the_total_differs(push, bench):
                seen.append(of_verdict(taken.state.verdict))
    return best_for_the_attacker(seen)


def _only_the_total_differs(push: Evidence, bench: Bench) -> bool:
    """Unsigned numbers that say how long a log is decide nothing: the push is the true one."""
    true = {"tcg2": b"".join(bench.device.boot_log), "ima": b"".join(bench.device.ima_list)}
    return {name: each.records for name, each in push.unsigned_increments.items()} == true


@FLIP.attack("contraindicated", "none")
def one_bit_of_the_push_that_shows_it(scene: Scene) -> Seen:
    """One bit of the push that shows a rootkit is flipped, at 400 places; the next push is true."""
    bench = scene.bench()
    bench.device.run(b"/tmp/evil", b"evil")
    raw = encode_evidence(bench.device.push())
    following = bench.device.push()
    good, seen = bench.state, []
    for changed in _flips(raw, 400):
        bench.state = good
        with contextlib.suppress(PeerError):
            bench.take(parse_evidence(changed))
        seen.append(of_step(bench.take(replace(following))))
    return best_for_the_attacker(seen)
