"""The terminal's views: filters, order, keys, the page about one attester, and JSON that leaves nothing out."""

import dataclasses
import io
import json
from typing import Any

import pytest
from rich.console import Console

from relying_party.commands.show import matching
from relying_party.result_board import Standing, standing_of
from relying_party.result_json import members_of
from relying_party.terminal.live_table import View, keys_of
from relying_party.terminal.result_text import text_of, time_text
from relying_party.terminal.selection import Selection, SortKey, select, summary_of
from relying_party.terminal.table import table_of
from schemas.identifiers import HandleId, Ueid, ueid_text
from schemas.messages.evidence import Transition
from schemas.messages.result import AttestationResult, Rejections
from schemas.transitions import TransitionKind
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.fakes.relying_party import ALICE, BOB, NOW_S, result_about

NOW_US = NOW_S * 1_000_000
FULL: dict[str, Any] = {
    "status": Tier.CONTRAINDICATED,
    "reasons": ("file-unexpected", "rebooted"),
    "vector": {TrustClaim.INSTANCE_IDENTITY: 2, TrustClaim.EXECUTABLES: 96, TrustClaim.CONFIGURATION: 2},
    "handle": HandleId(bytes(range(32))),
    "evidence": bytes(32),
    "sequence": 5,
    "made_after_us": NOW_US - 5_000_000,
    "made_before_us": NOW_US - 4_000_000,
    "received_after": HandleId(bytes(32)),
    "policies": ("fleet/3",),
    "reference_values": ("golden/7", "apps/3+"),
    "logs": {"ima": 40},
    "logs_total": {"ima": 90},
    "unexpected": ("/usr/bin/evil",),
    "unexpected_digests": ("ab" * 32,),
    "unexpected_total": 3,
    "claims": {"label": "rack-7", "secure-boot": True},
    "verified_claims": {"secure-boot": False},
    "rejections": Rejections(count=2, last="evidence-replayed", last_us=NOW_US),
    "clock_rate_ppm": (-100, 300),
    "transitions": (Transition(kind=TransitionKind.SUSPEND, clock_ms=9, reset_count=1, restart_count=2),),
}
JSON_NAMES = {"claims": "attester_claims"}


def standing(ueid: Ueid = ALICE, **changes: object) -> Standing:
    return standing_of(result_about(ueid, **changes), NOW_S)


def test_the_json_holds_every_field_of_a_result() -> None:
    members = json.loads(json.dumps(members_of(standing(**FULL))))
    for item in dataclasses.fields(AttestationResult):
        assert JSON_NAMES.get(item.name, item.name) in members, item.name
        assert members[JSON_NAMES.get(item.name, item.name)] not in (None, [], {}), item.name
    for nested, kind in (("transitions", Transition), ("rejections", Rejections)):
        told = members[nested][0] if nested == "transitions" else members[nested]
        assert set(told) == {item.name for item in dataclasses.fields(kind)}
    assert members["format"] == 1
    assert members["verified_claims"] == {"secure-boot": False}


def test_an_expired_result_still_says_what_was_signed() -> None:
    late = standing_of(result_about(expires_s=NOW_S - 1), NOW_S)
    members = members_of(late)
    assert (members["status"], members["freshness"]) == ("none", "stale")
    assert members["signed"] == {"status": "affirming", "freshness": "fresh", "reasons": []}
    assert "that has expired" in text_of(late, NOW_US)


def test_the_page_says_everything_in_words() -> None:
    page = text_of(standing(**FULL), NOW_US)
    for word in (
        *("a file was measured that no reference value approves", "next: compare with the approved image", "rack-7"),
        *("/usr/bin/evil  " + "ab" * 32, "and 2 more", "40 entries of 90", "suspend at clock 9 ms", "(5.0 s ago)"),
        *(
            "-100 to +300 ppm",
            "The attester's own claims",
            "fleet/3",
            "old evidence was repeated",
            "secure-boot: false",
        ),
        *(ueid_text(ALICE), bytes(range(32)).hex(), "file-unexpected)", "is known to be bad", "1.000 s apart"),
    ):
        assert word in page
    assert page.index("secure-boot: false") < page.index("The attester's own claims") < page.index("secure-boot: true")


def test_no_result_can_send_control_characters_to_the_page() -> None:
    evil = "\x1b[2J\r\n\x07\u202e"
    nasty: dict[str, Any] = {
        "claims": {"label": evil, evil: evil},
        "verified_claims": {evil: evil},
        "reasons": (evil,),
        "unexpected": (evil,),
        "unexpected_digests": (evil,),
        "logs": {evil: 1},
        "policies": (evil,),
        "rejections": Rejections(count=1, last=evil, last_us=0),
        "verifier": evil,
    }
    assert all(line.isprintable() for line in text_of(standing(**nasty), NOW_US).split("\n"))


