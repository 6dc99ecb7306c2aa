"""``verifier-worker audit show``: prints an audit log, one entry a line."""

import argparse

from runtime.audit_log.any_log import read_entries
from runtime.command_line import Parsers
from verifier_worker.audit.entry_text import entry_line


def add_to(parsers: Parsers) -> None:
    """Adds ``audit show``."""
    command = parsers.add_parser("show", help="print it, one entry a line")
    command.add_argument("log", metavar="LOG", help="folder or URL of a log, or the file of an earlier version")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints every entry.

    Raises:
        ConfigError: names the log.
        WorldError: ``store-unavailable``: it cannot be read to its end.
    """
    for number, entry in read_entries(arguments.log):
        print(entry_line(number, entry), flush=True)
