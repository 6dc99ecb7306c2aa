"""A result as a table row, a line and JSON."""

import io
import json

import pytest
from rich.console import Console

from relying_party.result_board import Standing, standing_of
from relying_party.result_json import json_of
from relying_party.terminal.selection import name_of
from relying_party.terminal.table import COLUMNS, cells, headline_of, line_of, table_of
from schemas.identifiers import HandleId
from schemas.messages.result import Rejections
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.fakes.relying_party import ALICE, BOB, NOW_S, result_about

NOW_US = NOW_S * 1_000_000


def standing(**changes: object) -> Standing:
    return standing_of(result_about(**changes), NOW_S)  # type: ignore[arg-type]  # fields that exist


def tampered() -> Standing:
    return standing(
        status=Tier.CONTRAINDICATED,
        reasons=("file-unexpected",),
        vector={TrustClaim.EXECUTABLES: 96},
        unexpected=("/usr/bin/evil", "/usr/bin/worse"),
        unexpected_total=5,
    )


def test_every_column_has_a_cell() -> None:
    row = dict(
        zip(
            COLUMNS,
            cells(
                standing(
                    handle=HandleId(bytes(range(32))),
                    made_after_us=NOW_US - 1_500_000,
                    logs={"tcg2": 25, "ima": 40},
                    logs_total={"ima": 90},
                    clock_rate_ppm=(-300, 100),
                    rejections=Rejections(count=3, last="evidence-replayed", last_us=NOW_US),
                ),
                NOW_US,
                {ALICE: "alice"},
            ),
            strict=True,
        )
    )
    assert row == {
        "attester": "alice",
        "status": "affirming",
        "reasons": "",
        "freshness": "fresh",
        "age": "1.5 s",
        "handle": "00010203",
        "log entries": "tcg2 25, ima 40/90",
        "clock rate": "-100 ±200 ppm",
        "rejected": "3 (evidence-replayed)",
    }


def test_a_long_log_on_its_way_is_news_with_every_part() -> None:
    first, second, last = (
        standing(logs=logs, logs_total=total)
        for logs, total in (({}, {"ima": 50}), ({"ima": 12}, {"ima": 50}), ({}, {}))
    )
    assert cells(first, NOW_US, {})[6] == "ima 0/50"
    assert len({headline_of(first), headline_of(second), headline_of(last)}) == 3
    assert headline_of(standing(logs={"ima": 50})) == headline_of(standing(logs={"ima": 51}))


def test_what_is_not_known_is_a_dash() -> None:
    row = dict(zip(COLUMNS, cells(standing(), NOW_US, {}), strict=True))
    assert {row[name] for name in ("age", "handle", "log entries", "clock rate", "rejected")} == {"–"}


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((-300, 100), "-100 ±200 ppm"),
        ((-2_000, 4_000), "+0.1 ±0.3 %"),
        ((-9_000, 11_000), "–"),
        ((-20_000, 40_000), "–"),
    ],
)
def test_a_bound_on_the_clock_is_said_once_it_is_below_one_percent(bounds: tuple[int, int], said: str) -> None:
    assert cells(standing(clock_rate_ppm=bounds), NOW_US, {})[7] == said


def test_unexpected_files_stand_beside_the_reason() -> None:
    assert cells(tampered(), NOW_US, {})[2] == "file-unexpected: /usr/bin/evil and 4 more"


def test_an_attester_is_called_by_our_name_its_label_or_its_ueid() -> None:
    assert name_of(standing(), {ALICE: "alice"}) == "alice"
    assert name_of(standing(), {BOB: "bob"}) == "AWFhYWFhYWFh…"
    assert name_of(standing(claims={"label": "rack-7"}), {}) == "rack-7 (AWFhYWFhYWFh…)"


def test_no_result_can_send_control_characters_to_the_terminal() -> None:
    evil = "\x1b[2J\r\n\x07\u202e"
    nasty = standing(
        claims={"label": evil},
        reasons=(evil,),
        unexpected=(evil,),
        logs={evil: 1},
        rejections=Rejections(count=1, last=evil, last_us=0),
    )
    assert line_of(nasty, NOW_US, {}).isprintable()
    assert all(cell.isprintable() for cell in cells(nasty, NOW_US, {}))
    assert "\\x1b" in line_of(nasty, NOW_US, {})


def test_the_line_leaves_out_what_is_not_known() -> None:
    assert line_of(standing(), NOW_US, {ALICE: "alice"}) == "alice  affirming  fresh"
    assert "file-unexpected" in line_of(tampered(), NOW_US, {})


def test_a_new_line_is_worth_it_only_for_news() -> None:
    same = headline_of(standing())
    assert headline_of(standing(handle=HandleId(bytes(32)), made_after_us=1, logs={"ima": 2})) == same
    assert headline_of(tampered()) != same
    assert headline_of(standing(freshness=Freshness.STALE)) != same
    assert headline_of(standing(rejections=Rejections(count=1, last="x", last_us=0))) != same


def test_the_json_line_is_one_line_of_json() -> None:
    line = json_of(tampered())
    assert "\n" not in line
    content = json.loads(line)
    assert content["status"] == "contraindicated"
    assert content["unexpected"] == ["/usr/bin/evil", "/usr/bin/worse"]
    assert content["vector"] == {"executables": 96}


@pytest.mark.parametrize("terminal", [True, False])
def test_there_are_colours_only_on_a_terminal(terminal: bool) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=140, color_system="standard" if terminal else None)
    console.print(table_of([tampered(), standing()], NOW_US, {ALICE: "alice"}))
    assert ("\x1b[" in output.getvalue()) is terminal
    assert "contraindicated" in output.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_the_table_fits_whatever_the_width_and_hides_no_rejection(width: int) -> None:
    rejected = standing(
        handle=HandleId(bytes(32)),
        logs={"tcg2": 25, "ima": 40},
        clock_rate_ppm=(-2_000, 4_000),
        rejections=Rejections(count=3, last="quote-signature-invalid", last_us=0),
    )
    output = io.StringIO()
    console = Console(file=output, width=width)
    console.print(table_of([rejected, tampered()], NOW_US, {ALICE: "device-1"}, width))
    printed = output.getvalue()
    header = printed.splitlines()[0].split()
    assert ("quote-signature-invalid" in printed) is ("rejected" in header)
    assert ("refused" in header) is ("rejected" not in header)
    assert all(len(line) <= width for line in printed.splitlines())
    assert "contraindicated" in printed
    assert len(printed.splitlines()) <= 6
    assert ("clock rate" in printed) is (width == 160)


def test_eighty_columns_show_logs_handle_and_refusals_in_short() -> None:
    busy = standing(
        status=Tier.NONE,
        freshness=Freshness.STALE,
        reasons=("evidence-overdue",),
        made_after_us=NOW_US - 12_300_000,
        handle=HandleId(bytes(range(32))),
        logs={"tcg2": 25, "ima": 74},
        rejections=Rejections(count=3, last="evidence-replayed", last_us=0),
    )
    output = io.StringIO()
    Console(file=output, width=80).print(table_of([busy, tampered()], NOW_US, {ALICE: "device-1"}, 80))
    header, row = output.getvalue().splitlines()[:2]
    assert header.split() == ["attester", "status", "reasons", "age", "handle", "logs", "refused"]
    assert row.split() == ["device-1", "none", "stale,", "evidence-overdue", "12.3", "s", "000102", "25+74", "3"]
