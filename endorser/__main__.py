"""``endorser``: enrols devices; signs endorsements, reference values and policies, and publishes them."""

import argparse
import sys

from endorser.actions import ACTIONS
from endorser.arguments import parser
from runtime.service import run_command
from runtime.telemetry import configure_logging


def main(arguments: list[str] | None = None) -> int:
    """Runs one sub-command; returns the exit status."""
    options = parser().parse_args(arguments)
    configure_logging("endorser", "warning")
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    for line in ACTIONS[options.command](options):
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
