"""``handle-distributor``: issues signed, TSA-stamped handles and publishes them."""

import argparse
import sys
from contextlib import nullcontext

from handle_distributor import commands
from handle_distributor.arguments import parser
from handle_distributor.settings import ROLE, Settings
from runtime.durable import check_folder_of
from runtime.service import Stop, installed_version, run_command
from runtime.settings import load, naming
from runtime.telemetry import configure_logging
from schemas.errors import ConfigError


def main(arguments: list[str] | None = None) -> int:
    """Runs one sub-command; returns the exit status."""
    options = parser().parse_args(arguments)
    configure_logging(ROLE, "warning")
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if options.command == "keygen":
        print(commands.make_key(options.out))
        return
    settings = None if options.config is None else load(options.config, Settings, ROLE)
    if settings is not None:
        configure_logging(ROLE, settings.log_level)
    if options.command in {"issue-once", "export"}:
        check_folder_of(options.out, "--out" if options.command == "issue-once" else "OUT")
    with naming(options.config) if settings is not None else nullcontext():
        if options.command == "show" or settings is None:
            _show(options, settings)
        elif options.command == "issue-once":
            print(commands.issue_once(settings, options.out))
        elif options.command == "export":
            commands.export(settings, options.out, Stop().on_signals() if options.follow else None, _tell)
        elif options.check_config:
            commands.check(settings, installed_version())
            print(f"{options.config}: settings, keys and certificates are fine")
        else:
            commands.run(settings, installed_version(), Stop().on_signals())


def _show(options: argparse.Namespace, settings: Settings | None) -> None:
    keys = commands.trusted_keys(settings, options.key)
    roots = [*options.tsa_root, *(settings.tsa.roots if settings else ())]
    if not keys or not roots:
        raise ConfigError("show: give --config, or --key and --tsa-root; an unverified handle says nothing")
    print(commands.show(options.file, keys, roots))


def _tell(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
