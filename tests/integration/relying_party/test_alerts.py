"""The alert service on a real broker: alerts arrive with their proof, once, also after a kill or a lost broker."""

import signal
from pathlib import Path
from typing import Any

import pytest

from relying_party.results import Results
from runtime.clock import utc_s
from schemas import media_types
from schemas.codecs import cmw
from schemas.identifiers import ueid_text
from schemas.messages.alert import AlertKind, Condition, parse_unverified_alert
from schemas.topics import Topics
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.fakes.relying_party import ALICE, BOB
from tests.programs.alert_rig import AlertRig, verified_by_hand, webhook
from tests.programs.http_receiver import Received, http_receiver
from tests.programs.mosquitto import free_port, running_mosquitto
from tests.programs.mqtt_client import listening

pytestmark = pytest.mark.needs("mosquitto")
QUICK = '[[rules]]\nname = "all"\nhold_s = 0.5\n'

BAD: dict[str, Any] = {
    "status": Tier.CONTRAINDICATED,
    "vector": {TrustClaim.EXECUTABLES: 96},
    "reasons": ("file-unexpected",),
    "unexpected": ("/usr/bin/evil",),
}


def once(requests: list[Received]) -> list[Received]:
    """De-duplicates like a receiver: delivery is at least once, and the id stays the same."""
    return list({each.headers["webhook-id"]: each for each in requests}.values())


def test_a_change_is_told_signed_and_proved(tmp_path: Path) -> None:
    with (
        running_mosquitto(tmp_path) as broker,
        http_receiver() as receiver,
        listening(broker.port, Topics().all_alerts) as client,
    ):
        rig = AlertRig(tmp_path, broker.port, tables=QUICK + webhook("ops", receiver.url))
        with rig.running():
            client.publish(*rig.result(), retain=True)
            client.publish(*rig.result(issued_s=utc_s() + 1, **BAD), retain=True)
            (told,) = receiver.wait_for(lambda all_: len(all_) == 1, "the webhook")
            heard = client.wait_for(lambda messages: len(messages) == 1, "the topic")
            client.publish(*rig.result(issued_s=utc_s() + 2, expires_s=utc_s() + 400), retain=True)
            recovered = receiver.wait_for(lambda all_: len(all_) == 2, "the recovery")
        assert rig.log().count(" error ") == 0
    data = verified_by_hand(told)
    assert (data["kind"], data["condition"], data["before"]) == ("verdict", "contraindicated", "affirming")
    assert data["ueid"] == ueid_text(ALICE)
    assert "/usr/bin/evil" in str(data["summary"])
    attested = Results.from_files(tmp_path / "verifier.pub").verify(str(data["result"]).encode(), ueid=ALICE)
    assert attested.result.status is Tier.CONTRAINDICATED
    topic, payload = heard[0]
    alert = parse_unverified_alert(cmw.unwrap(payload, media_types.ALERT, None))
    assert topic == Topics().alerts(ALICE)
    assert (alert.id, alert.kind, alert.condition) == (data["id"], AlertKind.VERDICT, Condition.CONTRAINDICATED)
    assert alert.token == str(data["result"]).encode()
    assert verified_by_hand(recovered[1])["kind"] == "recovered"


def test_killed_between_store_and_send_it_delivers_the_same_alert_once_more(tmp_path: Path) -> None:
    port = free_port()
    with running_mosquitto(tmp_path) as broker, listening(broker.port, Topics().all_alerts) as client:
        rig = AlertRig(tmp_path, broker.port, tables=QUICK + webhook("ops", f"http://127.0.0.1:{port}/hook"))
        with rig.running(signal.SIGKILL):  # no receiver listens there: the stored alert is not sent
            client.publish(*rig.result(**BAD), retain=True)
            (message,) = client.wait_for(lambda messages: len(messages) == 1, "the alert is stored")
        identity = parse_unverified_alert(cmw.unwrap(message[1], media_types.ALERT, None)).id
        with http_receiver(port) as receiver, rig.running():
            (told,) = receiver.wait_for(lambda all_: len(all_) == 1, "the webhook")
            assert told.headers["webhook-id"] == identity
            client.publish(*rig.result(BOB, **BAD), retain=True)
            everything = receiver.wait_for(lambda all_: len(all_) == 2, "the next alert")
    assert [each.json["data"]["ueid"] for each in everything] == [ueid_text(ALICE), ueid_text(BOB)]


