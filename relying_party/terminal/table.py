"""Shows standings to people: as rows of a table, and as one line each. Pure.

All text from the network is escaped: no result can move the cursor or colour the screen (invariant I34).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from relying_party.result_board import Standing
from relying_party.terminal.selection import name_of
from schemas.codecs.printable import printable
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
# Further columns, as long as the reasons keep some room: first the important ones shortened, then each in full.
_SHORT_IF_THERE_IS_ROOM: Final = ("rejected", "log entries", "handle")
_FULL_IF_THERE_IS_ROOM: Final = ("freshness", "rejected", "log entries", "handle", "clock rate")
_SHORT_HEADERS: Final = {"log entries": "logs", "rejected": "refused"}
_REASONS_WIDTH_BESIDE_SHORT: Final = 20
_REASONS_WIDTH: Final = 32
_WIDE: Final = 160
_NARROW: Final = 100  # below that, one space between columns is enough
_SHORT_HANDLE: Final = 6
_PERCENT_FROM_PPM: Final = 1000
_UNKNOWN_FROM_PPM: Final = 10_000  # a wider interval tells nothing about the clock yet
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


def cells(standing: Standing, now_us: int, names: Mapping[Ueid, str]) -> tuple[str, ...]:
    """One row of the table, a text for each of :data:`COLUMNS`.

    Args:
        standing: of one attester.
        now_us: UTC microseconds, for the age.
        names: the caller's names for some of the attesters.
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
    """The table of attesters, sorted by name; with ``one_line_each`` in the given order.

    Args:
        standings: one for each row.
        now_us: UTC microseconds.
        names: the caller's names for some of the attesters.
        width: characters in a line; columns that do not fit are shortened or left out.
        one_line_each: no row takes a second line; text that does not fit ends in an ellipsis.
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
    """The cells of the columns that can be shortened."""
    result = standing.result
    return {
        "handle": _NONE if result.handle is None else result.handle.hex()[:_SHORT_HANDLE],
        "log entries": "+".join(entry.rpartition(" ")[2] for entry in _log_entries(standing)) or _NONE,
        "rejected": _NONE if result.rejections is None else str(result.rejections.count),
    }


def _columns_for(full: Sequence[Mapping[str, str]], short: Sequence[Mapping[str, str]], width: int) -> dict[str, bool]:
    """The columns that fit beside the reasons, in order; the value is whether the column fits in full."""

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
    """The row as one line of text, without empty cells."""
    labels = ("", "", "", "", "age ", "handle ", "", "clock ", "rejected ")
    row = zip(labels, cells(standing, now_us, names), strict=True)
    return "  ".join(f"{label}{cell}" for label, cell in row if cell not in {"", _NONE})


def headline_of(standing: Standing) -> tuple[object, ...]:
    """The part of a standing whose change is worth a new line.

    It leaves out age and handle, and the number of log entries unless more are to come: then it shows progress.
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
    """An interval in parts per million as middle and half width; nothing while the half width is 1 % or more."""
    middle, reach = (low + high) / 2, (high - low) / 2
    if reach >= _UNKNOWN_FROM_PPM:
        return _NONE
    if reach >= _PERCENT_FROM_PPM:
        return f"{middle / 10_000:+.1f} ±{reach / 10_000:.1f} %"
    return f"{middle:+.0f} ±{reach:.0f} ppm"
