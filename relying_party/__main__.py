"""``relying-party``: attestation results on the screen, audit logs recomputed."""

import argparse
import sys
import threading
from pathlib import Path

from relying_party import audit_command
from relying_party.settings import ROLE, Settings
from relying_party.watch import ResultFeed, watch
from runtime import settings as settings_files
from runtime.mqtt import MqttSettings
from runtime.service import Stop, installed_version, run_command
from runtime.settings import naming
from runtime.telemetry import configure_logging
from schemas.errors import ConfigError
from schemas.topics import DEFAULT_ROOT


def main(arguments: list[str] | None = None) -> int:
    """Runs one sub-command; returns the exit status."""
    options = _parser().parse_args(arguments)
    return run_command(lambda: audit_command.run(options) if options.command == "audit" else _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=ROLE, description="Follow attestation results; audit how they came about.")
    parser.add_argument("--version", action="version", version=f"{ROLE} {installed_version()}")
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("watch", help="a live table of all attesters")
    table.add_argument("--plain", action="store_true", help="a line for each change instead of a table")
    lines = commands.add_parser("results", help="a line for each result")
    lines.add_argument("--json", action="store_true", help="as JSON")
    for command in (table, lines):
        command.add_argument("--config", type=Path, help="TOML file: verifier_keys, [mqtt]; instead of the next four")
        command.add_argument("--host", default="127.0.0.1", help="the broker (default: %(default)s)")
        command.add_argument("--port", type=int, default=1883, help="its port (default: %(default)s)")
        command.add_argument("--root", default=DEFAULT_ROOT, help="first levels of all topics (default: %(default)s)")
        command.add_argument(
            "--verifier-key", type=Path, action="append", default=[], help="PEM public key of a verifier to believe"
        )
        command.add_argument("--seconds", type=float, help="stop by itself after that time")
        command.add_argument("--check-config", action="store_true", help="read the settings, then stop")
    audit_command.add_to(commands)
    return parser


def _run(options: argparse.Namespace) -> int:
    settings = _settings(options)
    configure_logging(ROLE, settings.log_level)
    with naming(options.config or "command line"):
        return _follow(options, settings)


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


def _settings(options: argparse.Namespace) -> Settings:
    if options.config is not None:
        return settings_files.load(options.config, Settings, ROLE)
    if not options.verifier_key:
        raise ConfigError("--verifier-key: missing (or --config); without it no result can be believed")
    mqtt = MqttSettings(host=options.host, port=options.port, root=options.root)
    return Settings(verifier_keys=tuple(options.verifier_key), mqtt=mqtt)


if __name__ == "__main__":
    sys.exit(main())
