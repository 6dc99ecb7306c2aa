"""Deliveries to a real HTTP server that fails, hangs, drips, redirects or answers without end; and the queue."""

import sqlite3
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from relying_party.alerts.delivery import Receivers
from relying_party.alerts.http_post import Poster
from relying_party.alerts.ledger import Batch, Outgoing
from relying_party.alerts.receivers import QueueRunner, WebhookSender
from relying_party.alerts.rules import Headline, Reported
from relying_party.alerts.settings import WebhookSettings
from relying_party.alerts.store import MAX_FAILED, AlertStore
from relying_party.alerts.webhook_signature import parse_secret, signed_headers
from runtime.clock import monotonic_s, utc_s
from schemas.errors import ConfigError
from schemas.messages.alert import Alert, AlertKind, Condition
from tests.fakes.relying_party import ALICE
from tests.programs.alert_rig import SECRET, verified_by_hand
from tests.programs.http_receiver import HttpReceiver, http_receiver
from tests.programs.waiting import PATIENCE_S

BOTH = Receivers(queued=("ops",), stateful=("am",), max_queued=5)


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlertStore]:
    opened = AlertStore(tmp_path / "alerts.db")
    yield opened
    opened.close()


def alert(number: int = 1) -> Alert:
    return Alert(
        id=f"{number:032x}",
        kind=AlertKind.VERDICT,
        made_s=1_800_000_000,
        summary=f"summary {number}",
        next_step="look",
        ueid=ALICE,
        condition=Condition.STALE,
        token=b"ey.j.w",
    )


def batch(*alerts: Alert, opened: dict[str, Outgoing] | None = None, closed: tuple[str, ...] = ()) -> Batch:
    outgoing = tuple(Outgoing(alert=each) for each in alerts)
    return Batch(outgoing=outgoing, opened=opened or {}, closed=closed, reported=(), serial=len(alerts))


