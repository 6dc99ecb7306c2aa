"""The live table on a terminal, with keys to search, sort, filter and scroll. Draws only the rows that fit.

:class:`View` is pure: the rows to show, and the effect of each key. :func:`follow_table` owns the terminal: it reads
keys without echo and restores the terminal at its end, unless it is killed by SIGKILL.
"""

import contextlib
import os
import select as file_select
import sys
import termios
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from relying_party.result_board import Standing
from relying_party.terminal.feed import ResultFeed
from relying_party.terminal.selection import Selection, SortKey, select, summary_of
from relying_party.terminal.table import headline_of, table_of
from runtime import clock
from runtime.service import Stop
from schemas.codecs.printable import printable
from schemas.identifiers import Ueid
from schemas.instants import SECOND_US
from schemas.verdicts import Tier

_REFRESH_S: Final = 0.5
_KEYS_S: Final = 0.1  # longest delay before a key is read
_APPLY_S: Final = 0.3  # longest time for taking messages before the screen is drawn
_FRAME_LINES: Final = 4  # summary, header, help, and a free line
_KEY_BYTES: Final = 64
_MAX_SEARCH: Final = 80
_SEQUENCES: Final = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "page-up",
    b"\x1b[6~": "page-down",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\x1b[1~": "home",
    b"\x1b[4~": "end",
    b"\r": "enter",
    b"\n": "enter",
    b"\x7f": "backspace",
    b"\x08": "backspace",
    b"\x1b": "escape",
}
_HELP: Final = "/ search   s sort   f status   arrows scroll   q quit"
_CYCLE: Final = (frozenset[Tier](), *(frozenset({tier}) for tier in Tier))


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The state of the screen.

    Attributes:
        selection: the attesters to show.
        top: first row on the screen.
        searching: typed characters go into the search.
        done: the person pressed q.
    """

    selection: Selection = field(default_factory=Selection)
    top: int = 0
    searching: bool = False
    done: bool = False

    def pressed(self, key: str, page: int) -> "View":
        """The view after a key; an unknown key changes nothing.

        Args:
            key: a name of :func:`keys_of`, or a character.
            page: rows on the screen.
        """
        if self.searching:
            return self._typed(key)
        places = {"up": -1, "k": -1, "down": 1, "j": 1, "page-up": -page, "page-down": page}
        if key in places:
            return replace(self, top=max(0, self.top + places[key]))
        if key in {"home", "end"}:
            return replace(self, top=0 if key == "home" else sys.maxsize)
        if key == "q":
            return replace(self, done=True)
        return self._chosen(key)

    def _chosen(self, key: str) -> "View":
        chosen = self.selection
        if key == "s":
            sorts = list(SortKey)
            after = sorts[(sorts.index(chosen.sort) + 1) % len(sorts)]
            return replace(self, selection=replace(chosen, sort=after), top=0)
        if key == "f":
            number = _CYCLE.index(chosen.statuses) if chosen.statuses in _CYCLE else -1
            return replace(self, selection=replace(chosen, statuses=_CYCLE[(number + 1) % len(_CYCLE)]), top=0)
        if key in {"/", "escape"}:
            return replace(self, searching=key == "/", selection=replace(chosen, text=""), top=0)
        return self

    def _typed(self, key: str) -> "View":
        text = self.selection.text
        if key in {"enter", "escape"}:
            kept = text if key == "enter" else ""
            return replace(self, searching=False, selection=replace(self.selection, text=kept))
        if key == "backspace":
            text = text[:-1]
        elif len(key) == 1 and key.isprintable():
            text = (text + key)[:_MAX_SEARCH]
        return replace(self, selection=replace(self.selection, text=text), top=0)

    def within(self, rows: int, page: int) -> "View":
        """The view, scrolled no further than the last row."""
        return replace(self, top=max(0, min(self.top, rows - page)))


def keys_of(raw: bytes) -> list[str]:
    """The keys in a terminal's input: names of special keys, characters for others; unknown sequences are dropped."""
    known = _SEQUENCES.get(raw)
    if known is not None:
        return [known]
    if raw.startswith(b"\x1b"):
        return []
    return [_SEQUENCES.get(each.encode(), each) for each in raw.decode("utf-8", "ignore")]


def follow_table(
    feed: ResultFeed, stop: Stop, console: Console, selection: Selection, *, only_changes: bool = False
) -> None:
    """Keeps a table on the screen until ``stop`` or the key q."""
    view, headlines = View(selection=selection), _Changes() if only_changes else None
    shown_s = float("-inf")
    with _keys() as terminal, Live(console=console, auto_refresh=False, screen=terminal is not None) as live:
        while not stop.requested and not view.done:
            page = max(1, console.height - _FRAME_LINES)
            keys = _read_keys(terminal)
            for key in keys:
                view = view.pressed(key, page)
            feed.drain(0.0 if terminal is not None else _KEYS_S, at_most_s=_APPLY_S)
            now_s = clock.monotonic_s()
            if keys or now_s - shown_s >= _REFRESH_S:
                now_us = clock.utc_us()
                standings = feed.board.standings(now_us // SECOND_US)
                if headlines is not None:
                    standings = headlines.changed(standings)
                rows = select(standings, view.selection, {})
                view = view.within(len(rows), page)
                live.update(_screen(feed, view, standings, rows, (now_us, page, console.width)), refresh=True)
                shown_s = clock.monotonic_s()  # after drawing, so that a slow terminal leaves time for messages


class _Changes:
    """Finds the attesters whose headline has changed since they were first seen here."""

    def __init__(self) -> None:
        self._first: dict[Ueid, tuple[object, ...]] = {}
        self._changed: set[Ueid] = set()

    def changed(self, standings: tuple[Standing, ...]) -> tuple[Standing, ...]:
        """The standings of attesters that have changed."""
        for standing in standings:
            ueid, headline = standing.result.ueid, headline_of(standing)
            if self._first.setdefault(ueid, headline) != headline:
                self._changed.add(ueid)
        return tuple(standing for standing in standings if standing.result.ueid in self._changed)


def _screen(
    feed: ResultFeed,
    view: View,
    standings: tuple[Standing, ...],
    rows: list[Standing],
    frame: tuple[int, int, int],
) -> Group:
    now_us, page, width = frame
    table = table_of(rows[view.top : view.top + page], now_us, {}, width, one_line_each=True)
    summary = summary_of(standings, len(rows), sum(feed.refused.values()))
    state = "" if feed.is_connected else "waiting for the broker  "
    return Group(
        Text(state + summary, no_wrap=True, overflow="ellipsis", style="bold"),
        table,
        Text(_footer(view, len(rows), page), no_wrap=True, overflow="ellipsis", style="dim"),
    )


def _footer(view: View, rows: int, page: int) -> str:
    chosen = view.selection
    if view.searching:
        return f"search: {printable(chosen.text)}_   Enter keeps it, Escape clears it"
    parts = [_HELP, f"by {chosen.sort}"]
    parts += [f"status {'/'.join(sorted(chosen.statuses))}"] if chosen.statuses else []
    parts += [f"search {printable(chosen.text)!r}"] if chosen.text else []
    parts += [f"{view.top + 1}–{min(rows, view.top + page)} of {rows}"] if rows > page else []
    return "   ".join(parts)


@contextlib.contextmanager
def _keys() -> Iterator[int | None]:
    """The terminal's descriptor, in a mode that delivers single keys; None if standard input is not a terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _read_keys(terminal: int | None) -> list[str]:
    if terminal is None or not file_select.select([terminal], [], [], _KEYS_S)[0]:
        return []
    return keys_of(os.read(terminal, _KEY_BYTES)) or []
