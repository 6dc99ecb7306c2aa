"""``handle-distributor run``: the service, or a check of its settings."""

import argparse

from handle_distributor.commands.options import add_config, read_settings
from handle_distributor.service import check_service, run_service
from runtime.command_line import Parsers
from runtime.service import Stop, installed_version
from runtime.settings import naming


def add_to(parsers: Parsers) -> None:
    """Adds ``run``."""
    command = parsers.add_parser("run", help="issue and publish a handle every interval until stopped")
    command.add_argument("--check-config", action="store_true", help="read settings, keys and certificates, then stop")
    add_config(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the distributor until it is stopped.

    Raises:
        ConfigError: names the file and the field.
        WorldError: the last handle cannot be read.
    """
    settings = read_settings(arguments.config)
    with naming(arguments.config):
        if arguments.check_config:
            check_service(settings, installed_version())
            print(f"{arguments.config}: settings, keys and certificates are fine")
        else:
            run_service(settings, installed_version(), Stop().on_signals())
