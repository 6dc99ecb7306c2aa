"""``relying-party watch``: a live table of all attesters."""

import argparse
from typing import TYPE_CHECKING, Final

from relying_party.commands.selection_options import add_follower, run_follower
from relying_party.settings import Settings
from relying_party.terminal.follow import watch
from relying_party.terminal.selection import Selection
from runtime.service import Stop

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_EPILOG: Final = """examples:
  relying-party watch --config relying-party.toml
  relying-party watch --verifier-key verifier.jwks --host broker.example --status contraindicated --status none
  relying-party watch --verifier-key verifier.jwks --search rack-7 --sort age
  relying-party watch --verifier-key verifier.jwks --plain --only-changes >> changes.log

Keys in the table: / search, s sort, f status, arrows and pages scroll, Escape everything, q quit."""


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = add_follower(parsers, "watch", "a live table of all attesters", _EPILOG)
    command.add_argument("--plain", action="store_true", help="a line for each change instead of a table")
    command.set_defaults(run=run, streams=True)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status.

    Raises:
        ConfigError: a file or an option is wrong.
    """

    def follow(settings: Settings, stop: Stop, selection: Selection) -> int:
        return watch(settings, stop, selection, plain=options.plain, only_changes=options.only_changes)

    return run_follower(options, follow)
