"""The changes that are reported: flapping, holding, and changes that nobody can hide."""

from dataclasses import replace
from typing import Any

import pytest

from relying_party.alerts.alert_text import alertmanager_labels, webhook_body
from relying_party.alerts.ledger import AlertLedger, Batch
from relying_party.alerts.rules import (
    AFFIRMING,
    Change,
    Headline,
    Reported,
    Rule,
    condition_of,
    headline_of,
    judge,
    rule_for,
)
from relying_party.alerts.silence import Silence, SilenceSettings
from relying_party.alerts.storms import Storms, StormSettings
from relying_party.result_board import Standing, standing_of
from schemas.identifiers import Ueid
from schemas.messages.alert import AlertKind, Condition
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.fakes.relying_party import ALICE, NOW_S, result_about

RULE = Rule(name="all", hold_s=30.0)
CONTRAINDICATED: dict[str, Any] = {
    "status": Tier.CONTRAINDICATED,
    "vector": {TrustClaim.EXECUTABLES: 96},
    "reasons": ("file-unexpected", "rebooted"),
}
STALE: dict[str, Any] = {
    "status": Tier.NONE,
    "freshness": Freshness.STALE,
    "vector": {},
    "reasons": ("evidence-overdue",),
}


def standing(ueid: Ueid = ALICE, now_s: int = NOW_S, **changes: object) -> Standing:
    return standing_of(result_about(ueid, **{"expires_s": NOW_S + 10_000, **changes}), now_s)


def ueid(number: int) -> Ueid:
    return Ueid(b"\x01" + number.to_bytes(32, "big"))


class StoredLedger:
    """A ledger whose batches are stored at once, unless ``store`` is false."""

    def __init__(
        self, *rules: Rule, storm: StormSettings | None = None, reported: tuple[Reported, ...] = (), serial: int = 0
    ) -> None:
        self.silence = Silence(SilenceSettings(), (), 0.0)
        self.silence.connected(0.0, connected=True)
        self.silence.heard("verifier-1", NOW_S, 0.0)
        storms = Storms(storm or StormSettings(), (), 0.0)
        self.ledger = AlertLedger(rules or (RULE,), storms, self.silence, reported, b"i", serial)
        self.reported = {each.ueid: each for each in reported}
        self.serial = serial

    def at(self, second: int, *standings: Standing, store: bool = True) -> Batch:
        batch = self.ledger.tick(
            standings, {each.result.ueid: b"ey.token" for each in standings}, NOW_S + second, float(second)
        )
        if store:
            self.ledger.mark_stored(batch, float(second))
            self.reported |= {each.ueid: each for each in batch.reported}
            self.serial = batch.serial
        return batch

    def kinds(self, second: int, *standings: Standing) -> list[AlertKind]:
        return [each.alert.kind for each in self.at(second, *standings).outgoing if each.is_wanted]

    def after_a_kill(self) -> "StoredLedger":
        return StoredLedger(reported=tuple(self.reported.values()), serial=self.serial)


@pytest.mark.parametrize(
    ("changes", "condition"),
    [
        ({}, Condition.AFFIRMING),
        (CONTRAINDICATED, Condition.CONTRAINDICATED),
        (CONTRAINDICATED | {"freshness": Freshness.STALE}, Condition.CONTRAINDICATED),
        (STALE, Condition.STALE),
        (STALE | {"freshness": Freshness.PENDING}, Condition.UNDECIDED),
        (STALE | {"freshness": Freshness.UNSYNCHRONISED}, Condition.UNDECIDED),
        (STALE | {"freshness": Freshness.CONTRADICTED}, Condition.CONTRADICTED),
        (STALE | {"freshness": Freshness.FRESH}, Condition.UNDECIDED),
        ({"status": Tier.WARNING}, Condition.WARNING),
        ({"freshness": Freshness.PENDING}, Condition.UNDECIDED),
    ],
)
def test_the_condition_is_the_worst_that_is_said(changes: dict[str, Any], condition: Condition) -> None:
    assert condition_of(standing(**changes)) is condition


def test_what_is_only_told_is_no_change_unless_a_policy_lets_it_decide() -> None:
    assert headline_of(standing(**CONTRAINDICATED)).reasons == ("file-unexpected",)
    weighed = standing(**CONTRAINDICATED | {"reasons": ("rebooted", "resumed")})
    assert headline_of(weighed).reasons == ("rebooted",)
    assert headline_of(standing(reasons=("rebooted",))) == AFFIRMING


