"""The dashboard's knowledge about a fleet: views, history, bounds, and the limits of strangers."""

import json
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relying_party.dashboard import fleet as fleet_module
from relying_party.dashboard.feed import Feed
from relying_party.dashboard.fleet import MAX_CHANGES, MAX_STRANGERS, Fleet, View
from relying_party.dashboard.handle_watch import HandleWatch
from relying_party.dashboard.process_status import state_of
from relying_party.dashboard.rows import COLUMNS, detail_of, row_json
from relying_party.dashboard.series import Series
from relying_party.dashboard.settings import DashboardSettings
from relying_party.result_board import result_keys
from schemas.codecs import cose
from schemas.identifiers import Ueid, ueid_text
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.fakes.relying_party import (
    ALICE,
    BOB,
    NOW_S,
    STRANGERS_KEY,
    TOPICS,
    VERIFIER_KEY,
    message_of,
    result_about,
)

US = 1_000_000
NOW_US = NOW_S * US
WARNING = {TrustClaim.EXECUTABLES: 33}
BAD = {TrustClaim.EXECUTABLES: 96}


def make_fleet() -> Fleet:
    key = VERIFIER_KEY.public_key()
    return Fleet(result_keys({cose.key_id(key): key}))


def take(fleet: Fleet, result: AttestationResult, at_s: int = NOW_S) -> None:
    fleet.take(TOPICS.results(result.ueid), message_of(result), at_s * US)


def forge(fleet: Fleet, ueid: Ueid = ALICE, at_s: int = NOW_S) -> None:
    fleet.take(TOPICS.results(ueid), message_of(result_about(ueid), STRANGERS_KEY), at_s * US)


def view(fleet: Fleet, ueid: Ueid = ALICE, at_s: int = NOW_S) -> View:
    device = fleet.device(ueid)
    assert device is not None
    return fleet.view(device, at_s)


def row(fleet: Fleet, ueid: Ueid = ALICE) -> dict[str, object]:
    device = fleet.device(ueid)
    assert device is not None
    return dict(zip(COLUMNS, json.loads(row_json(fleet, device)), strict=True))


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (result_about(), View.AFFIRMING),
        (result_about(status=Tier.WARNING, vector=WARNING), View.WARNING),
        (result_about(status=Tier.CONTRAINDICATED, vector=BAD), View.CONTRAINDICATED),
        (result_about(status=Tier.NONE, vector={}), View.NONE),
        (result_about(status=Tier.NONE, vector={}, freshness=Freshness.STALE), View.STALE),
        (result_about(status=Tier.NONE, vector={}, freshness=Freshness.PENDING), View.NONE),
    ],
)
def test_a_result_in_force_is_shown_as_it_says_and_as_stale_once_it_has_expired(
    result: AttestationResult, expected: View
) -> None:
    fleet = make_fleet()
    take(fleet, result)
    assert view(fleet) is expected
    assert view(fleet, at_s=result.expires_s) is View.STALE


def test_a_message_that_does_not_verify_takes_the_affirmation_away_until_the_next_result() -> None:
    fleet = make_fleet()
    take(fleet, result_about())
    forge(fleet, at_s=NOW_S + 1)
    assert view(fleet) is View.UNVERIFIED
    assert row(fleet)["refused_code"] == Reason.RESULT_SIGNATURE_INVALID
    assert (row(fleet)["refused"], row(fleet)["refused_at"]) == (1, NOW_S + 1)
    take(fleet, result_about(issued_s=NOW_S + 2, received_us=NOW_US + 2 * US))
    assert view(fleet) is View.AFFIRMING
    assert row(fleet)["refused"] == 1, "it happened, and stays visible"


@pytest.mark.parametrize(("tier", "vector"), [(Tier.WARNING, WARNING), (Tier.CONTRAINDICATED, BAD)])
def test_a_stranger_cannot_clear_a_finding_from_the_screen(tier: Tier, vector: dict[TrustClaim, int]) -> None:
    fleet = make_fleet()
    take(fleet, result_about(status=tier, vector=vector))
    forge(fleet)
    assert view(fleet).value == tier.value
    assert (row(fleet)["refused"], row(fleet)["refused_code"]) == (1, Reason.RESULT_SIGNATURE_INVALID)