def runner_to(receiver: HttpReceiver, folder: Path, **more: float) -> QueueRunner:
    (folder / "secret").write_text(f"whsec_{SECRET}")
    settings = WebhookSettings(name="ops", url=receiver.url, secret_file=folder / "secret", timeout_s=0.5)
    return QueueRunner("ops", WebhookSender(settings), **more)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example in the specification: its id, time, body and secret give its signature."""
    key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "whsec_" + "A" * 200])
def test_a_secret_that_is_none_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_secret(text)
    assert len(text) < 8 or text not in refused.value.detail


def test_a_delivered_alert_leaves_the_queue(receiver: HttpReceiver, store: AlertStore, tmp_path: Path) -> None:
    store.commit({}, batch(alert()), BOTH, utc_s())
    assert runner_to(receiver, tmp_path).step(store) == 0.0
    assert verified_by_hand(receiver.received[0])["summary"] == "summary 1"
    assert store.depth("ops").queued == 0


def test_one_that_is_not_marked_is_sent_again_alike(receiver: HttpReceiver, store: AlertStore, tmp_path: Path) -> None:
    store.commit({}, batch(alert()), BOTH, utc_s())
    runner, due = runner_to(receiver, tmp_path), store.due("ops", utc_s())
    assert due is not None
    runner._sender.send(due.alert)  # killed here: the receiver has it, and the store does not know
    runner.step(store)
    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


@pytest.mark.parametrize(
    ("status", "outcome", "is_down", "never"),
    [
        (500, "failed", True, False),
        (429, "busy", True, False),
        (404, "refused", False, False),
        (410, "refused", False, True),
        (302, "redirected", False, False),
    ],
)
def test_answers_are_told_apart(receiver: HttpReceiver, status: int, outcome: str, is_down: bool, never: bool) -> None:
    with http_receiver() as inside:
        receiver.answer = lambda _: (status, {"Location": inside.url, "Retry-After": "7"})
        answer = Poster(receiver.url, timeout_s=5.0, ca_file=None).post(b"{}", {}, utc_s())
        assert (answer.outcome, answer.is_down, answer.never) == (outcome, is_down, never)
        assert answer.retry_after_s == (None if status == 302 else 7.0)
        assert inside.received == [], "no redirect is followed"
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("999999999", 3600.0),
        ("9" * 5000, None),
        ("-5", None),
        ("soon", None),
    ],
)
def test_retry_after_is_a_number_a_date_or_nothing(receiver: HttpReceiver, text: str, seconds: float | None) -> None:
    receiver.answer = lambda _: (503, {"Retry-After": text})
    answer = Poster(receiver.url, timeout_s=5.0, ca_file=None).post(b"{}", {}, 1_445_412_480)
    assert answer.retry_after_s == seconds


def hangs(receiver: HttpReceiver) -> None:
    def hang(_: BaseHTTPRequestHandler) -> None:
        receiver.released.wait(PATIENCE_S)

    receiver.misbehave = hang


def drips(receiver: HttpReceiver) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not receiver.released.wait(0.1):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    receiver.misbehave = drip


@pytest.mark.parametrize("misbehave", [hangs, drips])
def test_a_receiver_that_never_ends_its_answer_is_left(
    receiver: HttpReceiver, misbehave: Callable[[HttpReceiver], None]
) -> None:
    misbehave(receiver)
    started_s = monotonic_s()
    answer = Poster(receiver.url, timeout_s=0.5, ca_file=None).post(b"{}", {}, utc_s())
    assert answer.outcome == "unreachable"
    assert monotonic_s() - started_s < 5


def test_an_answer_without_end_is_not_read(receiver: HttpReceiver) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not receiver.released.is_set():
            handler.wfile.write(bytes(1 << 16))

    receiver.misbehave = flood
    assert Poster(receiver.url, timeout_s=5.0, ca_file=None).post(b"{}", {}, utc_s()).delivered


def test_headers_without_end_are_not_read(receiver: HttpReceiver) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not receiver.released.is_set():
            handler.wfile.write(b"X-A: " + b"y" * 1000 + b"\r\n")

    receiver.misbehave = flood
    assert not Poster(receiver.url, timeout_s=5.0, ca_file=None).post(b"{}", {}, utc_s()).delivered


def test_a_receiver_that_is_down_is_left_alone_longer_each_time(
    receiver: HttpReceiver, store: AlertStore, tmp_path: Path
) -> None:
    receiver.answer = lambda _: (503, {})
    store.commit({}, batch(alert()), BOTH, utc_s())
    runner = runner_to(receiver, tmp_path, first_s=8.0, last_s=64.0)
    pauses = [runner.step(store) or 0.0 for _ in range(5)]
    for pause, full in zip(pauses, (8, 16, 32, 64, 64), strict=True):
        assert full / 2 <= pause <= full
    receiver.answer = lambda _: (204, {})
    assert runner.step(store) == 0.0
    assert store.depth("ops").queued == 0


def test_an_alert_that_is_refused_does_not_hold_up_the_next(
    receiver: HttpReceiver, store: AlertStore, tmp_path: Path
) -> None:
    receiver.answer = lambda number: (400, {}) if number == 1 else (204, {})
    store.commit({}, batch(alert(1), alert(2)), BOTH, utc_s())
    runner = runner_to(receiver, tmp_path, first_s=60.0)
    assert runner.step(store) == 0.0
    assert runner.step(store) == 0.0
    assert [each.json["data"]["summary"] for each in receiver.received] == ["summary 1", "summary 2"]
    assert runner.step(store) is None
    assert store.depth("ops").queued == 1


def test_what_is_given_up_is_kept_and_can_be_tried_again(
    receiver: HttpReceiver, store: AlertStore, tmp_path: Path
) -> None:
    receiver.answer = lambda _: (503, {})
    store.commit({}, batch(alert()), BOTH, utc_s() - 100)
    runner = runner_to(receiver, tmp_path, give_up_after_s=99.0)
    assert runner.step(store) == 0.0
    (given_up,) = store.failed()
    assert (given_up.alert.id, given_up.why) == (alert().id, "HTTP 503 Service Unavailable")
    assert store.retry_failed(utc_s()) == 1
    receiver.answer = lambda _: (204, {})
    assert runner.step(store) == 0.0
    assert store.failed() == []


def test_a_full_queue_gives_up_its_oldest(store: AlertStore) -> None:
    assert store.commit({}, batch(*map(alert, range(8))), BOTH, utc_s()) == ["ops"]
    assert store.depth("ops").queued == 5
    assert [each.alert.summary for each in store.failed()] == ["summary 0", "summary 1", "summary 2"]
    many = Receivers(queued=("ops",), stateful=(), max_queued=1)
    store.commit({}, batch(*map(alert, range(MAX_FAILED + 50))), many, utc_s())
    assert store.depth("ops").failed == MAX_FAILED


def test_what_ends_is_told_to_receivers_that_keep_state_unless_it_goes_on(store: AlertStore) -> None:
    stands = Outgoing(alert=alert(1))
    store.commit({}, batch(opened={"k": stands}), BOTH, utc_s())
    store.commit({}, batch(opened={"k": Outgoing(alert=alert(2))}), BOTH, utc_s())
    assert store.closed_alerts("am", 9) == []
    assert [found.id for _, found, _, _ in store.open_alerts()] == [alert(2).id]
    store.commit({}, batch(closed=("k",)), BOTH, utc_s())
    (ended,) = store.closed_alerts("am", 9)
    assert ended.ends_s > ended.starts_s
    store.forget_closed([ended.number])
    assert store.open_alerts() == []
    assert store.closed_alerts("am", 9) == []


def test_all_of_a_moment_is_stored_or_nothing(store: AlertStore, tmp_path: Path) -> None:
    memory = Reported(
        ueid=ALICE, headline=Headline(condition=Condition.STALE, reasons=("evidence-overdue",)), rule="r", storm=True
    )
    whole = Batch(outgoing=(Outgoing(alert=alert()),), opened={}, closed=(), reported=(memory,), serial=4)
    store.commit({(ALICE, "v"): b"ey"}, whole, BOTH, utc_s())
    again = AlertStore(tmp_path / "alerts.db")
    assert (again.reported(), again.serial, list(again.tokens())) == ([memory], 4, [b"ey"])
    assert again.installation == store.installation
    again.close()


def test_a_file_that_is_no_such_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(ConfigError, match="database"):
        AlertStore(tmp_path / "x")
    AlertStore(tmp_path / "y").close()
    with sqlite3.connect(tmp_path / "y") as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(ConfigError, match="version 9, this software knows versions up to 1"):
        AlertStore(tmp_path / "y")