def test_contraindicated_is_told_at_once_whatever_the_hold() -> None:
    ledger = StoredLedger()
    (told,) = ledger.at(0, standing(**CONTRAINDICATED)).outgoing
    assert (told.alert.kind, told.alert.condition, told.alert.token) == (
        AlertKind.VERDICT,
        Condition.CONTRAINDICATED,
        b"ey.token",
    )
    assert ledger.kinds(1, standing(**CONTRAINDICATED)) == []


def test_stale_is_held_and_what_comes_back_in_time_was_nothing() -> None:
    ledger = StoredLedger()
    assert ledger.kinds(0, standing(**STALE)) == []
    assert ledger.ledger.waiting() == [ALICE]
    assert ledger.kinds(29, standing()) == []
    assert ledger.ledger.waiting() == []
    assert ledger.kinds(30, standing(**STALE)) == []
    assert ledger.kinds(59, standing(**STALE)) == []
    assert ledger.kinds(60, standing(**STALE)) == [AlertKind.VERDICT]


def test_flapping_is_one_alert_and_one_recovery() -> None:
    ledger, told = StoredLedger(), []
    for second in range(0, 100, 5):
        flapping = standing(**CONTRAINDICATED) if second % 10 == 0 else standing()
        told += ledger.kinds(second, flapping)
    assert told == [AlertKind.VERDICT]
    for second in range(100, 140, 5):
        told += ledger.kinds(second, standing())
    assert told == [AlertKind.VERDICT, AlertKind.RECOVERED]


def test_being_different_in_other_ways_does_not_start_the_hold_anew() -> None:
    ledger = StoredLedger()
    assert ledger.kinds(0, standing(**STALE)) == []
    assert ledger.kinds(20, standing(**STALE | {"reasons": ("handle-expired",)})) == []
    assert ledger.kinds(30, standing(**STALE)) == [AlertKind.VERDICT]


@pytest.mark.parametrize("undecided", [STALE, STALE | {"freshness": Freshness.PENDING}])
def test_falling_silent_takes_nothing_back(undecided: dict[str, Any]) -> None:
    rule = Rule(name="bad only", to=frozenset({Condition.CONTRAINDICATED}))
    ledger = StoredLedger(rule)
    assert ledger.kinds(0, standing(**CONTRAINDICATED)) == [AlertKind.VERDICT]
    batch = ledger.at(100, standing(**undecided))
    assert batch.is_empty
    assert ledger.kinds(200, standing()) == [AlertKind.RECOVERED]


def test_an_expired_result_is_a_stale_one() -> None:
    ledger = StoredLedger(replace(RULE, hold_s=0.0))
    batch = ledger.at(500, standing(now_s=NOW_S + 500, expires_s=NOW_S + 499))
    assert batch.outgoing[0].alert.condition is Condition.STALE
    assert batch.outgoing[0].alert.reasons == ("result-expired",)


def test_other_reasons_are_told_if_wanted_and_held() -> None:
    other = standing(**CONTRAINDICATED | {"reasons": ("secure-boot-off",)})
    ledger = StoredLedger()
    assert ledger.kinds(0, standing(**CONTRAINDICATED)) == [AlertKind.VERDICT]
    assert ledger.kinds(1, other) == []
    assert ledger.kinds(31, other) == [AlertKind.VERDICT]
    quiet = StoredLedger(replace(RULE, reasons=False, hold_s=0.0))
    assert quiet.kinds(0, standing(**CONTRAINDICATED)) == [AlertKind.VERDICT]
    assert quiet.kinds(1, other) == []


def test_a_recovery_that_nobody_wants_told_still_ends_what_stands() -> None:
    ledger = StoredLedger(replace(RULE, recovery=False, hold_s=0.0))
    opened = ledger.at(0, standing(**CONTRAINDICATED)).opened
    batch = ledger.at(1, standing())
    assert [each.is_wanted for each in batch.outgoing] == [False]
    assert set(batch.closed) == set(opened)


def test_after_a_kill_the_same_is_not_said_again_and_what_was_not_stored_is() -> None:
    ledger = StoredLedger()
    first = ledger.at(0, standing(**CONTRAINDICATED), store=False)
    again = ledger.at(1, standing(**CONTRAINDICATED))
    assert len(first.outgoing) == len(again.outgoing) == 1
    restarted = ledger.after_a_kill()
    assert restarted.kinds(2, standing(**CONTRAINDICATED)) == []
    (other,) = restarted.at(3, standing(ueid(7), **CONTRAINDICATED)).outgoing
    assert other.alert.id != again.outgoing[0].alert.id


