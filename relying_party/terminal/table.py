"""Attestation results for people: as a row of a table, as one line; and the feed that all commands listen to.

``cells``, ``table_of`` and ``line_of`` are pure views of a :class:`~relying_party.result_board.Standing`. The one place
that listens is :class:`ResultFeed`: its queue holds what arrived, the thread that calls :meth:`ResultFeed.drain` owns
the board. Everything that came from the network is printed escaped: no result can move the cursor or colour the screen.
"""

import queue
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from relying_party.result_board import ResultBoard, Standing, result_keys
from relying_party.settings import Settings
from relying_party.terminal.notices import Notices
from relying_party.terminal.selection import name_of
from runtime import clock
from runtime.keys import load_public_keys
from runtime.mqtt import Message, MqttConnection, Session
from runtime.settings import naming
from schemas.codecs.printable import printable
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.instants import SECOND_US
from schemas.verdicts import Freshness, Tier

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
_SHORT_HANDLE: Final = 6
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
        self.last_retained_s = -float("inf")  # when one was applied last, by the monotonic clock
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

    def tell(self) -> None:
        """Prints :meth:`notices` on standard error."""
        for line in self.notices():
            print(line, file=sys.stderr, flush=True)

    def wait_subscribed(self, seconds: float) -> bool:
        """Waits until the broker has confirmed that we hear results; False when ``seconds`` passed before."""
        return self._connection.wait_subscribed(seconds)

    def drain(self, wait_s: float, *, at_most_s: float = float("inf")) -> list[Standing]:
        """Applies what arrived and returns it, newest last; waits up to ``wait_s`` seconds for the first message.

        A screen sets ``at_most_s``: ten thousand retained results take seconds to verify.
        """
        changed: list[Standing] = []
        started_s = clock.monotonic_s()
        while clock.monotonic_s() - started_s <= max(at_most_s, wait_s):
            try:
                message = self._arrived.get(timeout=wait_s) if wait_s > 0 else self._arrived.get_nowait()
            except queue.Empty:
                return changed
            wait_s = 0
            if message.retained:
                self.last_retained_s = clock.monotonic_s()
            now_s = clock.utc_s()
            try:
                result = self.board.apply(message.topic, message.payload, now_s)
            except PeerError as error:
                self.refused[error.reason] += 1
                self._refused_why = printable(error.detail)
                continue
            standing = self.board.standing(result.ueid, now_s)
            if standing is not None:
                changed.append(standing)
        return changed


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
        _NONE if made_us is None else f"{max(0, now_us - made_us) / SECOND_US:.1f} s",
        _NONE if result.handle is None else result.handle.hex()[:8],
        ", ".join(_log_entries(standing)) or _NONE,
        _NONE if result.clock_rate_ppm is None else _rate(*result.clock_rate_ppm),
        _NONE if rejected is None else f"{rejected.count} ({printable(rejected.last)})",
    )


def table_of(
    standings: Sequence[Standing],
    now_us: int,
    names: Mapping[Ueid, str],
    width: int = _WIDE,
    *,
    one_line_each: bool = False,
) -> Table:
    """The table of attesters; by name, but where each is to have one line: then in their order.

    Args:
        standings: one for each row.
        now_us: UTC microseconds.
        names: what the caller calls some of the attesters.
        width: characters in a line; columns that find no room are shortened or left out.
        one_line_each: no row takes a second line; what finds no room ends in an ellipsis.
    """
    ordered = standings if one_line_each else sorted(standings, key=lambda each: name_of(each, names))
    full = [dict(zip(COLUMNS, cells(standing, now_us, names), strict=True)) for standing in ordered]
    short = [row | _short_cells(standing) for standing, row in zip(ordered, full, strict=True)]
    shown = _columns_for(full, short, width)
    table = Table(expand=True, pad_edge=False, box=None, padding=(0, _gap(width), 0, 0), header_style="bold")
    for column, in_full in shown.items():
        flexible = column == "reasons"
        header = column if in_full else _SHORT_HEADERS.get(column, column)
        table.add_column(
            header,
            no_wrap=one_line_each or not flexible,
            overflow="ellipsis" if one_line_each else "fold",
            ratio=1 if flexible else None,
        )
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


def _reasons(standing: Standing) -> str:
    text = ", ".join(map(printable, standing.reasons))
    unexpected = standing.result.unexpected
    if not unexpected:
        return text
    more = max(standing.result.unexpected_total, len(unexpected)) - 1
    return f"{text}: {printable(unexpected[0])}" + (f" and {more} more" if more else "")


def _log_entries(standing: Standing) -> list[str]:
    result = standing.result
    entries = []
    for name in sorted(result.logs.keys() | result.logs_total.keys(), reverse=True):
        count = result.logs.get(name, 0)
        total = result.logs_total.get(name, count)
        entries.append(f"{printable(name)} {count}" if total <= count else f"{printable(name)} {count}/{total}")
    return entries


def _rate(low: int, high: int) -> str:
    """An interval of parts per million as its middle and how far it reaches to both sides, once that is below 1 %."""
    middle, reach = (low + high) / 2, (high - low) / 2
    if reach >= _UNKNOWN_FROM_PPM:
        return _NONE
    if reach >= _PERCENT_FROM_PPM:
        return f"{middle / 10_000:+.1f} ±{reach / 10_000:.1f} %"
    return f"{middle:+.0f} ±{reach:.0f} ppm"
