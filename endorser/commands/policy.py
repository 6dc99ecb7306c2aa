"""``endorser policy``: signs an appraisal policy."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from endorser.commands.options import add_signing
from endorser.signed_files import policy_to_file, statement

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("policy", help="sign an appraisal policy")
    add_signing(parser)
    parser.add_argument(
        "policy", type=Path, metavar="FILE", help="TOML; check it first with: verifier-worker check-policy"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the signed policy."""
    made = statement(arguments.signer, arguments.version, arguments.days)
    policy_to_file(made, arguments.key, arguments.policy, arguments.out)
