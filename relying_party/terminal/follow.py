"""Runs ``watch`` and ``results``: a table, a line for each change or result, or the retained results once."""

import sys
from typing import Final

from rich.console import Console

from relying_party.result_json import json_of
from relying_party.settings import Settings
from relying_party.terminal.feed import REFRESH_S, ResultFeed
from relying_party.terminal.live_table import follow_table
from relying_party.terminal.selection import Selection, select, summary_of
from relying_party.terminal.table import headline_of, line_of
from runtime import clock
from runtime.command_line import EXIT_FAILED, EXIT_OK
from runtime.service import Stop
from schemas.identifiers import Ueid
from schemas.instants import SECOND_US
from schemas.reasons import Reason

NOT_HEARD: Final = "error: the broker was not reached, or did not accept the subscription to results"
_CONNECT_S: Final = 10.0
_QUIET_S: Final = 1.0  # retained results come at once; after this long without one there are no more


def watch(settings: Settings, stop: Stop, selection: Selection, *, plain: bool, only_changes: bool = False) -> int:
    """Follows the results topic until ``stop``: a table, or on anything but a terminal a line for each change.

    Args:
        settings: broker and trusted verifiers.
        stop: ends it.
        selection: the attesters to show.
        plain: lines even on a terminal.
        only_changes: leave out attesters until something changes.

    Returns:
        The exit status: 1 when the broker was never reached.

    Raises:
        ConfigError: a key file is missing or holds no key.
    """
    with ResultFeed(settings) as feed:
        if plain or not sys.stdout.isatty():
            follow_lines(feed, stop, selection, as_json=False, every=False, only_changes=only_changes)
        else:
            follow_table(feed, stop, Console(), selection, only_changes=only_changes)
        return EXIT_OK if feed.was_connected else EXIT_FAILED


def results(
    settings: Settings, stop: Stop, selection: Selection, *, as_json: bool, once: bool, only_changes: bool
) -> int:
    """Prints a line for each result until ``stop``, or for each retained one, then ends.

    Args:
        settings: broker and trusted verifiers.
        stop: ends it.
        selection: the attesters to show.
        as_json: JSON instead of text.
        once: only retained results.
        only_changes: leave out attesters until something changes.

    Returns:
        The exit status: 1 when the broker was not reached, or did not accept the subscription; with ``once`` also when
        a retained result was refused.

    Raises:
        ConfigError: a key file is missing or holds no key.
    """
    with ResultFeed(settings) as feed:
        if once:
            return _print_once(feed, stop, selection, as_json=as_json)
        follow_lines(feed, stop, selection, as_json=as_json, every=not only_changes, only_changes=only_changes)
        return EXIT_OK if feed.was_connected else EXIT_FAILED


def heard_retained(feed: ResultFeed, stop: Stop, *, wait_s: float = _CONNECT_S) -> bool:
    """Waits until the retained results have arrived; returns False when the broker is not reached in ``wait_s``."""
    deadline_s = clock.monotonic_s() + wait_s
    while not feed.wait_subscribed(REFRESH_S / 5):
        feed.print_notices()
        if stop.requested or clock.monotonic_s() >= deadline_s:
            return False
    subscribed_s = clock.monotonic_s()
    while not stop.requested:
        left_s = max(subscribed_s, feed.last_retained_s) + _QUIET_S - clock.monotonic_s()
        if left_s <= 0:
            break
        feed.drain(left_s, at_most_s=left_s)  # bounded: a fleet that pushes all the time never goes quiet
    feed.print_notices()
    return True


def follow_lines(
    feed: ResultFeed, stop: Stop, selection: Selection, *, as_json: bool, every: bool, only_changes: bool = False
) -> None:
    """Prints a line for each change (or, with ``every``, for each result) until ``stop``."""
    headlines: dict[Ueid, tuple[object, ...]] = {}
    while not stop.requested:
        standings = feed.drain(REFRESH_S)
        feed.print_notices()
        known = {standing.result.ueid for standing in standings}
        now_us = clock.utc_us()
        expired = [each for each in feed.board.standings(now_us // SECOND_US) if each.result.ueid not in known]
        for standing in [*standings, *expired]:
            ueid, headline = standing.result.ueid, headline_of(standing)
            news = headlines[ueid] != headline if ueid in headlines else not only_changes
            headlines[ueid] = headline
            if (news or (every and ueid in known)) and selection.admits(standing):
                print(json_of(standing) if as_json else line_of(standing, now_us, {}), flush=True)


def _print_once(feed: ResultFeed, stop: Stop, selection: Selection, *, as_json: bool) -> int:
    if not heard_retained(feed, stop):
        print(NOT_HEARD, file=sys.stderr)
        return EXIT_FAILED
    now_us = clock.utc_us()
    standings = feed.board.standings(now_us // SECOND_US)
    chosen = select(standings, selection, {})
    for standing in chosen:
        print(json_of(standing) if as_json else line_of(standing, now_us, {}))
    print(summary_of(standings, len(chosen), sum(feed.refused.values())), file=sys.stderr)
    # An older genuine result that was repeated hides nothing; any other may be the one that was asked for.
    refused = sum(count for code, count in feed.refused.items() if code != Reason.OBJECT_ROLLED_BACK)
    return EXIT_FAILED if refused else EXIT_OK