def test_a_true_result_of_before_repeated_is_told_and_changes_nothing() -> None:
    fleet = make_fleet()
    old = result_about()
    take(fleet, old)
    take(fleet, result_about(issued_s=NOW_S + 5, received_us=NOW_US + 5 * US), NOW_S + 5)
    take(fleet, old, NOW_S + 6)
    assert view(fleet) is View.AFFIRMING
    assert row(fleet)["refused_code"] == Reason.OBJECT_ROLLED_BACK
    forge(fleet, at_s=NOW_S + 7)
    take(fleet, old, NOW_S + 8)
    assert view(fleet) is View.UNVERIFIED, "nor does it answer a message that did not verify"
    assert row(fleet)["refused_code"] == Reason.RESULT_SIGNATURE_INVALID, "nor does it cover its code"
    assert row(fleet)["refused"] == 3


def test_a_device_known_by_strangers_alone_is_unverified() -> None:
    fleet = make_fleet()
    forge(fleet, BOB)
    assert view(fleet, BOB) is View.UNVERIFIED
    assert row(fleet, BOB)["status"] == ""
    assert row(fleet, BOB)["label"] == "", "not even what it calls itself is taken from a stranger"
    take(fleet, result_about(BOB))
    assert view(fleet, BOB) is View.AFFIRMING


def test_strangers_fill_their_places_and_no_more() -> None:
    fleet = make_fleet()
    take(fleet, result_about(BOB))
    known = fleet.revision
    for number in range(MAX_STRANGERS + 50):
        forge(fleet, Ueid(b"\x01" + number.to_bytes(32, "big")))
    assert len(fleet) == MAX_STRANGERS + 1
    assert view(fleet, BOB) is View.AFFIRMING
    news = fleet.since(known)
    assert news is not None
    changed, gone = news
    assert (len(changed), len(gone)) == (MAX_STRANGERS, 50)
    assert fleet.refused == {Reason.RESULT_SIGNATURE_INVALID: MAX_STRANGERS + 50}


def test_a_reader_that_missed_what_is_gone_must_begin_again() -> None:
    fleet = make_fleet()
    forge(fleet)
    known = fleet.revision
    for number in range(MAX_STRANGERS + fleet_module.MAX_GONE + 10):
        forge(fleet, Ueid(b"\x02" + number.to_bytes(32, "big")))
    assert fleet.since(known) is None
    assert fleet.since(fleet.revision + 1) is None, "of another process"
    assert fleet.since(fleet.revision) == ([], [])


def test_tokens_of_strangers_are_kept_for_few_and_small_ones_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "MAX_REFUSED_TOKENS", 2)
    fleet = make_fleet()
    ueids = [Ueid(b"\x01" + bytes([number]) * 32) for number in range(3)]
    for ueid in ueids:
        forge(fleet, ueid)
    kept = [device.refusal is not None and device.refusal.token is not None for device in fleet.devices()]
    assert kept == [False, True, True]
    huge = message_of(result_about(claims={"x": "y" * fleet_module.MAX_REFUSED_TOKEN_BYTES}), STRANGERS_KEY)
    fleet.take(TOPICS.results(ueids[2]), huge, NOW_US)
    device = fleet.device(ueids[2])
    assert device is not None
    assert device.refusal is not None
    assert device.refusal.token is None


def test_nonsense_and_topics_of_nobody_are_counted() -> None:
    fleet = make_fleet()
    dice = random.Random(7)
    for _ in range(200):
        fleet.take(TOPICS.results(ALICE), dice.randbytes(dice.randint(0, 80)), NOW_US)
    fleet.take("attestream/v1/results/nobody!", b"x", NOW_US)
    assert sum(fleet.refused.values()) == 201
    assert fleet.refused[Reason.MALFORMED] > 190
    assert len(fleet) == 1
    assert view(fleet) is View.UNVERIFIED


def test_what_has_expired_is_noted_without_a_message_and_once() -> None:
    fleet = make_fleet()
    take(fleet, result_about(expires_s=NOW_S + 10))
    take(fleet, result_about(issued_s=NOW_S + 5, expires_s=NOW_S + 20, received_us=NOW_US + 5 * US))
    fleet.expire(NOW_S + 10)
    device = fleet.device(ALICE)
    assert device is not None
    assert len(device.changes) == 1, "a later result took its place"
    revision = fleet.revision
    fleet.expire(NOW_S + 20)
    fleet.expire(NOW_S + 30)
    assert [change.reasons for change in device.changes] == [(), (Reason.RESULT_EXPIRED,)]
    assert device.changes[-1].at_s == NOW_S + 20
    assert fleet.revision == revision + 1
    take(fleet, result_about(issued_s=NOW_S + 40, expires_s=NOW_S + 50, received_us=NOW_US + 40 * US), NOW_S + 40)
    fleet.expire(NOW_S + 50)
    assert len(device.changes) == 4


