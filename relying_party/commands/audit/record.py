"""``relying-party audit record``: writes an audit log of the messages on the broker."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from relying_party.audit.recorder import check_recorder, run_recorder
from relying_party.audit.settings import RecorderSettings
from relying_party.settings import ROLE
from runtime.command_line import EXIT_OK
from runtime.settings import load, naming

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = parsers.add_parser(
        "record", help="write an audit log of all messages that arrive, until SIGTERM or Ctrl-C"
    )
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML settings of this recorder")
    command.add_argument("--check-config", action="store_true", help="read settings and keys, then exit")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Records until SIGTERM or Ctrl-C; returns the exit status.

    Raises:
        ConfigError: names the file and the field.
    """
    settings = load(options.config, RecorderSettings, f"{ROLE}-recorder")
    with naming(options.config):
        if options.check_config:
            check_recorder(settings)
            print(f"{options.config}: settings and keys are fine")
        else:
            run_recorder(settings)
    return EXIT_OK
