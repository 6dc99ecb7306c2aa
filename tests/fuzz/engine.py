"""A small coverage-guided fuzzer: mutates inputs, keeps those that reach lines of the product no input has reached.

Where Python can (3.12 and later) lines are seen by ``sys.monitoring``, which costs nothing for a line seen before; else
by ``sys.settrace``. Deterministic for a seed, up to how many inputs fit into the time.
"""

import mmap
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, TypeAlias

from schemas.errors import PeerError

MAX_INPUT_BYTES: Final = 64 * 1024
SLOW_S: Final = 5.0
_ROOT: Final = Path(__file__).resolve().parents[2]
PRODUCT: Final = sorted({path.parent.name for path in _ROOT.glob("*/__init__.py")} - {"deploy", "tests"})
_FOLDERS: Final = tuple(f"{_ROOT / package}/" for package in PRODUCT)
_NUMBERS: Final = (
    0,
    1,
    2,
    0x17,
    0x18,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
    2**63,
    2**64 - 1,
)
_TOOL: Final = 4  # sys.monitoring's free ids are 3 and 4


Mutate: TypeAlias = Callable[[bytes, random.Random], bytes]


class SlowError(Exception):
    """One input took longer than any should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one target. ``crash`` is the input that raised ``error``."""

    executions: int
    corpus: int
    lines: int
    crash: bytes | None = None
    error: BaseException | None = None


