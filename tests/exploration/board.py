"""Two verifiers and the real result board of a relying party.

The verifiers share nothing but the device: each takes its own deliveries. What they publish belongs to the network: it
brings any of it to the board at any time, in any order, again, or never. One of them may once be backed up, and later
once be restored to that backup; its old results stay published.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, generate_private_key

from relying_party.result_board import ResultBoard, result_keys
from schemas.codecs import cose
from schemas.errors import PeerError
from schemas.instants import SECOND_US
from schemas.messages.result import AttestationResult
from schemas.topics import TopicKind, Topics
from schemas.verdicts import Freshness, Tier
from tests.exploration.invariants import broken
from tests.exploration.scope import Scope
from tests.exploration.search import Explored, Move, explore
from tests.exploration.verifier import Event, Node, Verifier
from tests.fakes.relying_party import message_of

_GOOD_TO_BAD: Final = (Tier.AFFIRMING, Tier.NONE, Tier.WARNING, Tier.CONTRAINDICATED)
BOARD_INVARIANTS: Final = (
    "a standing follows the evidence",
    "a board never goes back",
    "a board takes what is new",
    "a refused result changes nothing",
)
NAMES: Final = ("verifier A", "verifier B")
APART_US: Final = 500_000  # no two verifiers receive anything at the same microsecond
SPAN_S: Final = 60  # all that happens between two long silences
BACKED_UP, RESTORED, WAITS = "is backed up", "is restored from its backup", "waits in vain until after the deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One result in the network: its place in the order of its verifier, and its signed form."""

    number: int
    result: AttestationResult
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A verifier, and what it has published so far."""

    node: Node
    published: tuple[Published, ...] = ()
    saved: Node | None = None
    restored: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """Equal keys behave equally."""
        saved = self.saved.key if self.saved is not None else None
        return self.node.key, tuple(each.payload for each in self.published), saved, self.restored


class Histories:
    """One verifier's histories, each made once."""

    def __init__(self, scope: Scope, which: int, waits: int, *, restores: bool) -> None:
        self._scope, self._which, self._waits, self._restores = scope, which, waits, restores
        self._verifier = Verifier(scope, waits=waits, name=NAMES[which])
        self._key = generate_private_key(SECP256R1())
        public = self._key.public_key()
        self.keys = result_keys({cose.key_id(public): public})
        self._known: dict[tuple[object, ...], History] = {}
        self._published: dict[tuple[int, str], Published] = {}
        self._after: dict[int, tuple[tuple[str, History, str], ...]] = {}

    def first(self) -> History:
        """Nothing was delivered."""
        return self._one(History(node=self._verifier.first()))

    def after(self, history: History) -> tuple[tuple[str, History, str], ...]:
        """Everything that can happen next: in words, the history then, and the invariant that it breaks."""
        if id(history) not in self._after:
            self._after[id(history)] = tuple(self._all_after(history))
        return self._after[id(history)]

    def _all_after(self, history: History) -> Iterator[tuple[str, History, str]]:
        for message in self._scope.messages:
            if message not in self._scope.given:
                yield self._event(history, Event(words=f"is given {message.name}", message=message))
        if history.node.waits < self._waits:
            yield self._event(history, Event(words=WAITS))
        if self._restores and history.saved is None and not history.restored:
            yield BACKED_UP, self._one(replace(history, saved=history.node)), ""
        if history.saved is not None and history.saved.waits == history.node.waits:
            yield RESTORED, self._one(replace(history, node=history.saved, saved=None, restored=True)), ""

    def _event(self, history: History, event: Event) -> tuple[str, History, str]:
        outcome = self._verifier.apply(history.node, event)
        published = history.published
        is_push = event.message is not None and event.message.kind == TopicKind.EVIDENCE
        for result in outcome.results:
            published = (*published, self._publish(result, published, is_push=is_push))
        after = self._one(replace(history, node=outcome.after, published=published))
        return event.words, after, broken(history.node, outcome, self._scope)

    def _publish(self, result: AttestationResult, before: tuple[Published, ...], *, is_push: bool) -> Published:
        """Results of one verifier are a second apart, and so are the receipts that they name."""
        number, same = len(before) + 1, [each.number for each in before if each.result.evidence == result.evidence]
        receipt = number if is_push or not same else same[-1]
        received_us = (result.received_us or 0) + receipt * SECOND_US + self._which * APART_US
        dated = replace(result, issued_s=result.issued_s + number, received_us=received_us)
        index = number, repr(dated)
        if index not in self._published:
            payload = message_of(dated, self._key)
            self._published[index] = Published(number=number, result=dated, payload=payload)
        return self._published[index]

    def _one(self, history: History) -> History:
        return self._known.setdefault(history.key, history)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Both verifiers, the board, and of each verifier the newest result that the board was given."""

    verifiers: tuple[History, History]
    given: tuple[Published | None, Published | None] = (None, None)
    board: ResultBoard

    @property
    def key(self) -> tuple[int, ...]:
        """Equal keys behave equally: each history, result and board is made once."""
        return tuple(id(each) for each in (*self.verifiers, *self.given, self.board))


class TwoVerifiers:
    """Takes a world from one moment to the next."""

    def __init__(self, scope: Scope, *, waits: int, restores: bool) -> None:
        self._scope = scope
        self._both = [Histories(scope, which, waits, restores=restores and which == 0) for which in range(len(NAMES))]
        self._keys = self._both[0].keys | self._both[1].keys
        self._boards: dict[tuple[object, ...], ResultBoard] = {}
        self._taken: dict[tuple[int, int, int], tuple[ResultBoard, PeerError | None, str]] = {}
        self._judged: dict[tuple[int, ...], tuple[str, str]] = {}

    def first(self) -> World:
        """Nothing was delivered."""
        histories = self._both[0].first(), self._both[1].first()
        return World(verifiers=histories, board=self._one(ResultBoard(self._keys)))

    def moves(self, world: World) -> Iterator[Move[World]]:
        """Everything that can happen next."""
        waited: list[tuple[str, History, str]] = []
        for which, history in enumerate(world.verifiers):
            for words, after, problem in self._both[which].after(history):
                if words == WAITS:
                    waited.append((words, after, problem))
                    continue
                first, second = world.verifiers
                verifiers = (after, second) if which == 0 else (first, after)
                yield self._move(replace(world, verifiers=verifiers), f"{NAMES[which]} {words}", problem)
            for published in history.published:
                yield self._shown(world, which, published)
        if len(waited) == len(NAMES):
            (_, first, problem), (_, second, other) = waited
            yield self._move(replace(world, verifiers=(first, second)), f"each {WAITS}", problem or other)

    def _shown(self, world: World, which: int, published: Published) -> Move[World]:
        """The network brings a result to the board."""
        words = f"the board is given result {published.number} of {NAMES[which]} ({published.result.status})"
        newest = world.given[which]
        is_old = newest is not None and published.number < newest.number
        board, refused, problem = self._take(world, published)
        if is_old and board is not world.board:
            problem = problem or "a board never goes back: it took an older result of the same verifier"
        if refused is not None and not is_old:
            problem = problem or f"a board takes what is new: it refused a result ({refused.reason})"
        given = list(world.given)
        given[which] = newest if is_old else published
        return self._move(replace(world, board=board, given=(given[0], given[1])), words, problem)

    def _take(self, world: World, published: Published) -> tuple[ResultBoard, PeerError | None, str]:
        now_s = self._now_s(world)
        index = id(world.board), id(published), now_s
        if index not in self._taken:
            board, refused = _copy(world.board, self._keys), None
            try:
                board.apply(Topics().results(self._scope.ueid), published.payload, now_s)
            except PeerError as error:
                refused = error
            board = self._one(board)
            changed = refused is not None and board is not world.board
            self._taken[index] = (
                board,
                refused,
                "a refused result changes nothing: it changed the board" if changed else "",
            )
        return self._taken[index]

    def _one(self, board: ResultBoard) -> ResultBoard:
        held = tuple(sorted(each.token for of_one in board._results.values() for each in of_one.values()))
        return self._boards.setdefault(held, board)

    def _move(self, after: World, words: str, problem: str) -> Move[World]:
        now_s = self._now_s(after)
        index = id(after.board), *(id(each) for each in after.given), now_s
        if index not in self._judged:
            standing = after.board.standing(self._scope.ueid, now_s)
            seen = f"{standing.status}, {standing.freshness}" if standing is not None else "nothing"
            self._judged[index] = seen, expected_standing([each for each in after.given if each is not None], now_s)
        seen, expected = self._judged[index]
        if seen != expected:
            problem = problem or f"a standing follows the evidence: {seen} instead of {expected}"
        return Move(words=words, after=after, key=after.key, problem=problem, seen=(f"standing: {seen}",))

    def _now_s(self, world: World) -> int:
        return self._scope.time_us(world.verifiers[0].node.waits) // SECOND_US + SPAN_S


def expected_standing(newest: list[Published], now_s: int) -> str:
    """By the newest result of each verifier: the worst that has not expired, whoever spoke last."""
    if not newest:
        return "nothing"
    unexpired = [each.result for each in newest if now_s < each.result.expires_s]
    if not unexpired:
        return f"{Tier.NONE}, {Freshness.STALE}"
    worst = max(unexpired, key=lambda each: (_GOOD_TO_BAD.index(each.status), each.received_us, each.issued_s))
    return f"{worst.status}, {worst.freshness}"


def _copy(board: ResultBoard, keys: Mapping[str, EllipticCurvePublicKey]) -> ResultBoard:
    copied = ResultBoard(keys)
    copied._results = {ueid: dict(of_one) for ueid, of_one in board._results.items()}
    return copied


def explore_board(scope: Scope, *, waits: int = 1, restores: bool = True, depth: int | None = None) -> Explored:
    """Everything that can happen to two verifiers and a board."""
    both = TwoVerifiers(scope, waits=waits, restores=restores)
    first = both.first()
    return explore(first, first.key, both.moves, depth=depth)
