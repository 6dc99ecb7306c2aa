"""``relying-party results``: a line for each result."""

import argparse
from typing import TYPE_CHECKING, Final

from relying_party.commands.selection_options import add_follower, run_follower
from relying_party.settings import Settings
from relying_party.terminal.follow import results
from relying_party.terminal.selection import Selection
from runtime.service import Stop

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_EPILOG: Final = """examples:
  relying-party results --config relying-party.toml --once --json | jq -r 'select(.status != "affirming") | .ueid'
  relying-party results --verifier-key verifier.jwks --json --reason file-unexpected
  relying-party results --verifier-key verifier.jwks --once --freshness stale

Exit status of --once: 0, or 1 when the broker was not reached or a retained result was refused, as with the wrong key.
docs/terminal.md has the form of a line of JSON."""


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = add_follower(parsers, "results", "a line for each result", _EPILOG)
    command.add_argument("--json", action="store_true", help="as JSON")
    command.add_argument("--once", action="store_true", help="the results that the broker retains, then end")
    command.set_defaults(run=run, streams=True)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status.

    Raises:
        ConfigError: a file or an option is wrong.
    """

    def follow(settings: Settings, stop: Stop, selection: Selection) -> int:
        only_changes: bool = options.only_changes
        return results(settings, stop, selection, as_json=options.json, once=options.once, only_changes=only_changes)

    return run_follower(options, follow)
