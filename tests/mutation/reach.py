"""Notes which test runs which lines of some modules, and how long it takes."""

import inspect
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from _typeshed import TraceFunction

Line: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Attributes:
    tests: numbers of the tests that run a line.
    unsure: numbers of the tests that may run any line: they recurse too deeply, which ends the tracing.
    seconds: that each test took.
    """

    tests: dict[Line, set[int]]
    unsure: set[int]
    seconds: list[float]

    def by(self, path: str, lines: range) -> set[int]:
        """The tests that run any of these lines, or may."""
        found = set[int]().union(*(self.tests.get((path, line), ()) for line in lines))
        return found | self.unsure if found else found


class Tracer:
    """Notes the lines of some files that run between ``start`` and ``stop``."""

    def __init__(self, paths: set[str]) -> None:
        """Starts idle."""
        self._paths = paths
        self._lines: set[Line] = set()
        self.is_complete = True

    def start(self) -> None:
        """From here on."""
        self._lines = set()
        sys.settrace(self._trace)

    def stop(self) -> set[Line]:
        """The lines since ``start``; not all of them where Python has ended the tracing meanwhile."""
        self.is_complete = sys.gettrace() is not None
        sys.settrace(None)
        return self._lines

    def _trace(self, frame: FrameType, event: str, argument: object) -> "TraceFunction | None":
        path = frame.f_code.co_filename
        if path not in self._paths:
            return None
        self._lines.add((path, frame.f_lineno))
        return self._trace


def watch_tests(tests: Sequence[Callable[[], bool]], paths: set[str]) -> Reached | None:
    """Runs all tests; None when one fails."""
    tracer, reached, unsure, seconds = Tracer(paths), dict[Line, set[int]](), set[int](), []
    for number, test in enumerate(tests):
        started = time.process_time()
        tracer.start()
        passed = test()
        lines = tracer.stop()
        if not passed:
            return None
        seconds.append(time.process_time() - started)
        if not tracer.is_complete:
            unsure.add(number)
        for line in lines:
            reached.setdefault(line, set()).add(number)
    return Reached(tests=reached, unsure=unsure, seconds=seconds)


def innermost(module: CodeType, lines: range) -> range:
    """The lines of the innermost function that holds ``lines``; these alone where none does."""
    found = lines
    for code in functions(module):
        span = span_of(code)
        if lines.start in span and lines.stop - 1 in span and (found is lines or len(span) <= len(found)):
            found = span
    return found


def span_of(code: CodeType) -> range:
    """From its first line to its last."""
    lines = [line for _, _, line in code.co_lines() if line is not None]
    return range(min(lines), max(lines) + 1)


def functions(code: CodeType) -> list[CodeType]:
    """All code inside a module that is not a class."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return [
        *(each for each in inner if each.co_flags & inspect.CO_OPTIMIZED),
        *(deeper for each in inner for deeper in functions(each)),
    ]
