"""``endorser reference-values from-logs``: learns from measurement logs that no quote vouches for."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from endorser.commands.reference_values.learned_set import add_out, add_pcrs
from endorser.reference_sets import from_logs, write_learned

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("from-logs", help="learn from measurement logs, which no quote vouches for")
    add_out(parser)
    parser.add_argument("--tcg2", type=Path, help="boot log (with neither: the kernel's own logs)")
    parser.add_argument("--ima", type=Path, help="IMA list, in any of the kernel's forms")
    add_pcrs(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes or prints the learned set."""
    print(write_learned(from_logs(arguments.tcg2, arguments.ima, arguments.pcrs), arguments.out))
