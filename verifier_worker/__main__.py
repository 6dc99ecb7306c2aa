"""Command line of the verifier."""

import argparse
import sys
from collections.abc import Iterable, Sequence

from runtime.audit_log.any_log import read_entries
from runtime.keys import read_file
from runtime.service import EXIT_OK, run_command
from runtime.settings import load, naming
from schemas.errors import ConfigError
from verifier_worker.adapters.loaded_files import ROLE, load_policy
from verifier_worker.arguments import parser
from verifier_worker.audit.entry_text import entry_line
from verifier_worker.commands import audit_verify as audit_verify_command
from verifier_worker.commands import policy as policy_commands
from verifier_worker.commands.boot_log_text import boot_log_lines
from verifier_worker.commands.keys import run_key_command
from verifier_worker.service import check_service, run_service
from verifier_worker.settings import Settings


def _execute(arguments: argparse.Namespace) -> int:
    if arguments.command == "run":
        _run(arguments)
        return EXIT_OK
    if arguments.command == "audit" and arguments.audit == "verify":
        return audit_verify_command.run(arguments)
    for line in _lines(arguments):
        print(line, flush=True)
    return EXIT_OK


def _run(arguments: argparse.Namespace) -> None:
    settings = load(arguments.config, Settings, ROLE)
    with naming(arguments.config):
        (check_service if arguments.check_config else run_service)(settings)
    if arguments.check_config:
        print(f"{arguments.config}: settings, keys and policy are fine")


def _lines(arguments: argparse.Namespace) -> Iterable[str]:
    match arguments.command:
        case "keygen" | "jwks":
            return (run_key_command(arguments),)
        case "check-policy":
            return (f"{arguments.policy}: policy {load_policy(arguments.policy).label} is fine",)
        case "policy-facts":
            return policy_commands.facts_text()
        case "appraise":
            return policy_commands.appraise(arguments)
        case "audit":
            return (entry_line(number, entry) for number, entry in read_entries(arguments.log))
        case "show-log":
            return boot_log_lines(read_file(arguments.boot_log))
        case other:
            raise ConfigError(f"unknown command {other}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = parser().parse_args(argv)
    return run_command(lambda: _execute(arguments))


if __name__ == "__main__":
    sys.exit(main())
