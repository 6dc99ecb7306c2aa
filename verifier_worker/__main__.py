"""Command line of the verifier."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.keys import read_file
from runtime.service import run_command
from runtime.settings import load, naming
from schemas.errors import ConfigError
from verifier_worker.audit_log import read_entries
from verifier_worker.audit_text import entry_line
from verifier_worker.boot_log_text import boot_log_lines
from verifier_worker.key_commands import add_key_commands, run_key_command
from verifier_worker.service import ROLE, check_service, load_policy, run_service
from verifier_worker.settings import Settings
from verifier_worker.worker import BUILD

_EXAMPLE = """\
A newcomer's order:
  verifier-worker keygen --out verifier.key        makes verifier.key, verifier.pub and verifier.jwks
  verifier-worker check-policy policy.toml
  verifier-worker run --config verifier.toml --check-config
  verifier-worker run --config verifier.toml
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=ROLE,
        description="Verifies attesters' evidence as it arrives and publishes signed attestation results.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=BUILD)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run until SIGTERM or Ctrl-C")
    run.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML settings of this worker")
    run.add_argument("--check-config", action="store_true", help="read settings, keys and policy, then exit")
    add_key_commands(commands)
    policy = commands.add_parser("check-policy", help="read an appraisal policy and say what is wrong with it")
    policy.add_argument("policy", type=Path, metavar="FILE")
    audit = commands.add_parser("audit", help="print the audit log, one entry a line")
    audit.add_argument("audit_log", type=Path, metavar="FILE")
    commands.add_parser("show-log", help="print a boot log, one event a line").add_argument("boot_log", type=Path)
    return parser


def _execute(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "run":
            settings = load(arguments.config, Settings, ROLE)
            with naming(arguments.config):
                (check_service if arguments.check_config else run_service)(settings)
            if arguments.check_config:
                print(f"{arguments.config}: settings, keys and policy are fine")
        case "keygen" | "jwks":
            print(run_key_command(arguments))
        case "check-policy":
            print(f"{arguments.policy}: policy {load_policy(arguments.policy).label} is fine")
        case "audit":
            for number, entry in read_entries(arguments.audit_log):
                print(entry_line(number, entry))
        case "show-log":
            print(*boot_log_lines(read_file(arguments.boot_log)), sep="\n")
        case other:
            raise ConfigError(f"unknown command {other}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = _parser().parse_args(argv)
    return run_command(lambda: _execute(arguments))


if __name__ == "__main__":
    sys.exit(main())
