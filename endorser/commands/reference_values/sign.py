"""``endorser reference-values sign``: signs sets in the working form."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from endorser.commands.options import add_endorser_key, add_signing
from endorser.reference_sets import overlap_of, sign
from endorser.signed_files import statement
from schemas.limits import MAX_REFERENCE_VALUES_BYTES

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("sign", help="sign sets in the working form")
    parser.add_argument("sets", type=Path, nargs="+", metavar="SET", help="in the working form")
    add_signing(parser)
    parser.add_argument("--name", required=True, help="name of the set, which policies refer to")
    parser.add_argument(
        "--ima-key", type=Path, nargs="+", default=[], metavar="FILE", help="keys that sign files: PEM or DER, or X.509"
    )
    parser.add_argument("--previous", type=Path, metavar="FILE", help="signed version that this one replaces")
    parser.add_argument(
        "--overlap-days",
        type=float,
        default=14.0,
        help="days for which values of --previous stay acceptable (default: %(default)s)",
    )
    add_endorser_key(parser, required=False)
    parser.add_argument(
        "--max-bytes",
        type=int,
        default=MAX_REFERENCE_VALUES_BYTES,
        help="split into sets NAME, NAME-2, … no larger than this, for brokers that take less (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the signed sets, several if one message cannot hold all."""
    signed = sign(
        statement(arguments.signer, arguments.version, arguments.days),
        arguments.name,
        arguments.sets,
        key=arguments.key,
        file_keys=arguments.ima_key,
        overlap=overlap_of(arguments.previous, arguments.endorser_key, arguments.overlap_days),
        max_bytes=arguments.max_bytes,
        out=arguments.out,
    )
    for name, path, size in signed:
        print(f"{path}: {name}, {size} bytes")
    if len(signed) > 1:
        names = ", ".join(f'"{name}"' for name, _, _ in signed)
        print(f"a policy must name all of them: reference_values = [{names}]")
