"""``./run fuzz``: feeds every parser bytes that nobody would send; each target in a process of its own.

With atheris (libFuzzer) where it is installed -- it has wheels for some Pythons on x86-64 only, so it is not among the
locked packages: ``.venv/bin/pip install atheris`` -- and else with the small fuzzer in ``tests/fuzz/engine.py``.
"""

import argparse
import contextlib
import hashlib
import importlib
import importlib.util
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from schemas.errors import PeerError
from tests.fuzz.engine import PRODUCT, Record, Target, fuzz, run_one

FOLDER: Final = Path(".cache") / "fuzz"
CRASHES: Final = FOLDER / "crashes"
GRACE_S: Final = 60.0
_CRASHED: Final = 1
_HERE: Final = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzzes; exit status 1 when any target crashed."""
    options = _parser().parse_args(arguments)
    if options.child:
        return _fuzz_here(options)
    if options.replay is not None:
        return _replay(options.target, options.replay)
    names = options.target or targets()
    CRASHES.mkdir(parents=True, exist_ok=True)
    engine = options.engine if options.engine != "auto" else "atheris" if _has_atheris() else "own"
    print(f"{len(names)} targets, {options.seconds:g} s each, {options.jobs} at a time, engine: {engine}", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        good = list(pool.map(lambda name: _run_child(name, engine, options), names))
    print(f"crashes are in {CRASHES}" if not all(good) else "no crash")
    return 0 if all(good) else 1


def targets() -> list[str]:
    """Names of all targets."""
    return sorted(path.stem.removeprefix("fuzz_") for path in _HERE.glob("fuzz_*.py"))


def load_target(name: str) -> Target:
    """Imports a target."""
    module: ModuleType = importlib.import_module(f"tests.fuzz.fuzz_{name}")
    return Target(one=module.one, seeds=module.SEEDS, mutate=getattr(module, "MUTATE", None))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="for each target (30)")
    parser.add_argument("--target", action="append", choices=targets(), help="only this one; may be repeated")
    parser.add_argument("--engine", choices=["auto", "atheris", "own"], default="auto")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time (one a processor)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**31, help="of the engine (another each time)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="feed one saved input to one --target")
    parser.add_argument("--child", choices=["atheris", "own"], help=argparse.SUPPRESS)
    return parser


def _has_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None


def _replay(names: list[str] | None, path: Path) -> int:
    if names is None or len(names) != 1:
        sys.stderr.write("--replay: name one --target\n")
        return 2
    run_one(load_target(names[0]).one, path.read_bytes())
    print("taken, or refused as it should be")
    return 0


def _run_child(name: str, engine: str, options: argparse.Namespace) -> bool:
    """One target in its own process; True when nothing was found."""
    record = FOLDER / f"{name}.input"
    command = [sys.executable, "-m", "tests.fuzz", "--child", engine, "--target", name]
    command += ["--seconds", str(options.seconds), "--seed", str(options.seed)]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace", timeout=options.seconds + GRACE_S
        )
    except subprocess.TimeoutExpired:
        print(f"{name}: hangs: {_save(name, Record.read(record))}", flush=True)
        return False
    if done.returncode == 0:
        print(f"{name}: {(done.stderr + done.stdout).strip().splitlines()[-1]}", flush=True)
        return True
    if done.returncode < 0 and engine == "own":  # killed by a signal: nobody was left to save the input
        print(f"{name}: died of signal {-done.returncode}: {_save(name, Record.read(record))}", flush=True)
    print(f"{name}: CRASHED\n{done.stdout}{done.stderr[-4000:]}", flush=True)
    return False


def _fuzz_here(options: argparse.Namespace) -> int:
    (name,) = options.target
    logging.disable()  # a line for every refused input would be most of the work
    if options.child == "atheris":
        return _fuzz_with_atheris(name, options)
    outcome = fuzz(load_target(name), options.seconds, Record(FOLDER / f"{name}.input"), seed=options.seed)
    told = f"{outcome.executions} inputs, {outcome.lines} lines, corpus {outcome.corpus}"
    if outcome.crash is None or outcome.error is None:
        print(told)
        return 0
    print(f"{told}; {_save(name, outcome.crash)}")
    traceback.print_exception(outcome.error)
    return _CRASHED


def _fuzz_with_atheris(name: str, options: argparse.Namespace) -> int:
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=PRODUCT):
        target = load_target(name)

    def polite(data: bytes) -> None:
        with contextlib.suppress(PeerError):
            target.one(data)

    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(target.seeds):
            (Path(folder) / str(number)).write_bytes(data)
        limits = [f"-max_total_time={max(1, int(options.seconds))}", "-max_len=65536", "-timeout=5"]
        limits += [f"-seed={options.seed or 1}", f"-artifact_prefix={CRASHES.resolve()}/{name}-"]
        atheris.Setup([sys.argv[0], *limits, folder], polite, **_custom(atheris, target))
        atheris.Fuzz()  # ends the process
    return 0


def _custom(atheris: Any, target: Target) -> dict[str, object]:  # noqa: ANN401 a module that need not be there
    """The target's own mutations, each second time, as libFuzzer takes them."""

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if target.mutate is None or chance.random() < 0.5:
            return bytes(atheris.Mutate(data, max_size))
        return target.mutate(data, chance)[:max_size]

    return {} if target.mutate is None else {"custom_mutator": mutate}


def _save(name: str, data: bytes) -> str:
    path = CRASHES / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}"
    path.write_bytes(data)
    return f"saved; again with ./run fuzz --target {name} --replay {path}"


if __name__ == "__main__":
    sys.exit(main())
