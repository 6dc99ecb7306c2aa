"""``endorser endorse``: signs that an attester has an attesting key."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from endorser.commands.options import add_signing, ueid_of
from endorser.signed_files import endorse_to_file, statement

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("endorse", help="sign that an attester has an attesting key")
    add_signing(parser, signer_option="--name")
    parser.add_argument("--ueid", required=True, help="the attester: base64url text, or a file that holds it")
    parser.add_argument("--ak-public", type=Path, required=True, help="its attesting key: TPMT_PUBLIC or TPM2B_PUBLIC")
    parser.add_argument("--group", help="a name for attesters that belong together (default: none)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the signed endorsement."""
    made = statement(arguments.signer, arguments.version, arguments.days)
    endorse_to_file(made, arguments.key, ueid_of(arguments.ueid), arguments.ak_public, arguments.out, arguments.group)
