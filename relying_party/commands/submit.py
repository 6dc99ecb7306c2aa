"""``relying-party submit``: has the verifier appraise one evidence message, and verifies its result."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relying_party.background_check import DEFAULT_WAIT_S, submit
from relying_party.commands.expectation_options import (
    add_expectation_options,
    expected_ueid,
    print_attestation,
    results_of,
)
from relying_party.commands.trust_options import add_trust_options, trust_settings
from runtime.keys import read_file

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_EPILOG: Final = """examples:
  relying-party submit evidence.cbor --config relying-party.toml --ueid AWFhYWFh...
  relying-party submit evidence.cbor --verifier-key verifier.jwks --host broker.example --wait 30 --json

Exit status: 0 affirming, 1 not affirming or no result in time, 2 wrong options."""


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = parsers.add_parser(
        "submit",
        help="have evidence appraised; exit status 0 if the result is affirming",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("evidence", type=Path, help="a saved evidence message")
    command.add_argument(
        "--wait", type=float, default=DEFAULT_WAIT_S, metavar="S", help="for the result (default: %(default)g)"
    )
    add_trust_options(command, broker=True)
    add_expectation_options(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Has evidence appraised and prints the result; returns the exit status.

    Raises:
        ConfigError: a file or an option is wrong.
        PeerError, WorldError: as :func:`relying_party.background_check.submit`.
    """
    with trust_settings(options) as settings:
        results, ueid = results_of(options, settings), expected_ueid(options)
        evidence = read_file(options.evidence)
        attestation = submit(settings.mqtt, results, evidence, ueid=ueid, wait_s=options.wait)
        return print_attestation(attestation, as_json=options.json)
