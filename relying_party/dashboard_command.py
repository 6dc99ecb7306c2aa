"""``relying-party dashboard`` and ``dashboard-user``: what the command line says becomes settings.

What needs the extra ``dashboard`` is loaded only when one of them runs: other commands do without it.
"""

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from relying_party.commands import add_trust_options
from relying_party.dashboard.settings import DashboardSettings, HandleTrust, WebSettings
from relying_party.settings import ROLE
from runtime import settings as settings_files
from runtime.mqtt import MqttSettings
from runtime.service import Stop
from runtime.settings import naming
from runtime.telemetry import configure_logging
from schemas.errors import ConfigError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 argparse has no public name for it

COMMANDS: Final = ("dashboard", "dashboard-user")
_DEFAULT_LISTEN: Final = "127.0.0.1:8080"


def add_to(commands: "Commands") -> None:
    """Describes both commands."""
    page = commands.add_parser("dashboard", help="a web page of the whole fleet; needs the extra dashboard")
    add_trust_options(page, broker=True)
    page.add_argument("--listen", metavar="ADDRESS:PORT", help=f"where to serve it (default: {_DEFAULT_LISTEN})")
    page.add_argument(
        "--distributor-key", type=Path, action="append", default=[], help="of a handle distributor: PEM or JWKS file"
    )
    page.add_argument("--tsa-root", type=Path, action="append", default=[], help="root certificate of its TSA: PEM file")
    page.add_argument("--check-config", action="store_true", help="read the settings, then stop")


def run(options: argparse.Namespace) -> int:
    """Runs one of them; returns the exit status.

    Raises:
        ConfigError: an option, the file, or what it names is wrong; or the extra is not installed.
    """
    settings = _settings_of(options)
    configure_logging(ROLE, settings.log_level)
    serving = _load("relying_party.dashboard.serving")
    with naming(options.config or "command line"):
        status: int = serving.serve(settings, Stop().on_signals(), check_only=options.check_config)
    return status


def _settings_of(options: argparse.Namespace) -> DashboardSettings:
    if options.config is not None:
        if options.listen is not None:
            raise ConfigError("--listen: with --config the file says it: listen in [web]")
        return settings_files.load(options.config, DashboardSettings, f"{ROLE}-dashboard")
    if not options.verifier_key:
        raise ConfigError("--verifier-key: missing (or --config); without it no result can be believed")
    return DashboardSettings(
        verifier_keys=tuple(options.verifier_key),
        mqtt=MqttSettings(host=options.host, port=options.port, root=options.root),
        trust=HandleTrust(distributor_keys=tuple(options.distributor_key), tsa_roots=tuple(options.tsa_root)),
        web=WebSettings(listen=options.listen or _DEFAULT_LISTEN),
    )


def _load(module: str) -> Any:  # noqa: ANN401 a module
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in {"relying_party", "runtime", "schemas"}:
            raise
        raise ConfigError(f"{error.name} is not installed: pip install 'attestream[dashboard]'") from error
