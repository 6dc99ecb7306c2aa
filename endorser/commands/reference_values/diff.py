"""``endorser reference-values diff``: prints the differences of two sets."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from endorser.commands.options import add_endorser_key
from endorser.reference_sets import compared

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("diff", help="print what was added, removed, changed from one set to another")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    add_endorser_key(parser, required=False)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints the differences."""
    print(compared(arguments.before, arguments.after, arguments.endorser_key))
