"""Runs tests against mutants. A process of its own, started in a copy of the tree.

It reads a job from standard input and writes a JSON line for every outcome. No file is changed: a mutant exists in the
memory of one forked process and ends with it.

The tests are imported once. For each mutant a fork replaces the changed functions and runs the tests that reach the
changed lines, first those that noticed the mutants just before. Where the change is outside of functions, or in one
that runs while modules are imported, a fork of a process that has not imported our code yet imports it with the change.
"""

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final, TextIO

import pytest
from _pytest.runner import runtestprotocol
from typing_extensions import override

from tests.mutation.code_changes import Replacement, differences, live_functions, replace_functions
from tests.mutation.forks import ask_fork, ask_forks
from tests.mutation.reach import Line, Reached, Tracer, innermost, span_of, watch_tests

NOTICED: Final = "noticed"
UNNOTICED: Final = "unnoticed"
_IMPORT: Final = "import"
_OPTIONS: Final = ("-q", "-x", "--tb=no", "--assert=plain", "-p", "no:xdist")
_SLOW_LIBRARIES: Final = ("cbor2", "cel_expr_python", "cryptography.x509", "hypothesis", "rfc3161_client")
_SPARE_S: Final = 5
_TIMES_LONGER: Final = 10
_NEIGHBOURS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A mutant to try.

    Attributes:
        number: of it, in the job.
        module: path from the root of the tree.
        line, end_line: of the change.
        source: of the module with the change.
    """

    number: int
    module: str
    line: int
    end_line: int
    source: str

    @property
    def path(self) -> str:
        """The file, as its code objects name it."""
        return str(Path(self.module).resolve())


def main() -> int:
    """Tries every mutant of the job; exit status 1 when the tests fail without any."""
    job = json.load(sys.stdin)
    trials = [Trial(**each) for each in job["trials"]]
    tests, own_tests, at_once = job["tests"], job["own_tests"], job["at_once"]
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for library in _SLOW_LIBRARIES:
        importlib.import_module(library)
    left = ask_fork(lambda: _try_in_process(trials, tests, at_once, report))
    if left is None:
        return 1
    again = [trial for trial in trials if trial.number in left]
    seconds = ask_fork(lambda: _without_mutant(own_tests, tests)) if again else 0.0
    if seconds is None:
        return 1
    limit_s = _limit_s(seconds)
    for answer in ask_forks(again, at_once, lambda trial: _import_changed(trial, own_tests, tests), lambda _: limit_s):
        _report(report, answer.task, NOTICED if answer.died else answer.value)
    return 0


def _report(to: TextIO, trial: Trial, outcome: str, by: str = "") -> None:
    print(json.dumps({"number": trial.number, "outcome": outcome, "by": by}), file=to)


def _limit_s(seconds: float) -> int:
    """Processor time for a mutant, by what its tests take without one."""
    return _SPARE_S + int(_TIMES_LONGER * seconds)


def _without_mutant(own_tests: list[str], tests: list[str]) -> float | None:
    """Processor time of the tests where nothing is changed; None when they fail."""
    return time.process_time() if _pass(own_tests, tests) else None


def _pass(own_tests: list[str], tests: list[str]) -> bool:
    return all(not chosen or pytest.main([*_OPTIONS, *chosen]) == pytest.ExitCode.OK for chosen in (own_tests, tests))


def _import_changed(trial: Trial, own_tests: list[str], tests: list[str]) -> str:
    """The outcome where our code is imported with the change."""
    sys.meta_path.insert(0, _ChangedModule(trial))
    return UNNOTICED if _pass(own_tests, tests) else NOTICED


class _ChangedModule(MetaPathFinder):
    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._name = trial.module.removesuffix(".py").replace("/", ".")

    @override
    def find_spec(
        self, fullname: str, path: Iterable[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _ChangedSource(fullname, self._trial)
        return spec_from_file_location(fullname, self._trial.path, loader=loader)


class _ChangedSource(SourceFileLoader):
    def __init__(self, name: str, trial: Trial) -> None:
        super().__init__(name, trial.path)
        self._trial = trial

    @override
    def get_code(self, fullname: str) -> CodeType:
        return compile(self._trial.source, self._trial.path, "exec")


def _try_in_process(trials: list[Trial], tests: list[str], at_once: int, report: TextIO) -> list[int] | None:
    """Tries what can be tried by replacing functions.

    Returns:
        The numbers of the others; None when the tests fail without any mutant.
    """
    server = _Server(trials, at_once, report)
    pytest.main([*_OPTIONS, *tests], plugins=[server])
    return server.left


class _Server:
    """A plug-in that takes the place of pytest's run: the tests are collected, now mutants are tried on them."""

    def __init__(self, trials: list[Trial], at_once: int, report: TextIO) -> None:
        self.left: list[int] | None = None
        self._trials, self._at_once, self._report = trials, at_once, report
        self._paths = {trial.path for trial in trials}
        self._items: list[pytest.Item] = []
        self._importing = Tracer(self._paths)
        self._importing.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        imported = self._importing.stop()
        self._items = session.items
        tests = [partial(_passes, item) for item in self._items]
        reached = ask_fork(lambda: watch_tests(tests, self._paths))
        if reached is not None and not session.testsfailed:
            self.left = self._try_all(reached, imported)
        return True

    def _try_all(self, reached: Reached, imported: set[Line]) -> list[int]:
        originals = {path: compile(Path(path).read_text(encoding="utf-8"), path, "exec") for path in self._paths}
        live = live_functions(self._paths)
        noticed_by: list[int] = []
        left = []
        gc.freeze()  # a fork that looks for garbage would copy all memory

        def chosen(trial: Trial) -> list[int]:
            lines = range(trial.line, trial.end_line + 1)
            tests = reached.by(trial.path, lines) or reached.by(trial.path, innermost(originals[trial.path], lines))
            first = [number for number in reversed(noticed_by[-_NEIGHBOURS:]) if number in tests]
            return list(dict.fromkeys([*first, *sorted(tests, key=lambda number: reached.seconds[number])]))

        def attempt(trial: Trial) -> tuple[str, int | None]:
            original = originals[trial.path]
            changed = list(differences(original, compile(trial.source, trial.path, "exec")))
            if not replace_functions(live[trial.path], changed):
                return _IMPORT, None
            for number in chosen(trial):
                if not _passes(self._items[number]):
                    return NOTICED, number
            return _IMPORT if _ran_at_import(changed, trial.path, imported) else UNNOTICED, None

        def limit(trial: Trial) -> int:
            return _limit_s(sum(reached.seconds[number] for number in chosen(trial)))

        for answer in ask_forks(self._trials, self._at_once, attempt, limit):
            outcome, number = (NOTICED, None) if answer.died else answer.value
            if number is not None:
                noticed_by.append(number)
            if outcome == _IMPORT:
                left.append(answer.task.number)
            else:
                _report(self._report, answer.task, outcome, self._items[number].nodeid if number is not None else "")
        return left


def _passes(item: pytest.Item) -> bool:
    reports = runtestprotocol(item, log=False, nextitem=None)
    return not any(report.failed for report in reports)


def _ran_at_import(changed: list[Replacement], path: str, imported: set[Line]) -> bool:
    """Whether one of the functions has run already when it was replaced, so that its results may be in use."""
    for each in changed:
        if each.before is not None and any((path, line) in imported for line in list(span_of(each.before))[1:]):
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
