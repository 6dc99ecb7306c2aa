"""Starts the process that tries the mutants of a module, follows it, and ends it whatever happens."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutation.mutants import Mutant
from tests.mutation.targets import own_tests

_LEFT_OUT: Final = shutil.ignore_patterns(
    ".git", ".venv", ".cache", ".hypothesis", "__pycache__", "build", "dist", "htmlcov", "*.egg-info"
)
_PROGRESS_S: Final = 30.0  # between two lines, where nobody watches a terminal


class TestsFailError(Exception):
    """The tests fail without any mutant, so they say nothing about one."""


def copy_tree(root: Path, folder: Path) -> None:
    """Copies what the tests need, so that the working tree may change during a run."""
    shutil.copytree(root, folder, ignore=_LEFT_OUT, symlinks=True, dirs_exist_ok=True)


def try_mutants(
    folder: Path, mutants: Sequence[Mutant], tests: Sequence[str], at_once: int, title: str
) -> list[Mutant]:
    """The mutants that no test notices.

    Args:
        folder: a copy of the tree.
        mutants: of one module.
        tests: folders of tests that are asked.
        at_once: mutants at a time.
        title: begins a line of progress.

    Raises:
        TestsFailError: see there.
    """
    if not mutants:
        return []
    trials = [
        {
            "number": number,
            "module": mutant.module,
            "line": mutant.line,
            "end_line": mutant.end_line,
            "source": mutant.source,
        }
        for number, mutant in enumerate(mutants)
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.mutation.trial"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        own = own_tests(mutants[0].module, tuple(tests))
        job = {"tests": list(tests), "own_tests": own, "at_once": at_once, "trials": trials}
        process.stdin.write(json.dumps(job))
        process.stdin.close()
        unnoticed, progress = [], _Progress(title, len(mutants))
        for line in process.stdout:
            outcome = json.loads(line)
            if outcome["outcome"] == "unnoticed":
                unnoticed.append(mutants[outcome["number"]])
            progress.one_more(len(unnoticed))
        progress.clear()
        if process.wait() != 0 or progress.tried != len(mutants):
            raise TestsFailError(f"{title}: the tests fail without any mutant; see .venv/bin/pytest {' '.join(tests)}")
    finally:
        _end(process)
    return sorted(unnoticed, key=lambda mutant: mutant.line)


def _end(process: subprocess.Popen[str]) -> None:
    """The process and all its forks, which are of its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


class _Progress:
    def __init__(self, title: str, mutants: int) -> None:
        self.tried = 0
        self._title, self._mutants = title, mutants
        self._shown = time.monotonic()

    def one_more(self, unnoticed: int) -> None:
        self.tried += 1
        text = f"{self._title}: {self.tried} of {self._mutants} tried, {unnoticed} unnoticed"
        if sys.stdout.isatty():
            print(f"\r{text}\033[K", end="", flush=True)
        elif time.monotonic() - self._shown >= _PROGRESS_S:
            self._shown = time.monotonic()
            print(text, flush=True)

    def clear(self) -> None:
        if sys.stdout.isatty():
            print("\r\033[K", end="", flush=True)
