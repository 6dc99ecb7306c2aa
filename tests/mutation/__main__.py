"""``./run mutate``: see ``./run mutate --help``."""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutation.mutants import Mutant, make_mutants
from tests.mutation.record import Fared, Key, digest_of, read_equivalent, read_record, write_draft, write_record
from tests.mutation.runner import TestsFailError, copy_tree, try_mutants
from tests.mutation.targets import ROOT, modules

DRAFT: Final = Path(".cache") / "mutation" / "survivors.toml"
_INTERRUPTED: Final = 130

_DESCRIPTION: Final = """\
Changes the code that decides, one small change (a "mutant") at a time, and runs the unit tests on each.
A test that fails has noticed the mutant. A mutant that no test notices is a line that could be wrong without
anybody knowing: it survives."""

_EPILOG: Final = """\
examples:
  ./run mutate --list                   the modules, and which of them have changed since their last run
  ./run mutate step                     one module, by any part of its path
  ./run mutate step --lines 120-160     only these lines of it; nothing is recorded
  ./run mutate --changed                what tests/architecture asks for
  ./run mutate                          everything: about half an hour on two idle processors

what to do about a survivor:
  Each is shown as a diff. Ask which input would make the two lines differ, and write a unit test for that input; name
  the test after the rule that the mutant breaks. If no input can make them differ, the mutant is equivalent:
  move its entry from .cache/mutation/survivors.toml to tests/mutation/equivalent.toml and say why.

A module without unexplained survivors is recorded in tests/mutation/record.json; a test fails when its code changes
after that (words may change freely). Exit status: 0, or 1 when an unexplained mutant survives."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line."""
    options = _parser().parse_args(arguments)
    chosen = _choose(options.module, changed=options.changed)
    if options.list:
        _list(chosen)
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="attestream-mutate-") as folder:
            copy_tree(ROOT, Path(folder))
            return _run(Path(folder), chosen, options)
    except TestsFailError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the modules that were finished are recorded", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./run mutate",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("module", nargs="*", metavar="MODULE", help="a path, or a part of one (all modules)")
    parser.add_argument("--list", action="store_true", help="show the modules, their tests and their last runs")
    parser.add_argument("--changed", action="store_true", help="only modules that have changed since their last run")
    parser.add_argument("--lines", type=_lines, metavar="FIRST-LAST", help="only mutants of these lines")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time (one a processor)")
    return parser


def _lines(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _choose(names: Sequence[str], *, changed: bool) -> dict[str, tuple[str, ...]]:
    """The modules that are meant, with their tests."""
    every = modules()
    wanted = [name.removesuffix(".py").replace(".", "/") for name in names]
    for name in wanted:
        if not any(_is_meant(name, path) for path in every):
            sys.exit(f"no module of the list is called {name!r}; see ./run mutate --list")
    chosen = {path: tests for path, tests in every.items() if not wanted or any(_is_meant(n, path) for n in wanted)}
    if changed:
        record = read_record()
        chosen = {path: tests for path, tests in chosen.items() if not _is_recorded(path, record.get(path))}
    return chosen


def _is_meant(name: str, path: str) -> bool:
    return f"/{name}/" in f"/{path.removesuffix('.py')}/"


def _is_recorded(path: str, fared: Fared | None) -> bool:
    return fared is not None and fared.digest == digest_of((ROOT / path).read_text(encoding="utf-8"))


def _list(chosen: dict[str, tuple[str, ...]]) -> None:
    record = read_record()
    for path, tests in chosen.items():
        fared = record.get(path)
        state = "never run" if fared is None else f"{fared.mutants} mutants, {fared.equivalent} equivalent"
        if fared is not None and not _is_recorded(path, fared):
            state = "changed since its last run"
        print(f"{path}: {state}; asks {' '.join(tests)}")


def _run(folder: Path, chosen: dict[str, tuple[str, ...]], options: argparse.Namespace) -> int:
    equivalent = read_equivalent()
    survivors: list[Mutant] = []
    needless: list[Key] = []
    for number, (path, tests) in enumerate(chosen.items(), 1):
        started, title = time.monotonic(), f"[{number}/{len(chosen)}] {path}"
        source = (folder / path).read_text(encoding="utf-8")
        mutants = [each for each in make_mutants(path, source) if options.lines is None or each.line in options.lines]
        unnoticed = try_mutants(folder, mutants, tests, options.jobs, title)
        left = [mutant for mutant in unnoticed if mutant.key not in equivalent]
        fared = Fared(
            digest=digest_of(source),
            mutants=len(mutants),
            noticed=len(mutants) - len(unnoticed),
            equivalent=len(unnoticed) - len(left),
        )
        print(
            f"{title}: {fared.mutants} mutants, {fared.noticed} noticed, {fared.equivalent} equivalent, "
            f"{len(left)} survived ({time.monotonic() - started:.0f} s)",
            *map(_shown, left),
            sep="\n",
            flush=True,
        )
        survivors += left
        if options.lines is None:
            needless += sorted({key for key in equivalent if key[0] == path} - {mutant.key for mutant in unnoticed})
        if not left and options.lines is None:
            write_record({**{each: kept for each, kept in read_record().items() if each in modules()}, path: fared})
    return _conclude(survivors, needless)


def _conclude(survivors: Sequence[Mutant], needless: Sequence[Key]) -> int:
    for module, function, was, becomes in needless:
        print(f"equivalent.toml: {module} {function}: {was!r} -> {becomes!r} does not survive; take the entry out")
    if survivors:
        write_draft(survivors, ROOT / DRAFT)
        print(f"{len(survivors)} mutants survive; entries for equivalent.toml are in {DRAFT}")
    return 1 if survivors or needless else 0


def _shown(mutant: Mutant) -> str:
    lines = [f"  - {line}" for line in mutant.was.splitlines()] + [
        f"  + {line}" for line in mutant.becomes.splitlines()
    ]
    return "\n".join((f"{mutant.module}:{mutant.line} {mutant.function}", *lines))


if __name__ == "__main__":
    sys.exit(main())