@pytest.mark.parametrize("time_us", [0, 2**63, 10**30])
def test_times_beyond_any_calendar_are_shown_as_they_are(time_us: int) -> None:
    assert time_text(time_us, NOW_US).isprintable()


def test_filters_admit_what_they_say() -> None:
    bad, good = standing(**FULL), standing(BOB)
    for selection in (
        Selection(statuses=frozenset({Tier.CONTRAINDICATED})),
        Selection(reasons=frozenset({"rebooted", "x"})),
        *(Selection(text=text) for text in ("RACK", "evil", "fleet/3", ueid_text(ALICE)[10:30].swapcase())),
    ):
        assert select([good, bad], selection, {}) == [bad]
    assert select([bad, good], Selection(freshness=frozenset({Freshness.STALE})), {}) == []


def test_orders_put_the_worst_and_the_oldest_first() -> None:
    old = standing(ALICE, made_after_us=1, received_us=1, claims={"label": "b"})
    bad = standing(BOB, **FULL | {"claims": {"label": "a"}, "received_us": 2})
    assert select([old, bad], Selection(), {}) == [bad, old]
    assert select([old, bad], Selection(sort=SortKey.STATUS), {}) == [bad, old]
    assert select([bad, old], Selection(sort=SortKey.AGE), {}) == [old, bad]
    assert select([old, bad], Selection(sort=SortKey.RECEIVED), {}) == [bad, old]


def test_the_summary_counts() -> None:
    stale = standing(BOB, status=Tier.NONE, freshness=Freshness.STALE, vector={})
    assert summary_of([standing(), stale], 1, 3) == (
        "2 attesters  1 none  1 affirming  (1 stale)  1 shown  3 messages refused"
    )


def test_keys_do_what_the_footer_says() -> None:
    view = View()
    for key in keys_of(b"/") + keys_of(b"ra7") + keys_of(b"\x7f") + keys_of(b"q") + keys_of(b"\r"):
        view = view.pressed(key, 10)
    assert (view.selection.text, view.searching, view.done) == ("raq", False, False)
    assert view.pressed("escape", 10).selection.text == ""
    assert [view.pressed("s", 1).selection.sort, view.pressed("f", 1).selection.statuses] == [
        SortKey.STATUS,
        frozenset({Tier.NONE}),
    ]
    around = view
    for _ in range(5):
        around = around.pressed("f", 1)
    assert around.selection.statuses == frozenset()
    assert view.pressed("q", 10).done


def test_scrolling_stays_within_the_rows() -> None:
    view = View()
    assert view.pressed("up", 10).within(100, 10).top == 0
    assert view.pressed("end", 10).within(100, 10).top == 90
    assert view.pressed("page-down", 10).pressed("down", 10).within(100, 10).top == 11
    assert view.pressed("end", 10).within(3, 10).top == 0


@pytest.mark.parametrize("raw", [b"\x1b[99~", b"\x1b[200~\x1b]0;x\x07", b"\xff\xfe", b""])
def test_what_is_no_key_is_none(raw: bytes) -> None:
    assert keys_of(raw) == []


@pytest.mark.parametrize("width", [40, 80, 160])
def test_a_row_takes_one_line_whatever_it_says(width: int) -> None:
    rows = [standing(**FULL | {"unexpected": ("/very/long" * 50,)}) for _ in range(7)]
    output = io.StringIO()
    Console(file=output, width=width).print(table_of(rows, NOW_US, {}, width, one_line_each=True))
    assert len(output.getvalue().splitlines()) == 8


def test_a_name_means_its_exact_bearer_before_those_it_begins() -> None:
    alice = standing(ALICE, claims={"label": "rack-1"})
    bob = standing(BOB, claims={"label": "rack-10"})
    assert matching([alice, bob], "rack-1") == [alice]
    assert matching([alice, bob], "rack") == [alice, bob]
    assert matching([alice, bob], ueid_text(ALICE)[:2]) == [alice, bob]
    assert matching([alice, bob], "nobody") == []


def test_the_own_word_of_a_device_takes_no_ueid() -> None:
    """A label that equals another attester's UEID does not hide that attester."""
    alice, mallory = standing(ALICE), standing(BOB, claims={"label": ueid_text(ALICE)})
    assert matching([mallory, alice], ueid_text(ALICE)) == [alice]
    begins = standing(BOB, claims={"label": ueid_text(ALICE)[:8]})
    assert matching([begins, alice], ueid_text(ALICE)[:8]) == [begins, alice], "ambiguous, so nobody is shown"
