"""Starts the process that tries the mutants of a module, follows it, and ends it whatever happens."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from runtime.progress import Progress
from tests.mutation.mutants import Mutant
from tests.mutation.targets import own_tests

_LEFT_OUT: Final = shutil.ignore_patterns(
    ".git", ".venv", ".cache", ".hypothesis", "__pycache__", "build", "dist", "htmlcov", "*.egg-info"
)


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
        title: of the module, for the line of progress.

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
    own = own_tests(mutants[0].module, tuple(tests))
    job = {"tests": list(tests), "own_tests": own, "at_once": at_once, "trials": trials}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutation.trial"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        try:
            unnoticed = _follow(process, json.dumps(job), title, len(mutants))
        finally:
            _end(process)
        if unnoticed is None:
            errors.seek(0)
            raise TestsFailError(f"{title}: {' '.join(tests)} fail without any mutant\n{errors.read()}")
    return sorted((mutants[number] for number in unnoticed), key=lambda mutant: mutant.line)


def _follow(process: subprocess.Popen[str], job: str, title: str, mutants: int) -> list[int] | None:
    """The numbers of the mutants that nothing noticed; None when not all were tried."""
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        return None
    stdin.write(job)
    stdin.close()
    unnoticed, tried = [], 0
    with Progress(f"mutants of {title}") as progress:
        for tried, line in enumerate(stdout, 1):
            outcome = json.loads(line)
            if outcome["outcome"] == "unnoticed":
                unnoticed.append(outcome["number"])
            progress.report(tried, mutants)
    return unnoticed if process.wait() == 0 and tried == mutants else None


def _end(process: subprocess.Popen[str]) -> None:
    """The process and all its forks, which are of its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
