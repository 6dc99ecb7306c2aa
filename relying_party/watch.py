"""Attestation results for people: a live table, one line a change, or JSON lines; all of what the broker publishes.

``cells``, ``line_of`` and ``json_of`` are pure views of a :class:`~relying_party.results.Standing`. :class:`ResultFeed`
is the one place that listens: its queue holds what arrived, the thread that calls :meth:`ResultFeed.drain` owns the
board. Everything that came from the network is printed escaped: no result can move the cursor or colour the screen.
"""

import json
import queue
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from relying_party.notices import Notices
from relying_party.results import ResultBoard, Standing, result_keys
from relying_party.settings import Settings
from runtime import clock
from runtime.keys import load_public_keys
from runtime.mqtt import Message, MqttConnection, Session
from runtime.service import EXIT_FAILED, EXIT_OK, Stop
from runtime.settings import naming
from schemas.errors import PeerError
from schemas.identifiers import Ueid, ueid_text
from schemas.result import Freshness, Tier

COLUMNS: Final = (
    "attester",
    "status",
    "reasons",
    "freshness",
    "age",
    "handle",
    "log entries",
    "clock rate",
    "rejected",
)
_ALWAYS_SHOWN: Final = ("attester", "status", "reasons", "age")
# What else is shown while the reasons keep some room: first the important columns in short, then each in full.
_SHORT_IF_THERE_IS_ROOM: Final = ("rejected", "log entries", "handle")
_FULL_IF_THERE_IS_ROOM: Final = ("freshness", "rejected", "log entries", "handle", "clock rate")
_SHORT_HEADERS: Final = {"log entries": "logs", "rejected": "refused"}
_REASONS_WIDTH_BESIDE_SHORT: Final = 20
_REASONS_WIDTH: Final = 32
_WIDE: Final = 160
_NARROW: Final = 100  # below that, one space between columns is enough
REFRESH_S: Final = 0.5
_QUEUE_MESSAGES: Final = 10_000  # beyond that the network thread waits: nothing is dropped, the broker keeps the rest
_SHORT_UEID: Final = 12
_SHORT_HANDLE: Final = 6
_US: Final = 1_000_000
_PERCENT_FROM_PPM: Final = 1000
_UNKNOWN_FROM_PPM: Final = 10_000  # wider than that, an interval says nothing about the clock yet
_NONE: Final = "–"
_STATUS_STYLE: Final = {
    Tier.AFFIRMING: "green",
    Tier.WARNING: "yellow",
    Tier.CONTRAINDICATED: "bold red",
    Tier.NONE: "magenta",
}
_FRESHNESS_STYLE: Final = {
    Freshness.FRESH: "green",
    Freshness.STALE: "bold yellow",
    Freshness.PENDING: "cyan",
    Freshness.CONTRADICTED: "bold red",
}


