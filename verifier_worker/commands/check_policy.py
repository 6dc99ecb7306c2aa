"""``verifier-worker check-policy``: reads an appraisal policy."""

import argparse
from pathlib import Path

from runtime.command_line import Parsers
from verifier_worker.adapters.loaded_files import load_policy


def add_to(parsers: Parsers) -> None:
    """Adds ``check-policy``."""
    command = parsers.add_parser("check-policy", help="read an appraisal policy and report what is wrong with it")
    command.add_argument("policy", type=Path, metavar="FILE")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints the label of a good policy.

    Raises:
        ConfigError: names the field; for a rule, line and column, too.
    """
    print(f"{arguments.policy}: policy {load_policy(arguments.policy).label} is fine")