class Coverage:
    """Lines of the product that were reached. ``fresh`` tells whether new ones were, since it was last asked."""

    def __init__(self) -> None:
        self.lines: set[tuple[CodeType, int]] = set()
        self._before = 0

    def fresh(self) -> bool:
        grown, self._before = len(self.lines) > self._before, len(self.lines)
        return grown

    @contextmanager
    def watching(self) -> Iterator[None]:
        if sys.version_info >= (3, 12):
            monitoring = sys.monitoring
            monitoring.use_tool_id(_TOOL, "attestream-fuzz")
            monitoring.register_callback(_TOOL, monitoring.events.LINE, self._line)
            monitoring.set_events(_TOOL, monitoring.events.LINE)
            try:
                yield
            finally:
                monitoring.set_events(_TOOL, 0)
                monitoring.free_tool_id(_TOOL)
        else:
            sys.settrace(self._trace)
            try:
                yield
            finally:
                sys.settrace(None)

    def _line(self, code: CodeType, line: int) -> object:
        if code.co_filename.startswith(_FOLDERS):
            self.lines.add((code, line))
        return sys.monitoring.DISABLE  # type: ignore[attr-defined,unused-ignore]  # only called where it exists

    def _trace(self, frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:  # noqa: ANN401 sys's
        return self._trace_line if frame.f_code.co_filename.startswith(_FOLDERS) else None

    def _trace_line(self, frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:  # noqa: ANN401 sys's
        if event == "line":
            self.lines.add((frame.f_code, frame.f_lineno))
        return self._trace_line


class Record:
    """The input under way, in a file: what is left when the process dies or hangs."""

    def __init__(self, path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(4 + MAX_INPUT_BYTES)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def write(self, data: bytes) -> None:
        self._map[: 4 + len(data)] = len(data).to_bytes(4, "big") + data

    @staticmethod
    def read(path: Path) -> bytes:
        content = path.read_bytes()
        return content[4 : 4 + int.from_bytes(content[:4], "big")]


def run_one(one: Callable[[bytes], None], data: bytes) -> None:
    """One input. Returns when it was taken or politely refused.

    Raises:
        BaseException: whatever else came of it; :class:`SlowError` when it took too long.
    """
    started = time.process_time()
    with suppress(PeerError):
        one(data)
    seconds = time.process_time() - started
    if seconds > SLOW_S:
        raise SlowError(f"{len(data)} bytes took {seconds:.1f} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a module ``tests/fuzz/fuzz_NAME.py`` defines.

    Attributes:
        one: takes an input, may raise ``PeerError`` and nothing else.
        seeds: ``SEEDS``, true examples.
        mutate: ``MUTATE``, for inputs of a form that mutations of bytes seldom keep; None for none.
    """

    one: Callable[[bytes], None]
    seeds: Sequence[bytes]
    mutate: Mutate | None = None

    def mutation(self, data: bytes, corpus: Sequence[bytes], chance: random.Random) -> bytes:
        """A neighbour of an input; of each second one in the target's own way, if it has one."""
        if self.mutate is not None and chance.random() < 0.5:
            return self.mutate(data, chance)[:MAX_INPUT_BYTES]
        return mutate(data, corpus, chance)


def mutations(target: Target, count: int, seed: int = 0) -> Iterator[bytes]:
    """The seeds, then so many mutations of them; always the same."""
    chance = random.Random(seed)
    yield from target.seeds
    for _ in range(count):
        yield target.mutation(chance.choice(target.seeds), target.seeds, chance)


def fuzz(target: Target, seconds: float, record: Record, *, seed: int = 0) -> Outcome:
    """Feeds a target until the time is over or it crashes."""
    chance, coverage = random.Random(seed), Coverage()
    one, seeds = target.one, target.seeds
    corpus = list(seeds) or [b""]
    executions = 0
    ends = time.monotonic() + seconds
    waiting = list(corpus)
    with coverage.watching():
        while time.monotonic() < ends:
            known = bool(waiting)
            data = waiting.pop() if known else target.mutation(_choose(corpus, chance), corpus, chance)
            record.write(data[:MAX_INPUT_BYTES])
            executions += 1
            try:
                run_one(one, data)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                return Outcome(
                    executions=executions, corpus=len(corpus), lines=len(coverage.lines), crash=data, error=error
                )
            if coverage.fresh() and not known:
                corpus.append(data)
    return Outcome(executions=executions, corpus=len(corpus), lines=len(coverage.lines))


def mutate(data: bytes, corpus: Sequence[bytes], chance: random.Random) -> bytes:
    """A neighbour of an input."""
    changed = bytearray(data)
    for _ in range(1 << chance.randrange(4)):
        chance.choice(_MUTATIONS)(changed, corpus, chance)
    return bytes(changed[:MAX_INPUT_BYTES])


def _choose(corpus: Sequence[bytes], chance: random.Random) -> bytes:
    """Newer inputs more often: they reached what nothing before them did."""
    return corpus[max(chance.randrange(len(corpus)), chance.randrange(len(corpus)))]


def _place(data: bytearray, chance: random.Random) -> int:
    return chance.randrange(len(data) + 1)


def _flip_bit(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set_byte(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _add_small(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    if data:
        at = chance.randrange(len(data))
        data[at] = (data[at] + chance.choice([-2, -1, 1, 2])) % 256


def _write_number(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    size = chance.choice([1, 2, 4, 8])
    number = chance.choice(_NUMBERS) % (1 << 8 * size)
    at = _place(data, chance)
    data[at : at + size] = number.to_bytes(size, chance.choice(["big", "little"]))


def _remove(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    del data[at : at + 1 + int(chance.expovariate(0.1))]


def _insert(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    data[at:at] = chance.choice([chance.randbytes(chance.randrange(1, 9)), bytes(chance.randrange(1, 65))])


def _repeat(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    piece = data[at : at + 1 + int(chance.expovariate(0.05))]
    data[at:at] = piece * chance.choice([1, 1, 2, 8])


def _cut(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    del data[_place(data, chance) :]


def _splice(data: bytearray, corpus: Sequence[bytes], chance: random.Random) -> None:
    other = chance.choice(corpus)
    start = chance.randrange(len(other) + 1)
    end = min(len(other), start + 1 + int(chance.expovariate(0.02)))
    at = _place(data, chance)
    width = chance.choice([0, end - start])
    data[at : at + width] = other[start:end]


_MUTATIONS: Final = (
    _flip_bit,
    _flip_bit,
    _set_byte,
    _add_small,
    _write_number,
    _write_number,
    _remove,
    _insert,
    _repeat,
    _cut,
    _splice,
    _splice,
)