def test_what_changed_while_it_was_away_is_told_and_nothing_else(tmp_path: Path) -> None:
    with (
        running_mosquitto(tmp_path) as broker,
        http_receiver() as receiver,
        listening(broker.port, Topics().all_alerts) as client,
    ):
        rig = AlertRig(tmp_path, broker.port, tables=QUICK + webhook("ops", receiver.url))
        with rig.running(signal.SIGKILL):
            client.publish(*rig.result(**BAD), retain=True)
            receiver.wait_for(lambda all_: len(all_) == 1, "the first")
            client.wait_for(lambda messages: len(messages) == 1, "the first")
        good_once = rig.result(issued_s=utc_s() - 100)
        client.publish(*rig.result(BOB, **BAD), retain=True)
        client.publish(*good_once, retain=True)  # an older good result, retained by a stranger
        with rig.running():
            receiver.wait_for(lambda all_: len(once(all_)) == 2, "the second")
            client.publish(*rig.result(BOB, issued_s=utc_s() + 5, **BAD | {"reasons": ("secure-boot-off",)}))
            told = receiver.wait_for(lambda all_: len(once(all_)) == 3, "the third")
    assert [each.json["data"]["ueid"] for each in once(told)] == [ueid_text(each) for each in (ALICE, BOB, BOB)]


def test_results_of_strangers_are_told_as_that_and_move_no_verdict(tmp_path: Path) -> None:
    with (
        running_mosquitto(tmp_path) as broker,
        http_receiver() as receiver,
        listening(broker.port, Topics().all_alerts) as client,
    ):
        rig = AlertRig(tmp_path, broker.port, tables=QUICK + webhook("ops", receiver.url))
        (tmp_path / "stranger").mkdir()
        stranger = AlertRig(tmp_path / "stranger", broker.port)
        with rig.running():
            rig.wait_subscribed(client)
            for _ in range(300):
                client.publish_soon(*stranger.result(**BAD))
            client.publish(Topics().results(ALICE), b"\xff")
            told = receiver.wait_for(lambda all_: len(all_) == 2, "the alert about strangers")[1]
            client.publish(*rig.result(BOB, **BAD))
            told_next = receiver.wait_for(lambda all_: len(all_) == 3, "the alert about Bob")[2]
    assert told.json["data"]["kind"] == "results-unverified"
    assert told.json["data"]["condition"] is None
    assert told.json["data"]["result"] is None
    assert told_next.json["data"]["ueid"] == ueid_text(BOB)


def test_a_result_that_expires_is_told_as_stale(tmp_path: Path) -> None:
    with (
        running_mosquitto(tmp_path) as broker,
        http_receiver() as receiver,
        listening(broker.port, Topics().all_alerts) as client,
    ):
        rig = AlertRig(tmp_path, broker.port, tables=QUICK + webhook("ops", receiver.url))
        with rig.running():
            client.publish(*rig.result(expires_s=utc_s() + 2), retain=True)
            (told,) = receiver.wait_for(lambda all_: len(all_) == 1, "the expiry")
    assert told.json["data"]["condition"] == Freshness.STALE
    assert told.json["data"]["reasons"][0]["code"] == "result-expired"


def test_a_lost_broker_is_told_and_not_as_a_thousand_stale_attesters(tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    with http_receiver() as receiver:
        with running_mosquitto(tmp_path / "broker") as broker, listening(broker.port) as client:
            rig = AlertRig(
                tmp_path,
                broker.port,
                top="publish = false",
                silence="broker_s = 1.0",
                tables=QUICK + webhook("ops", receiver.url),
            )
            running = rig.running()
            running.__enter__()
            try:
                client.publish(*rig.result(expires_s=utc_s() + 6), retain=True)
                client.publish(*rig.result(BOB, **BAD), retain=True)
                receiver.wait_for(lambda all_: len(all_) == 1, "the alert about Bob")
            except BaseException:
                running.__exit__(None, None, None)
                raise
        try:
            told = receiver.wait_for(lambda all_: len(all_) == 2, "the lost broker")
            receiver_count = len(told)
            with running_mosquitto(tmp_path / "broker", port=broker.port):
                told = receiver.wait_for(lambda all_: len(all_) >= 4, "the broker is back, and Alice expired", 60)
        finally:
            running.__exit__(None, None, None)
    assert receiver_count == 2
    kinds = [each.json["data"]["kind"] for each in told]
    assert kinds[:3] == ["verdict", "broker-lost", "broker-back"]
    assert told[3].json["data"]["ueid"] == ueid_text(ALICE)
