"""``relying-party dashboard`` and ``dashboard-user``: what the command line says becomes settings.

What needs the extra ``dashboard`` is loaded only when one of them runs: other commands do without it.
"""

import argparse
import getpass
import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from relying_party.commands.check_and_submit import add_trust_options, changes_by
from relying_party.dashboard.settings import DashboardSettings, HandleTrust, WebSettings
from relying_party.settings import ROLE
from runtime import settings as settings_files
from runtime.service import EXIT_OK, Stop
from runtime.settings import naming
from runtime.telemetry import configure_logging
from schemas.errors import ConfigError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 argparse has no public name for it

_DEFAULT_LISTEN: Final = "127.0.0.1:8080"


def add_to(commands: "Commands") -> None:
    """Describes both commands."""
    page = commands.add_parser("dashboard", help="a web page of the whole fleet; needs the extra dashboard")
    add_trust_options(page, broker=True)
    page.add_argument("--listen", metavar="ADDRESS:PORT", help=f"where to serve it (default: {_DEFAULT_LISTEN})")
    page.add_argument(
        "--distributor-key", type=Path, action="append", default=[], help="of a handle distributor: PEM or JWKS file"
    )
    page.add_argument("--tsa-root", type=Path, action="append", default=[], help="root certificate of its TSA, PEM")
    page.add_argument("--check-config", action="store_true", help="read the settings, then stop")
    users = commands.add_parser("dashboard-user", help="who may log in to the dashboard: a file of names and passwords")
    users.add_argument("action", choices=("add", "remove", "list"), help="add also changes a password or role")
    users.add_argument("name", nargs="?", help="of the person; for add and remove")
    users.add_argument(
        "--role", choices=("viewer", "auditor"), help="for add; auditors see raw results and claims, too"
    )
    users.add_argument("--file", type=Path, required=True, help="the users_file of [login]")
    for command in (page, users):
        command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs one of them; returns the exit status.

    Raises:
        ConfigError: an option, the file, or what it names is wrong; or the extra is not installed.
    """
    if options.command == "dashboard-user":
        return _run_users(options)
    settings = _settings_of(options)
    configure_logging(ROLE, settings.log_level)
    serving = _load("relying_party.dashboard.serving")
    with naming(options.config or "command line"):
        status: int = serving.serve(settings, Stop().on_signals(), _tell, check_only=options.check_config)
    return status


def _tell(address: str) -> None:
    print(f"dashboard on {address}", flush=True)


def _run_users(options: argparse.Namespace) -> int:
    passwords = _load("relying_party.dashboard.passwords")
    if options.action == "list":
        for user in passwords.load_users(options.file):
            print(f"{user.role}\t{user.name}")
        return EXIT_OK
    if options.name is None:
        raise ConfigError(f"NAME: missing; whom to {options.action}")
    if options.action == "remove":
        passwords.remove_user(options.file, options.name)
        print(f"{options.name} removed; their sessions end")
        return EXIT_OK
    if options.role is None:
        raise ConfigError("--role: missing; viewer or auditor")
    is_new = passwords.add_user(options.file, options.name, passwords.Role(options.role), _ask_password())
    print(f"{options.name} {'added' if is_new else 'changed'}: {options.role}, in {options.file}")
    return EXIT_OK


def _ask_password() -> str:
    """A password from the terminal, twice and not echoed; or the first line of what is piped in."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    try:
        password = getpass.getpass("Password: ")
        again = getpass.getpass("Again: ")
    except EOFError as error:
        raise ConfigError("password: none was given") from error
    if password != again:
        raise ConfigError("password: the two are not the same; nothing was changed")
    return password


def _settings_of(options: argparse.Namespace) -> DashboardSettings:
    """The settings file, and above it what the options say."""
    if options.config is not None:
        settings = settings_files.load(options.config, DashboardSettings, f"{ROLE}-dashboard")
    elif options.verifier_key:
        settings = DashboardSettings(verifier_keys=tuple(options.verifier_key), web=WebSettings(listen=_DEFAULT_LISTEN))
    else:
        raise ConfigError("--verifier-key: missing (or --config); without it no result can be believed")
    changes = changes_by(options, settings.mqtt)
    if options.distributor_key or options.tsa_root:
        changes["trust"] = HandleTrust(
            distributor_keys=tuple(options.distributor_key) or settings.trust.distributor_keys,
            tsa_roots=tuple(options.tsa_root) or settings.trust.tsa_roots,
        )
    if options.listen is not None:
        changes["web"] = replace(settings.web, listen=options.listen)
    return replace(settings, **changes)


def _load(module: str) -> Any:  # noqa: ANN401 a module
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in {"relying_party", "runtime", "schemas"}:
            raise
        raise ConfigError(f"{error.name} is not installed: pip install 'attestream[dashboard]'") from error