class ResultFeed:
    """The results topic of one broker, verified, as a board."""

    def __init__(self, settings: Settings) -> None:
        """Loads the keys; does not connect yet.

        Raises:
            ConfigError: a key file is missing or holds no key.
        """
        with naming("verifier_keys"):
            keys = result_keys(load_public_keys(settings.verifier_keys))
        self.board: Final = ResultBoard(keys)
        self.refused: Final[Counter[str]] = Counter()  # owned by the thread that drains
        self._refused_why = ""
        self._notices = Notices(f"{settings.mqtt.host}:{settings.mqtt.port}", keys, clock.monotonic_s())
        self._arrived: queue.Queue[Message] = queue.Queue(_QUEUE_MESSAGES)
        session = Session(
            client_id=f"relying-party-{clock.random_bytes(6).hex()}",
            subscriptions=(settings.mqtt.topics.all_results,),
        )
        self._connection = MqttConnection(settings.mqtt, session, on_message=self._arrived.put)

    def start(self) -> None:
        """Connects in the background; retained results arrive first."""
        self._connection.start()

    def stop(self) -> None:
        """Disconnects."""
        self._connection.stop()

    @property
    def is_connected(self) -> bool:
        """Whether the broker is there."""
        return self._connection.is_connected

    @property
    def was_connected(self) -> bool:
        """Whether the broker was ever there."""
        return self._connection.connection > 0

    def notices(self) -> list[str]:
        """What a person should be told now: that there is no broker, that results are refused and why."""
        refused = sum(self.refused.values())
        now_s, connected = clock.monotonic_s(), self.is_connected
        return list(self._notices.lines(now_s, connected=connected, refused=refused, why=self._refused_why))

    def drain(self, wait_s: float) -> list[Standing]:
        """Applies what arrived and returns it, newest last; waits up to ``wait_s`` seconds for the first message."""
        changed: list[Standing] = []
        while True:
            try:
                message = self._arrived.get(timeout=wait_s) if wait_s > 0 else self._arrived.get_nowait()
            except queue.Empty:
                return changed
            wait_s = 0
            now_s = clock.utc_s()
            try:
                result = self.board.apply(message.topic, message.payload, now_s)
            except PeerError as error:
                self.refused[error.reason] += 1
                self._refused_why = _printable(error.detail)
                continue
            standing = self.board.standing(result.ueid, now_s)
            if standing is not None:
                changed.append(standing)


def name_of(standing: Standing, names: Mapping[Ueid, str]) -> str:
    """What to call an attester: the caller's name for it, the label it gives itself, or the start of its UEID."""
    known = names.get(standing.result.ueid)
    if known is not None:
        return known
    claimed = standing.result.claims.get("label")
    short = ueid_text(standing.result.ueid)[:_SHORT_UEID] + "…"
    return f"{_printable(claimed)} ({short})" if isinstance(claimed, str) else short


def cells(standing: Standing, now_us: int, names: Mapping[Ueid, str]) -> tuple[str, ...]:
    """One row of the table, a text for each of :data:`COLUMNS`.

    Args:
        standing: of one attester.
        now_us: UTC microseconds, for the age.
        names: what the caller calls some of the attesters.
    """
    result = standing.result
    made_us, rejected = result.made_after_us, result.rejections
    return (
        name_of(standing, names),
        standing.status.value,
        _reasons(standing),
        standing.freshness.value,
        _NONE if made_us is None else f"{max(0, now_us - made_us) / _US:.1f} s",
        _NONE if result.handle is None else result.handle.hex()[:8],
        ", ".join(_log_entries(standing)) or _NONE,
        _NONE if result.clock_rate_ppm is None else _rate(*result.clock_rate_ppm),
        _NONE if rejected is None else f"{rejected.count} ({_printable(rejected.last)})",
    )


def table_of(standings: Sequence[Standing], now_us: int, names: Mapping[Ueid, str], width: int = _WIDE) -> Table:
    """The table of all attesters, by name.

    Args:
        standings: one for each row.
        now_us: UTC microseconds.
        names: what the caller calls some of the attesters.
        width: characters in a line; columns that find no room are shortened or left out.
    """
    ordered = sorted(standings, key=lambda each: name_of(each, names))
    full = [dict(zip(COLUMNS, cells(standing, now_us, names), strict=True)) for standing in ordered]
    short = [row | _short_cells(standing) for standing, row in zip(ordered, full, strict=True)]
    shown = _columns_for(full, short, width)
    table = Table(expand=True, pad_edge=False, box=None, padding=(0, _gap(width), 0, 0), header_style="bold")
    for column, in_full in shown.items():
        flexible = column == "reasons"
        header = column if in_full else _SHORT_HEADERS.get(column, column)
        table.add_column(header, no_wrap=not flexible, overflow="fold", ratio=1 if flexible else None)
    for number, standing in enumerate(ordered):
        row = {column: (full if in_full else short)[number][column] for column, in_full in shown.items()}
        styles = {
            "status": _STATUS_STYLE[standing.status],
            "freshness": _FRESHNESS_STYLE.get(standing.freshness, "yellow"),
        }
        if "freshness" not in shown and standing.freshness is not Freshness.FRESH:
            row["reasons"] = ", ".join(filter(None, (standing.freshness.value, row["reasons"])))
            styles["reasons"] = styles["freshness"]
        table.add_row(*(Text(row[column], style=styles.get(column, "")) for column in shown))
    return table


