"""``endorser reference-values from-attester``: learns from the evidence of a device in its intended state."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from endorser.commands.options import add_endorser_key, ueid_of
from endorser.commands.reference_values.learned_set import add_out, add_pcrs
from endorser.reference_sets import from_attester, write_learned

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("from-attester", help="learn from the evidence of a device in its intended state")
    add_out(parser)
    parser.add_argument("ueid", help="the device: base64url text, or a file that holds it")
    parser.add_argument(
        "--evidence",
        type=Path,
        nargs="+",
        required=True,
        metavar="PATH",
        help="captured evidence: messages, a verifier's audit log, or directories of these",
    )
    parser.add_argument(
        "--endorsement", type=Path, required=True, help="its signed endorsement, also as mosquitto_sub -N saves it"
    )
    add_endorser_key(parser, required=True)
    add_pcrs(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes or prints the learned set."""
    learned = from_attester(
        ueid_of(arguments.ueid), arguments.evidence, arguments.endorsement, arguments.endorser_key, arguments.pcrs
    )
    print(write_learned(learned, arguments.out))
