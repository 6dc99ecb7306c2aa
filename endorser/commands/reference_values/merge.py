"""``endorser reference-values merge``: makes one set of several."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from endorser.commands.options import add_endorser_key
from endorser.commands.reference_values.learned_set import add_out
from endorser.reference_sets import merged
from runtime.durable import write_durable

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("merge", help="accept everything that one of several sets accepts")
    add_out(parser)
    parser.add_argument("sets", type=Path, nargs="+", metavar="SET", help="in the working form, or signed")
    add_endorser_key(parser, required=False)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes or prints the merged set."""
    text = merged(arguments.sets, arguments.endorser_key)
    if arguments.out is None:
        print(text)
        return
    write_durable(arguments.out, f"{text}\n".encode())
    print(f"{arguments.out}: merged from {len(arguments.sets)} sets")
