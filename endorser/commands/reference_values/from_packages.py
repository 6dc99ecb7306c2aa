"""``endorser reference-values from-packages``: measures the files of Debian packages."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from endorser.commands.reference_values.learned_set import add_out
from endorser.reference_sets import from_packages, write_learned

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("from-packages", help="measure the files of Debian packages")
    add_out(parser)
    parser.add_argument("--root", type=Path, help="where they are installed (default: /)")
    parser.add_argument(
        "--deb", type=Path, nargs="+", default=[], metavar="FILE", help="package files instead of installed packages"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes or prints the measured set."""
    print(write_learned(from_packages(arguments.root, arguments.deb), arguments.out))
