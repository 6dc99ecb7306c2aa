"""``attester-agent doctor``: looks at everything that the agent needs, and says what to do about each finding."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from attester_agent.commands.options import add_config, settings_of
from attester_agent.doctor_checks import Grade, examine
from runtime.command_line import EXIT_FAILED, EXIT_OK
from runtime.service import Stop

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser(
        "doctor", help="look at TPM, logs, broker, clock, enrolment and say what to do; changes nothing"
    )
    add_config(parser)
    parser.add_argument(
        "--endorser-key", type=Path, action="append", default=[], help="public key that the endorsement must have"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints each finding as it comes; returns 1 if one of them keeps verifiers from trusting this device, else 0."""
    failed = False
    for finding in examine(settings_of(arguments), arguments.endorser_key, Stop().on_signals()):
        print(finding.text, flush=True)
        failed = failed or finding.grade is Grade.FAIL
    return EXIT_FAILED if failed else EXIT_OK
