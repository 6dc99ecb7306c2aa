"""The network alone makes moves at random on the messages of an honest device, which also reboots and sleeps."""

import contextlib
import random
from collections.abc import Callable
from dataclasses import replace

from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256
from schemas.messages.evidence import Evidence, LogIncrement, Transition
from schemas.verdicts import Tier
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.hand_made import listed
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_state
from tests.builders.log_bytes import ima_ng
from tests.worlds.device import make_handle, make_references, make_trust
from tests.worlds.step_bench import Bench

SPOIL = Kind(by=Attacker.NETWORK, goal="make a good device look bad, or never recover, by any moves in any order")


class Match:
    """An honest device that obeys solicits, a verifier, and what the network does between them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.bench = Bench()
        self.held: list[Evidence] = []
        self.handles, self.version = [self.bench.handle], 1
        self.worst = Tier.AFFIRMING
        self.transitions: list[Transition] = []
        self.deliver(self.made())

    def made(self, **how: object) -> Evidence:
        """The device's next push; a full one reports all transitions of the boot again, as an agent's does."""
        device = self.bench.device
        if device.previous is None:
            device.transitions = self.transitions[:]
        return device.push(**how)  # type: ignore[arg-type]  # push's own options

    def deliver(self, push: Evidence) -> None:
        """The verifier takes it; a solicit reaches the device now and then."""
        with contextlib.suppress(PeerError):
            taken = self.bench.take(push)
            if taken.solicit is not None and self.dice.random() < 0.7:
                self.bench.device.previous = None
                for name, start in taken.solicit.logs.items():
                    self.bench.device.sent[name] = min(start, self.bench.device.sent.get(name, 0))
        if self.bench.state is not None and self.bench.state.verdict.status in {Tier.WARNING, Tier.CONTRAINDICATED}:
            self.worst = self.bench.state.verdict.status

    def play(self, moves: int) -> Seen:
        """The worst that was said about the device; ``affirming`` if it recovered at the end."""
        for _ in range(moves):
            self.dice.choice(MOVES)(self)
            if self.worst is not Tier.AFFIRMING:
                return of_state(self.bench)
        self.held.clear()
        for _ in range(12):  # the network is faithful again
            synchronise(self)
            taken = self.bench.take(self.made())
            if taken.solicit is not None:
                self.bench.device.previous = None
                self.bench.device.sent.update(taken.solicit.logs)
        return of_state(self.bench)


def run(match: Match) -> None:
    match.bench.device.run(*match.dice.choice(((b"/usr/bin/true", b"true"), (b"/usr/bin/cat", b"cat"))))


def push(match: Match) -> None:
    match.deliver(match.made())


def push_in_parts(match: Match) -> None:
    match.deliver(match.made(limits={"tcg2": match.dice.randint(1, 5), "ima": match.dice.randint(1, 5)}))


def lose(match: Match) -> None:
    match.made()


def hold(match: Match) -> None:
    match.held.append(match.made())


def release(match: Match) -> None:
    if match.held:
        match.deliver(match.held.pop(match.dice.randrange(len(match.held))))


def repeat(match: Match) -> None:
    made = match.made()
    match.held.append(made)
    match.deliver(made)
    match.deliver(made)


def change(match: Match) -> None:
    """An unsigned part is changed; the true push follows, or not."""
    made, dice = match.made(), match.dice
    increments = dict(made.unsigned_increments)
    name = dice.choice(("ima", "tcg2"))
    entry = ima_ng(b"/tmp/evil", b"evil", pcr_index=dice.choice((10, 12)))
    known = increments.get(name, LogIncrement(records=b"", total=made.body.logs[name]))
    increments[name] = dice.choice(
        (
            LogIncrement(records=b"", total=known.total + dice.randint(0, 3)),
            replace(known, total=max(0, known.total + dice.choice((-1, 1, 1000)))),
            listed(entry),
            LogIncrement(records=known.records + entry, total=known.total + 1),
            LogIncrement(records=known.records[: len(known.records) // 2], total=known.total),
        )
    )
    values = dice.choice(
        (made.unsigned_pcrs, {}, {SHA256: {8: b"\x08" * 32}}, {SHA1: {0: bytes(20)}}, {SHA256: {10: bytes(32)}})
    )
    match.deliver(replace(made, unsigned_increments=increments, unsigned_pcrs=values))
    if dice.random() < 0.5:
        match.deliver(made)


def synchronise(match: Match) -> None:
    handle = make_handle(len(match.handles), time_us=match.bench.now_us)
    match.handles.append(handle)
    match.bench.now_us += 500_000
    known = [each for each in match.handles if each is handle or match.dice.random() < 0.9]
    match.bench.trust = make_trust(
        match.bench.device,
        handles=tuple(known),
        policy=match.bench.policy,
        references=(make_references(match.bench.device, version=match.version),),
    )
    match.bench.device.sync(handle)


def renew_values(match: Match) -> None:
    match.version += 1
    synchronise(match)


def reboot(match: Match) -> None:
    match.bench.device.reboot()
    match.transitions, match.bench.device.transitions = [], []
    synchronise(match)


def suspend(match: Match) -> None:
    match.bench.device.resume()
    match.transitions += match.bench.device.transitions[-1:]
    synchronise(match)


MOVES: tuple[Callable[[Match], None], ...] = (
    run,
    push,
    push,
    push_in_parts,
    lose,
    hold,
    release,
    repeat,
    change,
    change,
    change,
    synchronise,
    renew_values,
    reboot,
    suspend,
)


@SPOIL.attack("affirming")
def in_six_matches(scene: Scene) -> Seen:
    """Six matches of sixty moves: losses, delays, repeats, changed unsigned bytes; at the end it must be affirmed."""
    seen = [Match(seed).play(60) for seed in range(6)]
    return next((each for each in seen if each.verdict != "affirming"), seen[0])
