"""``endorser show``: prints a signed object for people, if its signature is valid."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from endorser.commands.options import add_endorser_key
from endorser.signed_files import show_file

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("show", help="print a signed object for people")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    add_endorser_key(parser, required=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints each object."""
    for path in arguments.files:
        print(show_file(arguments.endorser_key, path), flush=True)
