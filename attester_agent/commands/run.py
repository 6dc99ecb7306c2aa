"""``attester-agent run``: pushes evidence until stopped."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from attester_agent.adapters.loaded_files import check_files
from attester_agent.commands.options import add_config, settings_of
from attester_agent.service import run_agent
from runtime.service import Stop
from runtime.settings import naming

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("run", help="push evidence until stopped")
    add_config(parser)
    parser.add_argument(
        "--check-config", action="store_true", help="only check the configuration and the files it names"
    )
    parser.add_argument(
        "--handle-file", type=Path, help="a raw handle, as handle-distributor export writes it; watched"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the agent, or checks its configuration."""
    settings = settings_of(arguments)
    if arguments.handle_file is not None:
        settings = replace(settings, handle_file=arguments.handle_file.absolute())
    with naming(arguments.config):
        if arguments.check_config:
            check_files(settings)
        else:
            run_agent(settings, Stop().on_signals())
    if arguments.check_config:
        print(f"{arguments.config}: settings, keys and files are fine")
