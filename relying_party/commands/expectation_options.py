"""Options that ``check`` and ``submit`` share: the demands on one result; and how its verification is printed."""

import argparse

from relying_party.attestation import LEEWAY_S, Attestation, Expectations
from relying_party.result_board import standing_of
from relying_party.result_json import json_of
from relying_party.results import Results
from relying_party.settings import Settings
from relying_party.terminal.table import line_of
from runtime import clock
from runtime.command_line import EXIT_FAILED, EXIT_OK
from schemas.errors import as_config_error
from schemas.identifiers import Ueid, parse_ueid_text
from schemas.instants import SECOND_US


def add_expectation_options(command: argparse.ArgumentParser) -> None:
    """Adds the options."""
    command.add_argument("--ueid", help="the attester it must be about")
    command.add_argument("--policy", action="append", help="an appraisal policy that counts, as fleet/3")
    command.add_argument("--max-age", type=float, metavar="S", help="the quote is at most so old, at worst")
    command.add_argument("--fresh", action="store_true", help="refuse results that are stale, pending or the like")
    command.add_argument(
        "--leeway",
        type=float,
        default=LEEWAY_S,
        metavar="S",
        help="clocks may differ so much (default: %(default)g)",
    )
    command.add_argument("--json", action="store_true", help="as JSON")


def results_of(options: argparse.Namespace, settings: Settings) -> Results:
    """Verifies results by the trusted keys and the options."""
    expected = Expectations(
        policies=options.policy, max_age_s=options.max_age, fresh_only=options.fresh, leeway_s=options.leeway
    )
    return Results(settings.verifier_keys, expected)


def expected_ueid(options: argparse.Namespace) -> Ueid | None:
    """The attester that the result must be about; None where the command line names no attester.

    Raises:
        ConfigError: ``--ueid`` is not a UEID.
    """
    if options.ueid is None:
        return None
    with as_config_error("--ueid"):
        return parse_ueid_text(options.ueid)


def print_attestation(attestation: Attestation, *, as_json: bool) -> int:
    """Prints a verified result; returns the exit status: 0 if it is affirming on fresh evidence."""
    now_us = clock.utc_us()
    result = attestation.result
    standing = standing_of(result, min(now_us // SECOND_US, result.expires_s - 1))  # verified within the leeway
    print(json_of(standing) if as_json else line_of(standing, now_us, {}))
    return EXIT_OK if attestation.affirming else EXIT_FAILED
