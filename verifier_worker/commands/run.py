"""``verifier-worker run``: the service, or a look at its settings."""

import argparse
from pathlib import Path

from runtime.command_line import Parsers
from runtime.settings import load, naming
from verifier_worker.adapters.loaded_files import ROLE
from verifier_worker.service import check_service, run_service
from verifier_worker.settings import Settings


def add_to(parsers: Parsers) -> None:
    """Adds ``run``."""
    command = parsers.add_parser("run", help="run until SIGTERM or Ctrl-C")
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML settings of this worker")
    command.add_argument("--check-config", action="store_true", help="read settings, keys and policy, then exit")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the worker until it is stopped.

    Raises:
        ConfigError: names the file and the field.
    """
    settings = load(arguments.config, Settings, ROLE)
    with naming(arguments.config):
        if arguments.check_config:
            check_service(settings)
            print(f"{arguments.config}: settings, keys and policy are fine")
        else:
            run_service(settings)
