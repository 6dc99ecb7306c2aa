"""The command line of the demo."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_ATTESTERS: Final = 6
MAX_ATTESTERS: Final = 64
MIN_SECONDS: Final = 40
STORY_SECONDS: Final = 90  # how long the story takes where --seconds does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the person asked for.

    Attributes:
        attesters: how many devices.
        seconds: stop by itself that long after everything is up; None runs until a signal.
        plain: lines instead of a live table.
        report: where to write the JSON report.
        keep: the run's directory, kept; None uses a temporary one.
        port: of the broker; None takes a free one.
    """

    attesters: int = DEFAULT_ATTESTERS
    seconds: float | None = None
    plain: bool = False
    report: Path | None = None
    keep: Path | None = None
    port: int | None = None


def parse(arguments: list[str] | None) -> Options:
    """Parses the command line; exits with status 2 and a message when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="./run demo",
        description="Start a broker, a TSA, a handle distributor, attesters with software TPMs and a verifier on this "
        "machine; tamper with one device, reboot one, silence one, replay the evidence of one; show what the verifier "
        "says. The exit status is 0 only if it says what it should.",
    )
    add = parser.add_argument
    add("--attesters", type=int, default=DEFAULT_ATTESTERS, metavar="N", help="devices (default: %(default)s)")
    add(
        "--seconds",
        type=float,
        metavar="S",
        help=f"stop by itself S seconds after everything is up, at least {MIN_SECONDS} (default: run until Ctrl-C)",
    )
    add("--plain", action="store_true", help="print lines, no terminal control")
    add("--report", type=Path, metavar="FILE", help="write what happened as JSON")
    add("--keep", type=Path, metavar="DIR", help="keep keys, logs, configurations and databases in DIR (empty or new)")
    add("--port", type=int, metavar="P", help="port of the broker on the loopback interface (default: a free one)")
    given = parser.parse_args(arguments)
    if not 1 <= given.attesters <= MAX_ATTESTERS:
        parser.error(f"--attesters {given.attesters}: expected 1 to {MAX_ATTESTERS}")
    if given.seconds is not None and given.seconds < MIN_SECONDS:
        parser.error(f"--seconds {given.seconds:g}: the story needs at least {MIN_SECONDS}")
    if given.keep is not None and given.keep.exists() and (not given.keep.is_dir() or any(given.keep.iterdir())):
        parser.error(f"--keep {given.keep}: exists and is not an empty directory")
    return Options(**vars(given))
