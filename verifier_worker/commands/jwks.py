"""``verifier-worker jwks``: writes several public keys as one key set."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from runtime.command_line import Parsers
from runtime.durable import write_durable
from runtime.keys import load_public_keys
from schemas.codecs.jwks import encode_jwks
from schemas.errors import ConfigError, WorldError


def add_to(parsers: Parsers) -> None:
    """Adds ``jwks``."""
    command = parsers.add_parser("jwks", help="write one key set of several verifiers, or of the old and the new key")
    command.add_argument("keys", type=Path, nargs="+", metavar="KEYS", help="public keys: PEM or JWKS files")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the JWKS file, replaced in one step")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the key set.

    Raises:
        ConfigError: a file cannot be read or written.
    """
    count = write_key_set(arguments.out, arguments.keys)
    print(f"made {arguments.out} with {count} {'key' if count == 1 else 'keys'}; give it to relying parties")


def write_key_set(path: Path, sources: Sequence[Path]) -> int:
    """Writes the public keys in ``sources`` (PEM or JWKS) as one JWKS; returns how many there are.

    Raises:
        ConfigError: a file cannot be read or written.
    """
    keys = load_public_keys(sources)
    try:
        write_durable(path, encode_jwks(keys.values()))
    except WorldError as error:
        raise ConfigError(error.detail) from error
    return len(keys)
