"""``relying-party check``: verifies one result from a file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relying_party.commands.expectation_options import (
    add_expectation_options,
    expected_ueid,
    print_attestation,
    results_of,
)
from relying_party.commands.trust_options import add_trust_options, trust_settings
from runtime.keys import read_file
from schemas.errors import ConfigError, as_config_error
from schemas.messages.passport_proof import parse_challenge

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_EPILOG: Final = """examples:
  relying-party check result.jwt --verifier-key verifier.jwks --policy fleet/3 --max-age 120 --fresh
  relying-party check result.jwt --config relying-party.toml --challenge $(cat challenge.hex) --proof proof.cbor

Exit status: 0 affirming, 1 not affirming or not valid, 2 wrong options."""


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = parsers.add_parser(
        "check",
        help="verify one result from a file; exit status 0 if it is affirming",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("token", type=Path, help="a JWT, a CWT, or a saved message with either")
    command.add_argument("--challenge", metavar="HEX", help="the challenge that the attester answered; with --proof")
    command.add_argument("--proof", type=Path, help="its answer: attester-agent passport --challenge HEX --proof FILE")
    add_trust_options(command, broker=False)
    add_expectation_options(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Verifies a file and prints the result; returns the exit status.

    Raises:
        ConfigError: a file or an option is wrong.
        PeerError: the result is not valid, or does not meet the expectations.
    """
    if (options.challenge is None) != (options.proof is None):
        raise ConfigError("--challenge, --proof: each needs the other")
    with trust_settings(options) as settings:
        results, ueid = results_of(options, settings), expected_ueid(options)
        content = read_file(options.token)
        attestation = results.verify(content, ueid=ueid)
        if options.challenge is not None:
            with as_config_error("--challenge"):
                challenge = parse_challenge(options.challenge)
            attestation = results.verify_passport(content, challenge, read_file(options.proof))
        return print_attestation(attestation, as_json=options.json)