def _gap(width: int) -> int:
    return 1 if width < _NARROW else 2


def _short_cells(standing: Standing) -> dict[str, str]:
    """What stands in the columns that can be shortened."""
    result = standing.result
    return {
        "handle": _NONE if result.handle is None else result.handle.hex()[:_SHORT_HANDLE],
        "log entries": "+".join(entry.rpartition(" ")[2] for entry in _log_entries(standing)) or _NONE,
        "rejected": _NONE if result.rejections is None else str(result.rejections.count),
    }


def _columns_for(full: Sequence[Mapping[str, str]], short: Sequence[Mapping[str, str]], width: int) -> dict[str, bool]:
    """The columns that fit beside the reasons, in order, each with whether it fits in full."""

    def needed(column: str, *, in_full: bool) -> int:
        header = column if in_full else _SHORT_HEADERS.get(column, column)
        return _gap(width) + max([len(header), *(len(row[column]) for row in (full if in_full else short))])

    taken = {column: needed(column, in_full=True) for column in _ALWAYS_SHOWN} | {"reasons": 0}
    shown = dict.fromkeys(_ALWAYS_SHOWN, True)
    steps = [(column, False, _REASONS_WIDTH_BESIDE_SHORT) for column in _SHORT_IF_THERE_IS_ROOM]
    steps += [(column, True, _REASONS_WIDTH) for column in _FULL_IF_THERE_IS_ROOM]
    for column, in_full, reasons in steps:
        wanted = taken | {column: needed(column, in_full=in_full)}
        if sum(wanted.values()) + reasons <= width:
            taken, shown[column] = wanted, in_full
    return {column: shown[column] for column in COLUMNS if column in shown}


def line_of(standing: Standing, now_us: int, names: Mapping[Ueid, str]) -> str:
    """The row as one line of text, cells that say nothing left out."""
    labels = ("", "", "", "", "age ", "handle ", "", "clock ", "rejected ")
    row = zip(labels, cells(standing, now_us, names), strict=True)
    return "  ".join(f"{label}{cell}" for label, cell in row if cell not in {"", _NONE})


def headline_of(standing: Standing) -> tuple[object, ...]:
    """What must change for an attester to be worth a new line.

    Not its age or handle, nor the number of its log entries unless there are more to come: then it is progress.
    """
    result = standing.result
    rejected = 0 if result.rejections is None else result.rejections.count
    progress = _log_entries(standing) if result.logs_total else []
    return standing.status, standing.freshness, standing.reasons, tuple(result.unexpected), rejected, tuple(progress)


def json_of(standing: Standing) -> str:
    """A standing as one line of JSON, for programs that read lines."""
    result = standing.result
    rejected = result.rejections
    content = {
        "ueid": ueid_text(result.ueid),
        "verifier": result.verifier,
        "status": standing.status,
        "freshness": standing.freshness,
        "reasons": standing.reasons,
        "vector": {claim.label: value for claim, value in sorted(result.vector.items())},
        "issued_s": result.issued_s,
        "expires_s": result.expires_s,
        "made_after_us": result.made_after_us,
        "made_before_us": result.made_before_us,
        "received_us": result.received_us,
        "received_after": None if result.received_after is None else result.received_after.hex(),
        "clock_rate_ppm": None if result.clock_rate_ppm is None else list(result.clock_rate_ppm),
        "handle": None if result.handle is None else result.handle.hex(),
        "evidence": None if result.evidence is None else result.evidence.hex(),
        "policies": list(result.policies),
        "logs": dict(result.logs),
        "logs_total": dict(result.logs_total),
        "unexpected": list(result.unexpected),
        "unexpected_digests": list(result.unexpected_digests),
        "unexpected_total": result.unexpected_total,
        "attester_claims": dict(result.claims),
        "rejections": None if rejected is None else {"count": rejected.count, "last": rejected.last},
    }
    return json.dumps(content, separators=(",", ":"))


