"""``handle-distributor keygen``: makes the key that signs handles."""

import argparse
from pathlib import Path

from runtime.command_line import Parsers
from runtime.keys import generate_key_pair, public_path
from schemas.codecs import cose


def add_to(parsers: Parsers) -> None:
    """Adds ``keygen``."""
    command = parsers.add_parser("keygen", help="make the key that signs handles")
    command.add_argument(
        "--out", type=Path, required=True, help="private key file; the public key goes beside it, .pub"
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Makes the key pair and names the public file.

    Raises:
        ConfigError: a file cannot be written, or would overwrite a key.
    """
    key_id = cose.key_id(generate_key_pair(arguments.out).public_key()).hex()
    print(f"{public_path(arguments.out)}: give this to attesters and verifiers (key id {key_id})")
