"""Strangers on the results topic, and devices that choose their own words, against dashboard, terminal and alerts."""

import io
import random
from collections.abc import Callable
from typing import Any

from rich.console import Console

from relying_party.alerts.alert_text import webhook_body
from relying_party.alerts.ledger import AlertLedger
from relying_party.alerts.rules import Rule
from relying_party.alerts.silence import Silence, SilenceSettings
from relying_party.alerts.storms import Storms, StormSettings
from relying_party.dashboard.fleet import MAX_STRANGERS, Fleet
from relying_party.result_board import Standing, result_keys, standing_of
from relying_party.terminal.result_text import text_of
from relying_party.terminal.selection import Selection, select
from relying_party.terminal.table import table_of
from schemas.codecs import cose
from schemas.identifiers import Ueid
from schemas.messages.result import AttestationResult
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen
from tests.fakes.relying_party import ALICE, BOB, NOW_S, STRANGERS_KEY, TOPICS, VERIFIER_KEY, message_of, result_about

SCREEN = Kind(by=Attacker.STRANGER, goal="have a dashboard show something that no verifier said")
ALERTS = Kind(by=Attacker.STRANGER, goal="close an alert, bury it or keep it from being sent")
WORDS = Kind(by=Attacker.ROOT, goal="write on somebody's screen by names of files and claims")
US = 1_000_000
BAD: dict[str, Any] = {
    "status": Tier.CONTRAINDICATED,
    "vector": {TrustClaim.EXECUTABLES: 96},
    "reasons": ("file-unexpected",),
}
STALE: dict[str, Any] = {
    "status": Tier.NONE,
    "freshness": Freshness.STALE,
    "vector": {},
    "reasons": ("evidence-overdue",),
}


def _bad(ueid: Ueid = ALICE, **changes: object) -> AttestationResult:
    return result_about(ueid, **{**BAD, **changes})


def _fleet(result: AttestationResult) -> Fleet:
    fleet = Fleet(result_keys({cose.key_id(VERIFIER_KEY.public_key()): VERIFIER_KEY.public_key()}))
    fleet.take(TOPICS.results(result.ueid), message_of(result), NOW_S * US)
    return fleet


def _view(fleet: Fleet, at_s: int = NOW_S + 1) -> Seen:
    device = fleet.device(ALICE)
    assert device is not None
    return Seen(verdict=str(fleet.view(device, at_s).value))


def forged(fleet: Fleet) -> None:
    """by a forged good result."""
    fleet.take(TOPICS.results(ALICE), message_of(result_about(issued_s=NOW_S + 1), STRANGERS_KEY), NOW_S * US)


def noise(fleet: Fleet) -> None:
    """by noise."""
    dice = random.Random(7)
    for _ in range(200):
        fleet.take(TOPICS.results(ALICE), dice.randbytes(dice.randint(0, 80)), NOW_S * US)


def result_of_a_neighbour(fleet: Fleet) -> None:
    """by a neighbour's true result."""
    fleet.take(TOPICS.results(ALICE), message_of(result_about(BOB)), NOW_S * US)


def nothing_at_all(fleet: Fleet) -> None:
    """by an empty message, which takes the retained one from the broker."""
    fleet.take(TOPICS.results(ALICE), b"", NOW_S * US)


MOVES = (forged, noise, result_of_a_neighbour, nothing_at_all)


@SCREEN.ways("contraindicated", moves=MOVES)
def finding_cleared(scene: Scene, move: Callable[[Fleet], None]) -> Seen:
    """A finding is to be cleared from the screen"""
    fleet = _fleet(_bad())
    move(fleet)
    return _view(fleet)


@SCREEN.ways("unverified", moves=MOVES)
def affirmation_kept(scene: Scene, move: Callable[[Fleet], None]) -> Seen:
    """A device is affirming. Somebody writes to its topic, and must not go unnoticed"""
    fleet = _fleet(result_about())
    move(fleet)
    return _view(fleet)


@SCREEN.attack("unverified")
def device_that_no_verifier_knows(scene: Scene) -> Seen:
    """A forged good result about a device that no verifier has spoken of."""
    fleet = _fleet(result_about(BOB))
    forged(fleet)
    return _view(fleet)


@SCREEN.attack("bounded")
def devices_without_end(scene: Scene) -> Seen:
    """Forged results about ever new devices."""
    fleet = _fleet(result_about())
    for number in range(MAX_STRANGERS + 200):
        ueid = Ueid(b"\x01" + number.to_bytes(32, "big"))
        fleet.take(TOPICS.results(ueid), message_of(result_about(ueid), STRANGERS_KEY), NOW_S * US)
    return Seen(verdict="bounded" if len(fleet) <= MAX_STRANGERS + 1 else f"{len(fleet)} devices")


def _standing(ueid: Ueid = ALICE, now_s: int = NOW_S, **changes: object) -> Standing:
    return standing_of(result_about(ueid, **{"expires_s": NOW_S + 10_000, **changes}), now_s)


