"""The network changes the bytes of a push that nobody signs."""

import contextlib
from collections.abc import Callable
from dataclasses import replace

from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256
from schemas.messages.evidence import Evidence, LogIncrement
from schemas.reasons import Reason
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_state, of_step
from tests.builders.log_bytes import field, ima_ng
from tests.worlds.device import make_handle, make_trust

HIDE = Kind(by=Attacker.NETWORK, goal="hide that a device is bad")
DIRTY = Kind(by=Attacker.NETWORK, goal="make a good device look bad, or have false numbers signed about it")


def more_to_come(push: Evidence) -> Evidence:
    """An empty increment of the IMA list with a greater total is added."""
    promise = LogIncrement(records=b"", total=push.body.logs["ima"] + 1000)
    return replace(push, unsigned_increments={"ima": promise})


def more_of_the_boot_log(push: Evidence) -> Evidence:
    """An empty increment of the boot log with a greater total is added."""
    promise = LogIncrement(records=b"", total=push.body.logs["tcg2"] + 1000)
    return replace(push, unsigned_increments={"tcg2": promise})


def all_increments_away(push: Evidence) -> Evidence:
    """All increments and PCR values are taken away."""
    return replace(push, unsigned_increments={}, unsigned_pcrs={})


def value_of_pcr_10(push: Evidence) -> Evidence:
    """A value of PCR 10 is added, as if no list explained it."""
    return replace(push, unsigned_pcrs={SHA256: {10: bytes(32)}})


def good_entry(push: Evidence) -> Evidence:
    """An entry of a good file is added."""
    total = push.body.logs["ima"] + 1
    return replace(
        push, unsigned_increments={"ima": LogIncrement(records=ima_ng(b"/usr/bin/cat", b"cat"), total=total)}
    )


@HIDE.ways(
    "contraindicated",
    code=Reason.FILE_UNEXPECTED,
    moves=(more_to_come, more_of_the_boot_log, all_increments_away, value_of_pcr_10, good_entry),
)
def in_every_heartbeat(scene: Scene, move: Callable[[Evidence], Evidence]) -> Seen:
    """In each of twenty heartbeats of a device that was found bad:"""
    bench = scene.bad_bench()
    seen = []
    for number in range(20):
        handle = make_handle(number + 1, time_us=bench.now_us)
        bench.trust = make_trust(bench.device, handles=(bench.handle, handle), policy=bench.policy)
        bench.now_us += 500_000
        bench.device.sync(handle)
        bench.take(move(bench.device.push()))
        seen.append(of_state(bench))
    return best_for_the_attacker(seen)


@HIDE.ways("none", "contraindicated", moves=(more_to_come, all_increments_away, good_entry))
def in_the_push_that_shows_it(scene: Scene, move: Callable[[Evidence], Evidence]) -> Seen:
    """The push that shows the bad file, and all after it, are changed:"""
    bench = scene.bench()
    bench.device.run(b"/tmp/evil", b"evil")
    for _ in range(5):
        bench.take(move(bench.device.push()))
    return of_state(bench)


def emptied(push: Evidence) -> Evidence:
    """the increment is emptied."""
    return replace(push, unsigned_increments={"ima": LogIncrement(records=b"", total=9)})


def one_more(push: Evidence) -> Evidence:
    """the total is one too great."""
    listed = push.unsigned_increments["ima"]
    return replace(push, unsigned_increments={"ima": replace(listed, total=listed.total + 1)})


def one_less(push: Evidence) -> Evidence:
    """the total is one too small."""
    listed = push.unsigned_increments["ima"]
    return replace(push, unsigned_increments={"ima": replace(listed, total=listed.total - 1)})


def value_beside_the_quote(push: Evidence) -> Evidence:
    """the value of a PCR that is not quoted is added."""
    return replace(push, unsigned_pcrs={SHA256: {23: b"\x23" * 32}})


def value_in_another_bank(push: Evidence) -> Evidence:
    """a value in a bank that is not quoted is added."""
    return replace(push, unsigned_pcrs={SHA1: {8: b"\x01" * 20}})


def forged_entry(push: Evidence) -> Evidence:
    """the entries are exchanged for an invented one."""
    return replace(push, unsigned_increments={"ima": LogIncrement(records=ima_ng(b"/bogus", b"bogus"), total=50)})


def entry_of_an_unquoted_pcr(push: Evidence) -> Evidence:
    """an entry of a PCR that is not quoted is added behind the true one."""
    listed = push.unsigned_increments["ima"]
    more = ima_ng(b"/bogus", b"bogus", pcr_index=12)
    return replace(
        push, unsigned_increments={"ima": LogIncrement(records=listed.records + more, total=listed.total + 1)}
    )


def renamed_template(push: Evidence) -> Evidence:
    """the template of the entry gets another name."""
    record = push.unsigned_increments["ima"].records
    renamed = record[:24] + field(b"d-ng|buf") + record[24 + 4 + 6 :]
    return replace(push, unsigned_increments={"ima": LogIncrement(records=renamed, total=2)})


@DIRTY.ways(
    "affirming",
    moves=(
        emptied,
        one_more,
        one_less,
        value_beside_the_quote,
        value_in_another_bank,
        forged_entry,
        renamed_template,
    ),
)
def changed_push_before_the_true_one(scene: Scene, move: Callable[[Evidence], Evidence]) -> Seen:
    """A changed copy of a push arrives before the true one:"""
    bench = scene.bench()
    bench.device.run(b"/usr/bin/cat", b"cat")
    push = bench.device.push()
    with contextlib.suppress(PeerError):  # the worker refuses what does not parse
        bench.take(move(push))
    true = of_step(bench.take(push))
    assert bench.state is not None
    assert bench.state.replay.next_index["ima"] == 2, "a number that nobody signed is in the state"
    return true


@DIRTY.ways("affirming", moves=(emptied, one_more, forged_entry, entry_of_an_unquoted_pcr, renamed_template))
def changed_push_after_the_true_one(scene: Scene, move: Callable[[Evidence], Evidence]) -> Seen:
    """A changed copy of a push arrives after the true one:"""
    bench = scene.bench()
    bench.device.run(b"/usr/bin/cat", b"cat")
    push = bench.device.push()
    bench.take(push)
    with contextlib.suppress(PeerError):
        bench.take(move(push))
    return of_state(bench)


@DIRTY.ways("affirming", moves=(emptied, one_more, forged_entry, entry_of_an_unquoted_pcr))
def only_the_changed_push_arrives(scene: Scene, move: Callable[[Evidence], Evidence]) -> Seen:
    """The true push is dropped; only its changed copy arrives, then honest ones, and each solicit is obeyed:"""
    bench = scene.bench()
    bench.device.run(b"/usr/bin/cat", b"cat")
    asked = bench.take(move(bench.device.push())).solicit
    for _ in range(4):
        if asked is not None:
            bench.device.previous = None
            bench.device.sent.update(asked.logs)
        taken = bench.take(bench.device.push())
        asked = taken.solicit
    return of_state(bench)