def follow_lines(feed: ResultFeed, stop: Stop, *, as_json: bool, every: bool) -> None:
    """Prints a line for each change (or, with ``every``, for each result) until ``stop``."""
    headlines: dict[Ueid, tuple[object, ...]] = {}
    while not stop.requested:
        standings = feed.drain(REFRESH_S)
        _tell(feed)
        known = {standing.result.ueid for standing in standings}
        now_us = clock.utc_us()
        expired = [each for each in feed.board.standings(now_us // _US) if each.result.ueid not in known]
        for standing in [*standings, *expired]:
            headline = headline_of(standing)
            news = headlines.get(standing.result.ueid) != headline
            headlines[standing.result.ueid] = headline
            if news or (every and standing.result.ueid in known):
                print(json_of(standing) if as_json else line_of(standing, now_us, {}), flush=True)


def follow_table(feed: ResultFeed, stop: Stop, console: Console) -> None:
    """Keeps a table on the screen until ``stop``."""
    with Live(console=console, auto_refresh=False) as live:
        while not stop.requested:
            feed.drain(REFRESH_S)
            _tell(feed)
            now_us = clock.utc_us()
            table = table_of(feed.board.standings(now_us // _US), now_us, {}, console.width)
            refused = sum(feed.refused.values())
            state = "" if feed.is_connected else "waiting for the broker  "
            table.caption = f"{state}{refused} messages refused" if refused or state else None
            live.update(table, refresh=True)


def watch(settings: Settings, stop: Stop, *, plain: bool, as_json: bool = False, every: bool = False) -> int:
    """Follows the results topic until ``stop``.

    Args:
        settings: broker and trusted verifiers.
        stop: ends it.
        plain: a line a change instead of a table; always so when standard output is no terminal.
        as_json: JSON lines.
        every: a line for each result, changed or not.

    Returns:
        The exit status: 1 when the broker was never reached.

    Raises:
        ConfigError: a key file is missing or holds no key.
    """
    feed = ResultFeed(settings)
    feed.start()
    try:
        if plain or as_json or every or not sys.stdout.isatty():
            follow_lines(feed, stop, as_json=as_json, every=every)
        else:
            follow_table(feed, stop, Console())
        return EXIT_OK if feed.was_connected else EXIT_FAILED
    finally:
        feed.stop()


def _tell(feed: ResultFeed) -> None:
    for line in feed.notices():
        print(line, file=sys.stderr, flush=True)


def _reasons(standing: Standing) -> str:
    text = ", ".join(map(_printable, standing.reasons))
    unexpected = standing.result.unexpected
    if not unexpected:
        return text
    more = max(standing.result.unexpected_total, len(unexpected)) - 1
    return f"{text}: {_printable(unexpected[0])}" + (f" and {more} more" if more else "")


def _log_entries(standing: Standing) -> list[str]:
    result = standing.result
    entries = []
    for name in sorted(result.logs.keys() | result.logs_total.keys(), reverse=True):
        count = result.logs.get(name, 0)
        total = result.logs_total.get(name, count)
        entries.append(f"{_printable(name)} {count}" if total <= count else f"{_printable(name)} {count}/{total}")
    return entries


def _rate(low: int, high: int) -> str:
    """An interval of parts per million as its middle and how far it reaches to both sides, once that is below 1 %."""
    middle, reach = (low + high) / 2, (high - low) / 2
    if reach >= _UNKNOWN_FROM_PPM:
        return _NONE
    if reach >= _PERCENT_FROM_PPM:
        return f"{middle / 10_000:+.1f} ±{reach / 10_000:.1f} %"
    return f"{middle:+.0f} ±{reach:.0f} ppm"


def _printable(text: object) -> str:
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text))
