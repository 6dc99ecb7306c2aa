"""The command line of the demo."""

import argparse
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.demo.scenario.plan import devices_for_everything

DEFAULT_ATTESTERS: Final = 6
MAX_ATTESTERS: Final = 64
MAX_PORT: Final = 65_535
MIN_SECONDS: Final = 40
SCENARIO_SECONDS: Final = 90  # how long the scenario takes without --seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command line.

    Attributes:
        attesters: how many devices.
        seconds: stop so long after everything is up; None runs until a signal.
        plain: lines instead of a live table.
        report: where to write the JSON report.
        keep: the run's directory, kept; None uses a temporary one.
        port: of the broker; None chooses a free one.
        no_dashboard: serve no web page.
    """

    attesters: int = DEFAULT_ATTESTERS
    seconds: float | None = None
    plain: bool = False
    report: Path | None = None
    keep: Path | None = None
    port: int | None = None
    no_dashboard: bool = False


def parse(arguments: list[str] | None) -> Options:
    """Parses the command line; exits with status 2 and a message when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="./run demo",
        description="Start a broker, a TSA, a handle distributor, attesters with software TPMs and a verifier on this "
        "machine; tamper with one device, reboot one, silence one, replay the evidence of one; show the verifier's "
        "results. The exit status is 0 only if all of them are as expected.",
    )
    add = parser.add_argument
    add(
        "--attesters",
        type=int,
        default=DEFAULT_ATTESTERS,
        metavar="N",
        help=f"devices (default: %(default)s); the whole scenario needs {devices_for_everything()}, fewer omit parts",
    )
    add(
        "--seconds",
        type=float,
        metavar="S",
        help=f"stop S seconds after everything is up, at least {MIN_SECONDS} (default: run until Ctrl-C)",
    )
    add("--plain", action="store_true", help="print lines, no terminal control")
    add("--report", type=Path, metavar="FILE", help="write a report as JSON")
    add("--keep", type=Path, metavar="DIR", help="keep keys, logs, configurations and databases in DIR (empty or new)")
    add("--port", type=int, metavar="P", help="port of the broker on the loopback interface (default: a free one)")
    add("--no-dashboard", action="store_true", help="serve no web page")
    given = parser.parse_args(arguments)
    if not 1 <= given.attesters <= MAX_ATTESTERS:
        parser.error(f"--attesters {given.attesters}: expected 1 to {MAX_ATTESTERS}")
    if given.seconds is not None and not MIN_SECONDS <= given.seconds < math.inf:
        parser.error(f"--seconds {given.seconds:g}: expected a finite number, at least {MIN_SECONDS} for the scenario")
    if given.port is not None and not 1 <= given.port <= MAX_PORT:
        parser.error(f"--port {given.port}: expected 1 to {MAX_PORT}; without --port a free one is chosen")
    for option, path, check in (("--keep", given.keep, _make_empty), ("--report", given.report, _try_to_write)):
        try:
            if path is not None:
                check(path)
        except OSError as error:
            parser.error(f"{option} {path}: {error.strerror or error}")
    return Options(**vars(given))


def _make_empty(folder: Path) -> None:
    """Makes the folder unless it is there, empty and writable.

    Raises:
        OSError: it cannot be used.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OSError("exists and is not an empty directory")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _try_to_write(path: Path) -> None:
    """Checks that a file can be written, without changing it.

    Raises:
        OSError: it cannot be written.
    """
    if path.is_dir():
        raise OSError("is a directory")
    if path.is_file():
        with path.open("ab"):
            pass
    elif path.exists():  # a device or a pipe: opening it may have effects
        if not os.access(path, os.W_OK):
            raise OSError("cannot be written")
    else:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
