"""``endorser keygen``: makes the endorser's key."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.keys import generate_key_pair, public_path
from schemas.codecs import cose

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("keygen", help="make the endorser's key")
    parser.add_argument("--out", type=Path, required=True, help="private key file; the public key goes to OUT.pub")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes both keys."""
    key = generate_key_pair(arguments.out)
    key_id = cose.key_id(key.public_key()).hex()
    print(f"{public_path(arguments.out)}: give this to verifiers (key id {key_id})")
