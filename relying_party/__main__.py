"""``relying-party``: attestation results on the screen, audit logs recomputed."""

import argparse
import sys
import threading

from relying_party import audit_command, dashboard_command
from relying_party.commands import add_commands, add_trust_options, settings_of
from relying_party.settings import ROLE, Settings
from relying_party.watch import ResultFeed, watch
from runtime.service import Stop, installed_version, run_command
from runtime.settings import naming
from runtime.telemetry import configure_logging


def main(arguments: list[str] | None = None) -> int:
    """Runs one sub-command; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.command in dashboard_command.COMMANDS:
        return run_command(lambda: dashboard_command.run(options))
    return run_command(lambda: audit_command.run(options) if options.command == "audit" else _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=ROLE, description="Follow attestation results, verify one, audit how they came about."
    )
    parser.add_argument("--version", action="version", version=f"{ROLE} {installed_version()}")
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("watch", help="a live table of all attesters")
    table.add_argument("--plain", action="store_true", help="a line for each change instead of a table")
    lines = commands.add_parser("results", help="a line for each result")
    lines.add_argument("--json", action="store_true", help="as JSON")
    for command in (table, lines):
        add_trust_options(command, broker=True)
        command.add_argument("--seconds", type=float, help="stop by itself after that time")
        command.add_argument("--check-config", action="store_true", help="read the settings, then stop")
    add_commands(commands)
    audit_command.add_to(commands)
    dashboard_command.add_to(commands)
    return parser


def _run(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    configure_logging(ROLE, settings.log_level)
    with naming(options.config or "command line"):
        return int(options.execute(options)) if "execute" in options else _follow(options, settings)


def _follow(options: argparse.Namespace, settings: Settings) -> int:
    if options.check_config:
        ResultFeed(settings)
        return 0
    stop = Stop().on_signals()
    if options.seconds is not None:
        timer = threading.Timer(options.seconds, stop.request)
        timer.daemon = True
        timer.start()
    if options.command == "watch":
        return watch(settings, stop, plain=options.plain)
    return watch(settings, stop, plain=True, as_json=options.json, every=True)


if __name__ == "__main__":
    sys.exit(main())
