"""``handle-distributor issue-once``: makes one handle, as the next of the chain; publishes nothing."""

import argparse
from pathlib import Path

from handle_distributor.commands.options import add_config, read_settings
from handle_distributor.handle_text import describe
from handle_distributor.service import issue_handle
from runtime.command_line import Parsers
from runtime.durable import check_folder_of, write_durable
from runtime.settings import naming


def add_to(parsers: Parsers) -> None:
    """Adds ``issue-once``."""
    command = parsers.add_parser("issue-once", help="make the chain's next handle, write it to a file, print it")
    command.add_argument("--out", type=Path, required=True, help="the file to write; `run` publishes the handle later")
    add_config(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Makes the handle, writes it to ``--out`` and prints it.

    Raises:
        ConfigError: names the file and the field.
        WorldError: no TSA stamped a handle (the log states why, for each), or a file cannot be written.
    """
    settings = read_settings(arguments.config)
    check_folder_of(arguments.out, "--out")  # before a TSA is asked for a stamp
    with naming(arguments.config):
        handle = issue_handle(settings)
        write_durable(arguments.out, handle.raw)
    print(describe(handle))
