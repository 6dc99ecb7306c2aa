"""The common part of ``watch`` and ``results``: the attesters to show, and when to stop."""

import argparse
import difflib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from relying_party.commands.trust_options import add_trust_options, trust_settings
from relying_party.settings import Settings
from relying_party.terminal.feed import ResultFeed
from relying_party.terminal.selection import Selection, SortKey
from runtime.command_line import EXIT_OK
from runtime.service import Stop
from schemas.errors import ConfigError
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_follower(parsers: "Parsers", name: str, text: str, epilog: str) -> argparse.ArgumentParser:
    """Adds a command that follows results, with the options of all such commands.

    Args:
        parsers: of the program.
        name: of the command.
        text: one line about it.
        epilog: examples.
    """
    command = parsers.add_parser(
        name, help=text, description=text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shown = command.add_argument_group("what to show")
    shown.add_argument("--status", action="append", default=[], choices=list(map(str, Tier)), help="may be repeated")
    shown.add_argument(
        "--freshness", action="append", default=[], choices=list(map(str, Freshness)), help="may be repeated"
    )
    shown.add_argument("--reason", action="append", default=[], metavar="CODE", help="may be repeated")
    shown.add_argument("--search", default="", metavar="TEXT", help="in label, UEID, policies, unexpected paths")
    shown.add_argument("--sort", default=SortKey.NAME.value, choices=list(map(str, SortKey)), help="of a table")
    shown.add_argument("--only-changes", action="store_true", help="leave out attesters until something changes")
    add_trust_options(command, broker=True)
    command.add_argument("--seconds", type=float, metavar="S", help="stop by itself after that time")
    command.add_argument("--check-config", action="store_true", help="read the settings, then stop")
    return command


def run_follower(options: argparse.Namespace, follow: Callable[[Settings, Stop, Selection], int]) -> int:
    """Runs a command that follows results, or only checks its configuration; returns the exit status.

    Args:
        options: of :func:`add_follower`.
        follow: runs until its ``Stop``; returns the exit status.

    Raises:
        ConfigError: a file or an option is wrong.
    """
    with trust_settings(options) as settings:
        selection = _selection(options)
        if options.check_config:
            ResultFeed(settings)
            return EXIT_OK
        return follow(settings, _stop(options), selection)


def _selection(options: argparse.Namespace) -> Selection:
    for reason in options.reason:
        if reason not in map(str, Reason):  # misspelt, it would match nothing, and look like good news
            near = difflib.get_close_matches(reason, list(map(str, Reason)), n=1)
            hint = f"; did you mean {near[0]}?" if near else "; docs/threat-model.md has them all"
            raise ConfigError(f"--reason: there is no {reason!r}{hint}")
    return Selection(
        statuses=frozenset(map(Tier, options.status)),
        freshness=frozenset(map(Freshness, options.freshness)),
        reasons=frozenset(options.reason),
        text=options.search,
        sort=SortKey(options.sort),
    )


def _stop(options: argparse.Namespace) -> Stop:
    """Stops on signals, and after ``--seconds``."""
    if options.seconds is not None and not 0 < options.seconds <= threading.TIMEOUT_MAX:
        raise ConfigError(f"--seconds: {options.seconds:g}, expected more than 0")
    stop = Stop().on_signals()
    if options.seconds is not None:
        timer = threading.Timer(options.seconds, stop.request)
        timer.daemon = True
        timer.start()
    return stop
