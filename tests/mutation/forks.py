"""Asks forks of this process: each does one task and hands back what came of it."""

import math
import os
import pickle
import resource
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_WALL_S: Final = 600.0  # for a fork that waits instead of working
_MOST_MEMORY: Final = 4 * 2**30
_PIECE: Final = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[T]):
    """What a fork did.

    Attributes:
        task: that it was given.
        value: what it returned; None when it died before.
        died: it used up its time or memory, or crashed.
    """

    task: T
    value: Any
    died: bool


@dataclass(slots=True, kw_only=True)
class _Fork(Generic[T]):
    task: T
    process: int
    pipe: int
    until: float
    received: bytes = b""


def ask_fork(do: Callable[[], R]) -> R | None:
    """What ``do`` returns in a fork; None when that died."""
    answer = next(ask_forks([None], 1, lambda _: do(), lambda _: None))
    value: R | None = answer.value
    return value


def ask_forks(
    tasks: Iterable[T], at_once: int, do: Callable[[T], Any], cpu_seconds: Callable[[T], int | None]
) -> Iterator[Answer[T]]:
    """Does every task in a fork of its own.

    Args:
        tasks: in this order, as far as several at once have one.
        at_once: how many forks there are at a time.
        do: called in the fork; what it returns is pickled.
        cpu_seconds: processor time that a fork may use, so that a busy machine changes no outcome; None for any.
    """
    waiting, running = iter(tasks), dict[int, _Fork[T]]()
    try:
        while True:
            while len(running) < at_once:
                try:
                    task = next(waiting)
                except StopIteration:
                    break
                fork = _start(task, do, cpu_seconds(task))
                running[fork.pipe] = fork
            if not running:
                return
            yield from _finished(running)
    finally:
        for fork in running.values():
            os.kill(fork.process, signal.SIGKILL)
            os.waitpid(fork.process, 0)


def _start(task: T, do: Callable[[T], Any], cpu_seconds: int | None) -> _Fork[T]:
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            _quieten(cpu_seconds)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(pickle.dumps(do(task)))
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    until = math.inf if cpu_seconds is None else time.monotonic() + _WALL_S
    return _Fork(task=task, process=process, pipe=reading, until=until)


def _quieten(cpu_seconds: int | None) -> None:
    """Says nothing, and ends by itself when it goes on for too long, takes too much memory, or nobody waits for it."""
    with Path(os.devnull).open("r+b", buffering=0) as nowhere:
        for standard in (0, 1, 2):
            os.dup2(nowhere.fileno(), standard)
    if cpu_seconds is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))


def _finished(running: dict[int, _Fork[T]]) -> Iterator[Answer[T]]:
    ready, _, _ = select.select(list(running), [], [], 1.0)
    for pipe in ready:
        fork = running[pipe]
        piece = os.read(pipe, _PIECE)
        fork.received += piece
        if not piece:
            yield _answer(running.pop(pipe))
    now = time.monotonic()
    for pipe in [pipe for pipe, fork in running.items() if fork.until < now]:
        os.kill(running[pipe].process, signal.SIGKILL)
        yield _answer(running.pop(pipe))


def _answer(fork: _Fork[T]) -> Answer[T]:
    os.close(fork.pipe)
    _, status = os.waitpid(fork.process, 0)
    died = status != 0 or not fork.received
    return Answer(task=fork.task, value=pickle.loads(fork.received) if not died else None, died=died)  # noqa: S301 ours
