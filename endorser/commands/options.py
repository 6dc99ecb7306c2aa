"""Options that several commands have."""

import argparse
from pathlib import Path
from typing import Final

from endorser.core.endorsements import parse_any_ueid
from endorser.signed_files import AUTO
from runtime.keys import read_file
from schemas.errors import ConfigError, PeerError
from schemas.identifiers import Ueid, parse_ueid_text

DEFAULT_SIGNER: Final = "endorser"


def add_signing(parser: argparse.ArgumentParser, *, signer_option: str = "--signer", required: bool = True) -> None:
    """Adds the options of a command that signs an object.

    Args:
        parser: of the command.
        signer_option: its name for the option that names the signer.
        required: whether key and output file must be given.
    """
    parser.add_argument("--key", type=Path, required=required, help="the endorser's private key")
    parser.add_argument(
        "--version", default=AUTO, help="a number that grows with each version; auto: the current UTC second"
    )
    parser.add_argument("--days", type=int, default=365, help="validity (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=required, help="the file to write")
    parser.add_argument(signer_option, dest="signer", default=DEFAULT_SIGNER, help="who signs (default: %(default)s)")


def add_endorser_key(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Adds ``--endorser-key``, which may be given several times."""
    parser.add_argument(
        "--endorser-key",
        type=Path,
        action="append",
        default=None if required else [],
        required=required,
        help="public key that must have signed it",
    )


def ueid_of(text: str) -> Ueid:
    """The UEID in an option: base64url text, or the path of a file that holds it.

    Raises:
        ConfigError: it is neither.
    """
    if Path(text).is_file():
        return parse_any_ueid(read_file(Path(text)))
    try:
        return parse_ueid_text(text)
    except PeerError as error:
        raise ConfigError(f"--ueid {text[:80]!r}: no such file, and {error.detail}") from error
