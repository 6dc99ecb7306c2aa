"""``relying-party dashboard``: serves the web page; options override the settings file."""

import argparse
import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relying_party.commands.trust_options import add_trust_options, changes_by, missing_key
from relying_party.dashboard.settings import DashboardSettings, HandleTrust, WebSettings
from relying_party.settings import ROLE
from runtime import settings as settings_files
from runtime.extras import needs_extra
from runtime.service import Stop
from runtime.settings import naming
from runtime.telemetry import configure_logging

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_DEFAULT_LISTEN: Final = "127.0.0.1:8080"


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = parsers.add_parser("dashboard", help="a web page of the whole fleet; needs the extra dashboard")
    add_trust_options(command, broker=True)
    command.add_argument("--listen", metavar="ADDRESS:PORT", help=f"where to serve it (default: {_DEFAULT_LISTEN})")
    command.add_argument(
        "--distributor-key", type=Path, action="append", default=[], help="of a handle distributor: PEM or JWKS file"
    )
    command.add_argument("--tsa-root", type=Path, action="append", default=[], help="root certificate of its TSA, PEM")
    command.add_argument("--check-config", action="store_true", help="read the settings, then stop")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serves until SIGTERM or Ctrl-C; returns the exit status.

    Raises:
        ConfigError: an option, the settings file or a file that it names is wrong; or the extra is not installed.
    """
    settings = _settings_of(options)
    configure_logging(ROLE, settings.log_level)
    with needs_extra("dashboard"):
        serving = importlib.import_module("relying_party.dashboard.serving")
    with naming(options.config or "command line"):
        status: int = serving.serve(settings, Stop().on_signals(), _print_address, check_only=options.check_config)
    return status


def _print_address(address: str) -> None:
    print(f"dashboard on {address}", flush=True)


def _settings_of(options: argparse.Namespace) -> DashboardSettings:
    """The settings file, overridden by the options."""
    if options.config is not None:
        settings = settings_files.load(options.config, DashboardSettings, f"{ROLE}-dashboard")
    elif options.verifier_key:
        settings = DashboardSettings(verifier_keys=tuple(options.verifier_key), web=WebSettings(listen=_DEFAULT_LISTEN))
    else:
        raise missing_key()
    changes = changes_by(options, settings.mqtt)
    if options.distributor_key or options.tsa_root:
        changes["trust"] = HandleTrust(
            distributor_keys=tuple(options.distributor_key) or settings.trust.distributor_keys,
            tsa_roots=tuple(options.tsa_root) or settings.trust.tsa_roots,
        )
    if options.listen is not None:
        changes["web"] = replace(settings.web, listen=options.listen)
    return replace(settings, **changes)