def test_a_clock_set_back_holds_nothing_for_ever() -> None:
    reported = Reported(ueid=ALICE, differs_since_s=NOW_S + 86_400)
    _, change = judge(reported, standing(**STALE), RULE, NOW_S)
    assert isinstance(change, Change)


def test_rules_are_by_policy_and_attester_and_a_result_without_a_policy_slips_through_none() -> None:
    fleet, rest = Rule(name="fleet", policies=("fleet",)), Rule(name="rest", attesters=("AWFh",))
    for policies, name in ((("fleet/3",), "fleet"), (("fleet",), "fleet"), ((), "fleet"), (("lab/1",), "rest")):
        rule = rule_for((fleet, rest), result_about(policies=policies))
        assert rule is not None
        assert rule.name == name
    assert rule_for((fleet, rest), result_about(ueid(1), policies=("lab/1",))) is None


def test_thousands_at_once_are_one_alert_and_its_end_another() -> None:
    ledger = StoredLedger(replace(RULE, hold_s=0.0), storm=StormSettings(attesters=5, window_s=60.0))
    fleet = [ueid(number) for number in range(3000)]
    (storm,) = ledger.at(0, *(standing(each, **STALE) for each in fleet)).outgoing
    assert (storm.alert.kind, storm.alert.count, storm.alert.condition) == (AlertKind.STORM, 3000, Condition.STALE)
    assert len(storm.alert.attesters) == 20
    assert ledger.kinds(70, *(standing(each, **STALE) for each in fleet)) == []
    batch = ledger.at(140, *(standing(each) for each in fleet[2:]))
    assert [each.alert.kind for each in batch.outgoing] == [AlertKind.STORM_OVER]
    assert batch.outgoing[0].alert.count == 2
    assert len(batch.opened) == 2, "the two that remain stand for themselves"
    assert ledger.kinds(150, standing(fleet[0])) == [AlertKind.RECOVERED]


def test_a_storm_that_gathers_slowly_counts_those_told_before_it() -> None:
    ledger = StoredLedger(replace(RULE, hold_s=0.0), storm=StormSettings(attesters=5, window_s=60.0))
    told = [ledger.at(second, standing(ueid(second), **STALE)) for second in range(5)]
    assert [len(batch.outgoing) for batch in told] == [1] * 5
    (storm,) = ledger.at(6, standing(ueid(6), **STALE)).outgoing
    assert (storm.alert.kind, storm.alert.count) == (AlertKind.STORM, 6)
    assert ledger.kinds(10, *(standing(ueid(number), **STALE) for number in range(100, 200))) == []
    assert ledger.at(70).outgoing[0].alert.count == 106


def test_a_storm_of_stale_ones_hides_no_contraindicated_one() -> None:
    ledger = StoredLedger(replace(RULE, hold_s=0.0), storm=StormSettings(attesters=5, window_s=60.0))
    batch = ledger.at(0, *(standing(ueid(number), **STALE) for number in range(100)), standing(**CONTRAINDICATED))
    assert [each.alert.kind for each in batch.outgoing] == [AlertKind.VERDICT, AlertKind.STORM]
    later = ledger.at(1, standing(ueid(50), **CONTRAINDICATED))
    assert [each.alert.ueid for each in later.outgoing] == [ueid(50)]


def test_what_an_attester_says_of_itself_reaches_no_label_and_no_control_character_gets_out() -> None:
    nasty = standing(
        **CONTRAINDICATED | {"unexpected": ("/x\r\nX-Evil: 1\x1b[2J" + "y" * 5000,), "claims": {"label": "a\nb\u202e"}}
    )
    (told,) = StoredLedger().at(0, nasty).outgoing
    assert told.alert.summary.isprintable()
    assert len(told.alert.summary) < 1000
    assert webhook_body(told.alert).isascii()
    assert set(alertmanager_labels(told.alert)) == {
        *("alertname", "severity", "service", "ueid", "condition", "verifier", "rule")
    }


def test_headlines_that_are_the_same_are_equal() -> None:
    assert headline_of(standing(**STALE)) == Headline(condition=Condition.STALE, reasons=("evidence-overdue",))