def _ledger(**storm: float) -> AlertLedger:
    silence = Silence(SilenceSettings(), (), 0.0)
    silence.connected(0.0, connected=True)
    silence.heard("verifier-1", NOW_S, 0.0)
    storms = Storms(StormSettings(**storm), (), 0.0)  # type: ignore[arg-type]  # fields by name
    return AlertLedger((Rule(name="all", hold_s=0.0),), storms, silence, (), b"i", 0)


def _told(ledger: AlertLedger, second: int, *standings: Standing) -> list[tuple[str, Ueid | None]]:
    batch = ledger.tick(standings, {each.result.ueid: b"ey.token" for each in standings}, NOW_S + second, float(second))
    ledger.mark_stored(batch, float(second))
    return [(each.alert.kind.value, each.alert.ueid) for each in batch.outgoing if each.is_wanted]


@ALERTS.attack("no recovery")
def falls_silent(scene: Scene) -> Seen:
    """After the alert nothing more of the device arrives; its result expires."""
    ledger = _ledger()
    assert len(_told(ledger, 0, _standing(**BAD))) == 1
    told = _told(ledger, 100, _standing(**STALE)) + _told(ledger, 20_000, _standing(now_s=NOW_S + 20_000, **BAD))
    recovered = any(kind == "recovered" for kind, _ in told)
    return Seen(verdict="recovered" if recovered else "no recovery", detail=str(told))


@ALERTS.attack("named")
def buried_in_a_storm(scene: Scene) -> Seen:
    """A hundred other devices fall silent at once; in the same moment the device turns bad."""
    ledger = _ledger(attesters=5, window_s=60.0)
    crowd = [Ueid(b"\x01" + number.to_bytes(32, "big")) for number in range(100)]
    told = _told(ledger, 0, *(_standing(each, **STALE) for each in crowd), _standing(**BAD))
    return Seen(verdict="named" if any(ueid == ALICE for _, ueid in told) else "buried", detail=str(told[:3]))


@ALERTS.attack("named")
def buried_in_a_storm_that_began_before(scene: Scene) -> Seen:
    """A hundred other devices fall silent first; one of them turns bad during the storm."""
    ledger = _ledger(attesters=5, window_s=60.0)
    crowd = [Ueid(b"\x01" + number.to_bytes(32, "big")) for number in range(100)]
    _told(ledger, 0, *(_standing(each, **STALE) for each in crowd))
    told = _told(ledger, 1, _standing(crowd[50], **BAD))
    return Seen(verdict="named" if any(ueid == crowd[50] for _, ueid in told) else "buried", detail=str(told[:3]))


@ALERTS.attack("one alert")
def flapping(scene: Scene) -> Seen:
    """The device turns bad and good every five seconds, to bury those who read alerts."""
    silence = Silence(SilenceSettings(), (), 0.0)
    silence.connected(0.0, connected=True)
    silence.heard("verifier-1", NOW_S, 0.0)
    ledger = AlertLedger((Rule(name="all", hold_s=30.0),), Storms(StormSettings(), (), 0.0), silence, (), b"i", 0)
    told = []
    for second in range(0, 200, 5):
        told += _told(ledger, second, _standing(**BAD) if second % 10 == 0 else _standing())
    return Seen(verdict="one alert" if len(told) == 1 else f"{len(told)} alerts")


EVIL = "/tmp/x\r\naffirming\x1b[2J\x1b]0;title\x07\u202e[bold]<b>" + "y" * 5000
CLAIMS = {"label": "rack\n1\x1b[2J\u202e", "note": "<script>alert(1)</script>"}


def _written(*texts: str) -> Seen:
    """Whether a control character or a direction mark got through."""
    bad = {each for text in texts for each in text if each in "\x1b\r\x07\u202e\u2028"}
    return Seen(verdict="escaped" if not bad else "written", detail=", ".join(map(repr, bad)))


@WORDS.attack("escaped")
def on_the_terminal(scene: Scene) -> Seen:
    """Paths and labels with line breaks, escape sequences and marks of direction, in the table and on the page."""
    standing = _standing(**BAD, unexpected=(EVIL,), unexpected_total=1, claims=CLAIMS)
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    rows = select([standing], Selection(), {})
    console.print(table_of(rows, NOW_S * US, {}))
    shown = console.file.getvalue() if isinstance(console.file, io.StringIO) else ""
    assert "contraindicated" in shown
    return _written(shown, text_of(standing, NOW_S * US))


@WORDS.attack("escaped")
def in_an_alert(scene: Scene) -> Seen:
    """The same in the text and the body of an alert."""
    ledger = _ledger()
    standing = _standing(**BAD, unexpected=(EVIL,), unexpected_total=1, claims=CLAIMS)
    batch = ledger.tick([standing], {ALICE: b"ey.token"}, NOW_S, 0.0)
    alert = batch.outgoing[0].alert
    body = webhook_body(alert).decode("ascii")
    assert len(alert.summary) < 1000
    return _written(alert.summary, body)
