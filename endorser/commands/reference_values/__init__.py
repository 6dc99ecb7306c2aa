"""``endorser reference-values``: signs one set from options; its commands learn, merge, compare and sign sets."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from endorser.commands.options import add_signing
from endorser.commands.reference_values import diff, from_attester, from_logs, from_packages, merge, sign
from endorser.signed_files import digests_of, refer_to_file, statement
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command and its own commands."""
    parser = parsers.add_parser("reference-values", help="sign acceptable measurements; learn, merge and compare them")
    add_signing(parser, required=False)  # a source needs none of these
    parser.add_argument("--name", help="name of the set, which policies refer to")
    parser.add_argument("--pcrs", type=Path, help="acceptable PCR values: lines of bank, index, digest")
    parser.add_argument("--banks", default="sha256", help="banks of --pcrs, joined by + (default: %(default)s)")
    parser.add_argument("--indices", default="0-9", help="registers of --pcrs (default: %(default)s)")
    parser.add_argument("--files", type=Path, nargs="*", default=[], metavar="PATH", help="files to measure now")
    parser.add_argument(
        "--ima-key", type=Path, nargs="*", default=[], metavar="FILE", help="keys that sign files: PEM or DER, or X.509"
    )
    parser.add_argument("--digests", type=Path, help="acceptable files, as sha256sum prints them")
    parser.set_defaults(run=run)
    sources = parser.add_subparsers(dest="source", metavar="SOURCE")
    for source in (from_attester, from_logs, from_packages, merge, diff, sign):
        source.add_to(sources)


def run(arguments: argparse.Namespace) -> None:
    """Signs the set that the options describe.

    Raises:
        ConfigError: an option is missing or wrong.
    """
    for name in ("key", "name", "out"):
        if getattr(arguments, name) is None:
            raise ConfigError(f"reference-values: --{name}: is required")
    selection = "+".join(f"{bank}:{arguments.indices}" for bank in arguments.banks.split("+"))
    refer_to_file(
        statement(arguments.signer, arguments.version, arguments.days),
        arguments.key,
        arguments.name,
        pcrs=None if arguments.pcrs is None else (arguments.pcrs, selection),
        files=digests_of(arguments.digests, arguments.files),
        keys=arguments.ima_key,
        out=arguments.out,
    )
