"""``relying-party dashboard-user``: the people who may log in to the dashboard."""

import argparse
import getpass
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.command_line import EXIT_OK
from runtime.extras import needs_extra
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = parsers.add_parser(
        "dashboard-user", help="who may log in to the dashboard: a file of names and passwords"
    )
    command.add_argument("action", choices=("add", "remove", "list"), help="add also changes a password or role")
    command.add_argument("name", nargs="?", help="of the person; for add and remove")
    command.add_argument(
        "--role", choices=("viewer", "auditor"), help="for add; auditors see raw results and claims, too"
    )
    command.add_argument("--file", type=Path, required=True, help="the users_file of [login]")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Lists, adds or removes a user; returns the exit status.

    Raises:
        ConfigError: an option or the file is wrong; or the extra ``dashboard`` is not installed.
    """
    with needs_extra("dashboard"):
        passwords = importlib.import_module("relying_party.dashboard.passwords")
    if options.action == "list":
        for user in passwords.load_users(options.file):
            print(f"{user.role}\t{user.name}")
        return EXIT_OK
    if options.name is None:
        raise ConfigError(f"NAME: missing; the user to {options.action}")
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
    """A password: typed twice without echo, or the first line of standard input where that is not a terminal."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    try:
        password = getpass.getpass("Password: ")
        again = getpass.getpass("Again: ")
    except EOFError as error:
        raise ConfigError("password: missing") from error
    if password != again:
        raise ConfigError("password: the two are not the same; nothing was changed")
    return password
