"""``relying-party show``: prints everything about one attester."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from relying_party.commands.trust_options import add_trust_options, trust_settings
from relying_party.result_board import Standing
from relying_party.result_json import json_of
from relying_party.terminal.feed import REFRESH_S, ResultFeed
from relying_party.terminal.follow import NOT_HEARD, heard_retained
from relying_party.terminal.result_text import text_of
from relying_party.terminal.selection import name_of, summary_of
from relying_party.terminal.table import headline_of
from runtime import clock
from runtime.command_line import EXIT_FAILED, EXIT_OK
from runtime.service import Stop
from schemas.codecs.printable import printable
from schemas.errors import ConfigError
from schemas.identifiers import ueid_text
from schemas.verdicts import Freshness, Tier

if TYPE_CHECKING:
    from runtime.command_line import Parsers

EXIT_UNKNOWN = 3
_CANDIDATES = 20
_EPILOG = """examples:
  relying-party show --config relying-party.toml rack-7          by its own label
  relying-party show --verifier-key v.jwks AWFhYWFh              by the beginning of its UEID
  relying-party show --verifier-key v.jwks AWFhYWFh --follow     again at every change, until Ctrl-C
  relying-party show --config relying-party.toml rack-7 --json   for programs; docs/terminal.md has its form

Exit status: 0 affirming and fresh, 1 anything else or no broker, 2 wrong options or an ambiguous name, 3 unknown."""


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = parsers.add_parser(
        "show",
        help="everything about one attester; exit status 0 if it is affirming and fresh",
        description="Print everything that the newest result states about one attester.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("attester", help="its UEID, the beginning of it, or its label")
    command.add_argument("--json", action="store_true", help="as JSON, one line")
    command.add_argument("--follow", action="store_true", help="print again at every change, until Ctrl-C")
    add_trust_options(command, broker=True)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs ``show``; returns the exit status.

    Raises:
        ConfigError: a file or an option is wrong, or the name matches several attesters.
    """
    stop = Stop().on_signals()
    with trust_settings(options) as settings, ResultFeed(settings) as feed:
        if not heard_retained(feed, stop):
            print(NOT_HEARD, file=sys.stderr)
            return EXIT_FAILED
        found = _find(feed, options.attester)
        if found is None:
            _print_unknown(feed, options.attester)
            return EXIT_UNKNOWN
        return _print(feed, found, stop, as_json=options.json, follow=options.follow)


def matching(standings: Sequence[Standing], wanted: str) -> list[Standing]:
    """The attesters that a name may mean.

    A whole UEID means one attester. An attester chooses its own label: if it equals the beginning of another attester's
    UEID, both match, so that no attester can take the place of the one that a script asks for.
    """
    exact = [standing for standing in standings if ueid_text(standing.result.ueid) == wanted]
    if exact:
        return exact
    labels = {standing.result.ueid: str(standing.result.claims.get("label", "")) for standing in standings}
    found = [
        standing
        for standing in standings
        if labels[standing.result.ueid] == wanted or ueid_text(standing.result.ueid).startswith(wanted)
    ]
    return found or [standing for standing in standings if labels[standing.result.ueid].startswith(wanted)]


def _find(feed: ResultFeed, wanted: str) -> Standing | None:
    """The attester of that name; None when no attester matches.

    Raises:
        ConfigError: several match; lists them.
    """
    found = matching(feed.board.standings(clock.utc_s()), wanted) if wanted else []
    if len(found) > 1:
        named = [f"  {ueid_text(each.result.ueid)}  {name_of(each, {})}  {each.status}" for each in found[:_CANDIDATES]]
        more = [f"  and {len(found) - _CANDIDATES} more"] if len(found) > _CANDIDATES else []
        lines = "\n".join([*named, *more])
        raise ConfigError(f"{printable(wanted)!r} is the name or beginning of {len(found)} attesters:\n{lines}")
    return found[0] if found else None


def _print_unknown(feed: ResultFeed, wanted: str) -> None:
    standings = feed.board.standings(clock.utc_s())
    refused = sum(feed.refused.values())
    print(f"unknown: no result about {printable(wanted)!r} by a verifier that you trust", file=sys.stderr)
    print(f"received instead: {summary_of(standings, len(standings), refused)}", file=sys.stderr)
    for standing in standings[:_CANDIDATES]:
        print(f"  {ueid_text(standing.result.ueid)}  {name_of(standing, {})}", file=sys.stderr)
    if not standings:
        print("nothing: check that the verifier runs, and that root and port are right", file=sys.stderr)


def _print(feed: ResultFeed, found: Standing, stop: Stop, *, as_json: bool, follow: bool) -> int:
    printed: object = None
    while True:
        standing = feed.board.standing(found.result.ueid, clock.utc_s()) or found
        if headline_of(standing) != printed:
            printed = headline_of(standing)
            print(json_of(standing) if as_json else text_of(standing, clock.utc_us()), flush=True)
            if follow and not as_json:
                print("─" * 60, flush=True)
        if not follow or stop.requested:
            good = standing.status is Tier.AFFIRMING and standing.freshness is Freshness.FRESH
            return EXIT_OK if good else EXIT_FAILED
        feed.drain(REFRESH_S)
        feed.print_notices()
