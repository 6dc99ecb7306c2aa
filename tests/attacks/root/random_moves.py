"""Root and the network together make moves at random; what ran is never affirmed before a reboot."""

import contextlib
import random
from collections.abc import Callable
from dataclasses import replace

from schemas.errors import PeerError
from schemas.hashes import SHA256
from schemas.messages.evidence import Evidence, LogIncrement
from schemas.tpm.pcr import parse_selection_text
from schemas.transitions import TransitionKind
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.hand_made import cel_record, listed, template_digest
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_state
from tests.builders.log_bytes import agile_event, ima_ng
from tests.worlds.device import make_handle, make_policy, make_references, make_trust
from tests.worlds.step_bench import Bench

RANDOM = Kind(by=Attacker.ROOT, goal="be affirmed after an unknown file ran, by any moves in any order")
SELECTIONS = ("sha256:0-10", "sha256:0-9", "sha256:0-11", "sha256:10", "sha256:0-10,14,16")
GOOD = ((b"/usr/bin/true", b"true"), (b"/usr/bin/cat", b"cat"))


class Match:
    """One device, one verifier, and the moves."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.bench = Bench()
        self.bench.take(self.bench.device.push())
        self.captured: list[Evidence] = []
        self.version, self.handles = 1, [self.bench.handle]
        self.is_cleared = False
        self.has_run, self.told = False, list[str]()

    def play(self, moves: int) -> Seen:
        """The best that the attacker got while an unknown file had run."""
        seen = [Seen(verdict="none")]
        for _ in range(moves):
            move = self.dice.choice(MOVES)
            self.told.append(move.__name__)
            with contextlib.suppress(PeerError):  # what does not parse is refused before
                move(self)
            if self.has_run and self.bench.state is not None:
                seen.append(replace(of_state(self.bench), detail=" ".join(self.told)))
        return best_for_the_attacker(seen)

    def take(self, push: Evidence) -> None:
        self.captured.append(push)
        self.bench.take(push)


def run_good(match: Match) -> None:
    match.bench.device.run(*match.dice.choice(GOOD))


def run_bad(match: Match) -> None:
    device = match.bench.device
    device.run(b"/tmp/%d" % match.dice.randrange(99), b"evil %d" % match.dice.randrange(9))
    match.has_run = True
    # A verdict about evidence from before lasts until the next push: only what is quoted from now on is asked about.
    match.take(device.push())


def push(match: Match) -> None:
    match.take(match.bench.device.push())


def push_a_part(match: Match) -> None:
    limits = {name: match.dice.randint(0, 3) for name in ("tcg2", "ima")}
    match.take(match.bench.device.push(limits=limits))


def lose(match: Match) -> None:
    match.captured.append(match.bench.device.push())


def push_all(match: Match) -> None:
    device = match.bench.device
    device.previous = None
    starts = {name: match.dice.choice((0, 0, 1, device.sent.get(name, 0))) for name in ("tcg2", "ima")}
    match.take(device.push(full=True, resend=starts))


def select(match: Match) -> None:
    match.bench.device.selection = parse_selection_text(match.dice.choice(SELECTIONS))


def inflate(match: Match) -> None:
    made = match.bench.device.push()
    names = list(made.body.logs)
    more = {match.dice.choice(names): LogIncrement(records=b"", total=match.dice.randint(0, 10_000))}
    match.take(replace(made, unsigned_increments={**made.unsigned_increments, **more}))


def strip(match: Match) -> None:
    made = match.bench.device.push()
    kept = {name: each for name, each in made.unsigned_increments.items() if match.dice.random() < 0.5}
    match.take(replace(made, unsigned_increments=kept))


def add_values(match: Match) -> None:
    device = match.bench.device
    indices = match.dice.sample(range(17), match.dice.randint(1, 11))
    match.take(replace(device.push(), unsigned_pcrs={SHA256: {index: device.pcrs[index] for index in indices}}))


def forge_entries(match: Match) -> None:
    made = match.bench.device.push()
    entry = ima_ng(b"/usr/bin/true", b"true", pcr_index=match.dice.choice((10, 12)))
    match.take(replace(made, unsigned_increments={**made.unsigned_increments, "ima": listed(entry)}))


def list_by_hand(match: Match) -> None:
    """The body and its logs are made by hand: entries left out, moved to other logs, told under other names."""
    device, dice = match.bench.device, match.dice
    records = [each for each in device.ima_list if dice.random() < 0.8]
    hidden = [each for each in device.ima_list if each not in records]
    increments = {"tcg2": listed(*device.boot_log), "ima": listed(*records)}
    if dice.random() < 0.5:
        moved = [cel_record(number, 10, (SHA256, template_digest(each))) for number, each in enumerate(hidden)]
        increments["cel/x"] = listed(*moved)
    elif dice.random() < 0.5:
        events = [agile_event(10, 4, {SHA256.tpm_id: template_digest(each)}, b"") for each in hidden]
        increments["tcg2"] = listed(*device.boot_log, *events)
    device.previous = None
    body = device.push().body
    digests = {name: SHA256.digest(each.records) for name, each in increments.items() if name != "ima"}
    body = replace(body, logs=dict.fromkeys(increments, 0), increment_digests=digests, sequence=device.sequence)
    values = {SHA256: {index: bytes(32) for index in (8, 9) if (SHA256, index) in device.selection}}
    match.take(device.sign(body, increments, values))


def replay(match: Match) -> None:
    if match.captured:
        match.bench.take(match.dice.choice(match.captured))


def synchronise(match: Match) -> None:
    handle = make_handle(len(match.handles), time_us=match.bench.now_us)
    match.handles.append(handle)
    match.bench.now_us += 500_000
    _trust(match)
    match.bench.device.sync(handle)


def renew_trust(match: Match) -> None:
    match.version += 1
    _trust(match)


def _trust(match: Match) -> None:
    bench = match.bench
    references = match.bench.trust.references
    bench.trust = replace(
        make_trust(
            bench.device,
            handles=tuple(match.handles),
            policy=make_policy(version=match.version),
            references=(make_references(bench.device, version=match.version),),
        )
    )
    if match.dice.random() < 0.5:
        bench.trust = replace(bench.trust, references=references)


def suspend(match: Match) -> None:
    match.bench.device.resume()
    if match.dice.random() < 0.5:
        match.bench.device.transitions = []
    match.bench.device.sync(match.handles[-1])


def tell_something(match: Match) -> None:
    match.bench.device.tell(match.dice.choice(list(TransitionKind)))


def clear(match: Match) -> None:
    match.bench.device.clear()
    match.is_cleared = True
    match.bench.device.previous = None
    synchronise(match)


def forget(match: Match) -> None:
    """A verifier that knows nothing of the device, as after its database was lost; not after a TPM2_Clear.

    Only the memory of a verifier tells evidence that it has seen from evidence that it has not: without it, a push from
    before is as good as its age allows.
    """
    if not match.is_cleared:
        match.bench.state = None
        match.captured.clear()


def break_the_chain(match: Match) -> None:
    match.bench.device.previous = match.dice.choice((None, b"\x11" * 32))


MOVES: tuple[Callable[[Match], None], ...] = (
    run_good,
    run_bad,
    push,
    push,
    push_a_part,
    lose,
    push_all,
    push_all,
    select,
    inflate,
    strip,
    add_values,
    forge_entries,
    list_by_hand,
    list_by_hand,
    replay,
    synchronise,
    synchronise,
    renew_trust,
    suspend,
    tell_something,
    clear,
    forget,
    break_the_chain,
)


@RANDOM.attack("contraindicated", "none", "warning")
def in_six_matches(scene: Scene) -> Seen:
    """Six matches of sixty moves: pushes, parts, gaps, selections, lists made by hand, suspends, clears, replays."""
    return best_for_the_attacker(Match(seed).play(60) for seed in range(6))
