"""``relying-party``: attestation results on the screen, alerts, audit logs recomputed."""

import argparse
import sys

from relying_party.commands import alerts as alert_command
from relying_party.commands import audit as audit_command
from relying_party.commands import dashboard as dashboard_command
from relying_party.commands import follow as follow_command
from relying_party.commands import show as show_command
from relying_party.commands.check_and_submit import add_commands, settings_of
from relying_party.settings import ROLE
from runtime.service import installed_version, run_command
from runtime.settings import naming
from runtime.telemetry import configure_logging


def main(arguments: list[str] | None = None) -> int:
    """Runs one sub-command; returns the exit status."""
    options = _parser().parse_args(arguments)
    run = options.run if "run" in options else _run
    return run_command(lambda: int(run(options)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=ROLE, description="Follow attestation results, verify one, be alerted, audit how they came about."
    )
    parser.add_argument("--version", action="version", version=f"{ROLE} {installed_version()}")
    commands = parser.add_subparsers(dest="command", required=True)
    follow_command.add_to(commands)
    show_command.add_to(commands)
    add_commands(commands)
    alert_command.add_to(commands)
    audit_command.add_to(commands)
    dashboard_command.add_to(commands)
    return parser


def _run(options: argparse.Namespace) -> int:
    configure_logging(ROLE, settings_of(options).log_level)
    with naming(options.config or "command line"):
        return int(options.execute(options))


if __name__ == "__main__":
    sys.exit(main())
