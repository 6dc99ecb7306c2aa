"""Command line of the verifier."""

import argparse
import sys
from collections.abc import Sequence

from runtime.audit_file import read_entries
from runtime.keys import generate_key_pair, public_path, read_file
from runtime.service import run_command
from runtime.settings import load, naming
from schemas.errors import ConfigError
from verifier_worker import policy_commands
from verifier_worker.arguments import parser
from verifier_worker.audit_text import entry_line
from verifier_worker.boot_log_text import boot_log_lines
from verifier_worker.service import ROLE, check_service, load_policy, run_service
from verifier_worker.settings import Settings


def _execute(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "run":
            settings = load(arguments.config, Settings, ROLE)
            with naming(arguments.config):
                (check_service if arguments.check_config else run_service)(settings)
            if arguments.check_config:
                print(f"{arguments.config}: settings, keys and policy are fine")
        case "keygen":
            generate_key_pair(arguments.out)
            print(f"made {arguments.out} and {public_path(arguments.out)}; give the latter to relying parties")
        case "check-policy":
            print(f"{arguments.policy}: policy {load_policy(arguments.policy).label} is fine")
        case "policy-facts":
            print(*policy_commands.facts_text(), sep="\n")
        case "appraise":
            for line in policy_commands.appraise(arguments):
                print(line, flush=True)
        case "audit":
            for number, entry in read_entries(arguments.audit_log):
                print(entry_line(number, entry))
        case "show-log":
            print(*boot_log_lines(read_file(arguments.boot_log)), sep="\n")
        case other:
            raise ConfigError(f"unknown command {other}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = parser().parse_args(argv)
    return run_command(lambda: _execute(arguments))


if __name__ == "__main__":
    sys.exit(main())
