"""``endorser corim show``: prints any CoRIM for people or programs, also one of another tool."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from endorser.adapters.captured_evidence import read_signed
from endorser.commands.options import add_endorser_key
from endorser.core.corim_text import describe_corim, text_of
from runtime.keys import load_public_keys
from schemas.errors import ConfigError, PeerError

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("corim", help="print any CoRIM for people, also one of another tool")
    show = parser.add_subparsers(dest="action", required=True).add_parser("show", help="print a CoRIM")
    show.add_argument("files", type=Path, nargs="+", metavar="FILE")
    show.add_argument("--json", action="store_true", help="for programs")
    add_endorser_key(show, required=False)
    show.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints each CoRIM."""
    for path in arguments.files:
        print(show_corim(path, arguments.endorser_key, as_json=arguments.json), flush=True)


def show_corim(path: Path, endorser_keys: Sequence[Path], *, as_json: bool) -> str:
    """The text of a CoRIM.

    Args:
        path: of the CoRIM.
        endorser_keys: one of them must have signed it; empty checks no signature.
        as_json: for programs.

    Raises:
        ConfigError: it is not a CoRIM, or its signature is not valid.
    """
    try:
        shown = describe_corim(read_signed(path), load_public_keys(endorser_keys) if endorser_keys else {})
    except PeerError as error:
        raise ConfigError(f"{path}: {error}") from error
    return json.dumps(shown, indent=2) if as_json else text_of(shown)