def test_a_history_has_changes_only_and_is_bounded() -> None:
    fleet = make_fleet()
    for number in range(3 * MAX_CHANGES):
        tier = Tier.WARNING if number % 2 else Tier.AFFIRMING
        vector = WARNING if number % 2 else {TrustClaim.INSTANCE_IDENTITY: 2}
        for half in (0, 500_000):
            received_us = NOW_US + number * US + half
            result = result_about(status=tier, vector=vector, issued_s=NOW_S + number, received_us=received_us)
            take(fleet, result, NOW_S + number)
    device = fleet.device(ALICE)
    assert device is not None
    assert len(device.changes) == MAX_CHANGES
    assert device.samples is not None
    assert len(list(device.samples.records())) <= fleet_module.RECENT_SAMPLES + fleet_module.EARLIER_SAMPLES


def test_a_viewer_is_not_told_claims_raw_results_or_files() -> None:
    fleet = make_fleet()
    secret = "only-for-auditors"
    result = result_about(
        unexpected=(secret,),
        unexpected_digests=("ab",),
        unexpected_total=1,
        claims={"kernel": secret},
        verified_claims={"loader": secret},
    )
    take(fleet, result)
    forge(fleet)
    device, handles = fleet.device(ALICE), HandleWatch(None)
    assert device is not None
    for_viewer = detail_of(fleet, device, handles, NOW_S, for_auditor=False)
    for_auditor = detail_of(fleet, device, handles, NOW_S, for_auditor=True)
    assert secret not in json.dumps(for_viewer)
    assert json.dumps(for_auditor).count(secret) == 3
    assert for_viewer["raw"] is None
    assert for_auditor["raw"]
    assert for_auditor["ueid"] == ueid_text(ALICE)


def test_a_series_keeps_the_newest_and_thins_out_the_rest() -> None:
    series = Series(fleet_module.TIMELINE, recent=10, earlier=10)
    for number in range(10_000):
        series.append(number, number, 0, 0, 0, 0, 0)
    records = list(series.records())
    times = [record[0] for record in records]
    assert len(records) <= 20
    assert times == sorted(set(times))
    assert times[0] == 0
    assert times[-10:] == list(range(9990, 10_000))
    assert all(record[1] == record[0] for record in records)
    assert series.newest() == records[-1]
    series.append(9_999, 1, 1, 1, 1, 1, 1)
    assert list(series.records()) == records, "time does not run back"


def test_what_a_stranger_wrote_is_shown_only_while_nothing_could_be_believed(tmp_path: Path) -> None:
    """The cause of a refusal may quote a stranger, so it is shown only to help an operator who named the wrong key."""
    keys = tmp_path / "verifier.pub"
    keys.write_bytes(VERIFIER_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    feed = Feed(DashboardSettings(verifier_keys=(keys,)))
    assert state_of(feed)["refused_why"] == ""
    forge(feed.fleet)
    assert state_of(feed)["refused_why"] == feed.fleet.refused_why != ""
    take(feed.fleet, result_about(BOB))
    forge(feed.fleet)
    state = state_of(feed)
    assert (state["refused_why"], state["refused"]) == ("", 2)
    assert state["refused_codes"] == {Reason.RESULT_SIGNATURE_INVALID: 2}


def test_a_device_out_of_service_leaves_the_page_when_its_last_result_ends() -> None:
    fleet = make_fleet()
    out = ("attester-decommissioned",)
    take(fleet, result_about(status=Tier.NONE, reasons=out, expires_s=NOW_S + 10))
    take(fleet, result_about(BOB, status=Tier.NONE, reasons=("evidence-overdue",), expires_s=NOW_S + 10))
    fleet.expire(NOW_S + 9)
    assert len(fleet) == 2
    revision = fleet.revision
    fleet.expire(NOW_S + 10)
    assert [device.ueid for device in fleet.devices()] == [BOB]
    changes = fleet.since(revision)
    assert changes is not None
    assert changes[1] == [ALICE]
    take(fleet, result_about(issued_s=NOW_S + 20, expires_s=NOW_S + 30), NOW_S + 20)
    assert view(fleet, at_s=NOW_S + 20) is View.AFFIRMING, "it may be readmitted"
