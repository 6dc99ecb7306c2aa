"""``verifier-worker show-log``: prints a boot log, one event a line."""

import argparse
from pathlib import Path

from runtime.command_line import Parsers
from runtime.keys import read_file
from schemas.text.boot_log import boot_log_lines


def add_to(parsers: Parsers) -> None:
    """Adds ``show-log``."""
    command = parsers.add_parser("show-log", help="print a boot log, one event a line")
    command.add_argument("boot_log", type=Path)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints a legend, the events, and the state of Secure Boot.

    Raises:
        ConfigError: the file cannot be read.
        PeerError: it is no boot log.
    """
    for line in boot_log_lines(read_file(arguments.boot_log)):
        print(line, flush=True)
