"""The receivers of alerts. Each has a queue in the store and a thread, so a dead receiver does not delay the others.

Delivery is at least once: an alert is removed from the queue after the receiver has it. If the process is killed in
between, the alert is sent again under the same id. A receiver that is down is left alone for a while, longer each time.
An alert that it refuses is tried again later, and the alerts after it are not held up; only then is the order changed.
"""

import json
import queue
from pathlib import Path
from typing import Final, Protocol

from prometheus_client import Counter

from relying_party.alerts.alert_text import MAX_BODY_BYTES, alertmanager_alert, webhook_body
from relying_party.alerts.delivery import Delivery
from relying_party.alerts.http_post import Answer, Poster
from relying_party.alerts.settings import MQTT_RECEIVER, AlertmanagerSettings, WebhookSettings
from relying_party.alerts.store import AlertStore
from relying_party.alerts.webhook_signature import parse_secret, signed_headers
from runtime import clock
from runtime.keys import read_file
from runtime.mqtt import MqttConnection, MqttSettings, Session
from runtime.service import Backoff
from runtime.settings import naming
from runtime.telemetry import Logger
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import ConfigError
from schemas.messages.alert import Alert, AlertKind, encode_alert

_LOG: Final = Logger("alerts")
DELIVERIES: Final = Counter(
    "attestream_alert_deliveries_total", "Tries to deliver an alert by what became of them", ["receiver", "outcome"]
)
_CONFIRM_S: Final = 10.0
_AM_BATCH: Final = 100  # alerts in one request
_AM_CLOSED: Final = 1000
_TEST_OPEN_S: Final = 300
_MAX_SECRET_BYTES: Final = 1024


class Sender(Protocol):
    """Tries once to deliver an alert to one receiver. Never raises for a receiver's behaviour: returns the outcome."""

    def send(self, alert: Alert) -> Answer:
        """Tries once."""


class WebhookSender:
    """POSTs signed alerts."""

    def __init__(self, settings: WebhookSettings) -> None:
        """Reads the secret.

        Raises:
            ConfigError: a file is missing or has the wrong content.
        """
        self._key = _secret(settings.secret_file)
        self._poster = Poster(settings.url, timeout_s=settings.timeout_s, ca_file=settings.ca_file)

    def send(self, alert: Alert) -> Answer:
        """Tries once."""
        body, now_s = webhook_body(alert), clock.utc_s()
        if len(body) > MAX_BODY_BYTES:
            return Answer(delivered=False, outcome="refused", why=f"{len(body)} bytes of body", never=True)
        return self._poster.post(body, signed_headers(self._key, alert.id, now_s, body), now_s)


class TopicSender:
    """Publishes alerts on the broker, at least once, not retained."""

    def __init__(self, settings: MqttSettings) -> None:
        """Connects in the background at :meth:`start`."""
        self._topics = settings.topics
        self._confirmed: queue.SimpleQueue[int] = queue.SimpleQueue()
        session = Session(client_id=f"relying-party-alerts-{clock.random_bytes(6).hex()}")
        self._connection = MqttConnection(settings, session, on_published=self._confirmed.put)

    def start(self) -> None:
        """Connects."""
        self._connection.start()

    def stop(self) -> None:
        """Disconnects."""
        self._connection.stop()

    def send(self, alert: Alert) -> Answer:
        """Publishes, and waits until the broker confirms."""
        topic = self._topics.fleet_alerts if alert.ueid is None else self._topics.alerts(alert.ueid)
        packet_id = self._connection.publish(topic, cmw.wrap(media_types.ALERT, encode_alert(alert), None))
        if packet_id is None:
            return Answer(delivered=False, outcome="unreachable", why="not connected to the broker", is_down=True)
        deadline_s = clock.monotonic_s() + _CONFIRM_S
        while (left_s := deadline_s - clock.monotonic_s()) > 0:
            try:
                if self._confirmed.get(timeout=left_s) == packet_id:
                    return Answer(delivered=True, outcome="delivered")
            except queue.Empty:
                break
        return Answer(delivered=False, outcome="unreachable", why="the broker did not confirm", is_down=True)


class QueueRunner:
    """Delivers one receiver's queue. Owned by its thread."""

    def __init__(
        self,
        name: str,
        sender: Sender,
        *,
        first_s: float = 1.0,
        last_s: float = 60.0,
        give_up_after_s: float = 86_400.0,
    ) -> None:
        """Sends nothing yet.

        Args:
            name: of the receiver.
            sender: tries once.
            first_s: the shortest pause between tries.
            last_s: the longest.
            give_up_after_s: age at which an undelivered alert is given up.
        """
        self.name: Final = name
        self._sender, self._first_s, self._last_s, self._give_up_after_s = sender, first_s, last_s, give_up_after_s
        self._backoff = Backoff(first_s, last_s)

    def step(self, store: AlertStore) -> float | None:
        """Tries the alert that is due; returns how many seconds to pause, None when no alert is due.

        Raises:
            WorldError: ``store-unavailable``.
        """
        delivery = store.due(self.name, clock.utc_s())
        if delivery is None:
            return None
        answer = self._sender.send(delivery.alert)
        DELIVERIES.labels(self.name, answer.outcome).inc()
        if answer.delivered:
            store.delivered(delivery)
            self._backoff.reset()
            return 0.0
        return self._not_delivered(store, delivery, answer)

    def _not_delivered(self, store: AlertStore, delivery: Delivery, answer: Answer) -> float:
        now_s = clock.utc_s()
        fields = {"receiver": self.name, "alert": delivery.alert.id, "tries": delivery.tries + 1, "why": answer.why}
        if answer.never or now_s - delivery.made_s >= self._give_up_after_s:
            store.give_up(delivery, answer.why)
            DELIVERIES.labels(self.name, "given-up").inc()
            _LOG.error("alert-given-up", **fields)
            return 0.0
        if answer.is_down:
            pause_s = max(self._backoff.next_s(), answer.retry_after_s or 0.0)
            store.put_off(delivery, now_s, answer.why)
        else:  # only this alert is refused: later ones need not wait for it
            own = min(self._first_s * 2 ** min(delivery.tries, 30), self._last_s) * (1 - clock.random_fraction() / 2)
            store.put_off(delivery, now_s + max(1, round(max(own, answer.retry_after_s or 0.0))), answer.why)
            pause_s = 0.0
        _LOG.warning("alert-not-delivered", **fields)
        return pause_s


class AlertmanagerRunner:
    """Sends one Alertmanager all open alerts, repeatedly, and the closed ones. Owned by its thread."""

    def __init__(self, settings: AlertmanagerSettings) -> None:
        """Reads the bearer token.

        Raises:
            ConfigError: a file is missing or has the wrong content.
        """
        self.name: Final = settings.name
        self._settings = settings
        url = settings.url.rstrip("/") + "/api/v2/alerts"
        self._poster = Poster(url, timeout_s=settings.timeout_s, ca_file=settings.ca_file)
        self._headers = {}
        if settings.bearer_token_file is not None:
            with naming("bearer_token_file"):
                self._headers = {"authorization": f"Bearer {_one_line(settings.bearer_token_file)}"}
        self._backoff = Backoff(1.0, settings.resend_s)
        self._sent: dict[str, str] = {}  # id of the alert that Alertmanager has, by key
        self._resent_s = float("-inf")

    def step(self, store: AlertStore) -> float | None:
        """Sends new and closed alerts, or all open ones when that is due; returns a pause if it did not accept all.

        Raises:
            WorldError: ``store-unavailable``.
        """
        if not self._send(store):
            return self._backoff.next_s()
        self._backoff.reset()
        return None

    def _send(self, store: AlertStore) -> bool:
        now_s, monotonic_s = clock.utc_s(), clock.monotonic_s()
        everything = monotonic_s - self._resent_s >= self._settings.resend_s
        opened = {
            key: (alert, starts_s)
            for key, alert, receivers, starts_s in store.open_alerts()
            if not receivers or self.name in receivers
        }
        new = [key for key, (alert, _) in opened.items() if everything or self._sent.get(key) != alert.id]
        closed = store.closed_alerts(self.name, _AM_CLOSED)
        for start in range(0, len(closed), _AM_BATCH):
            some = closed[start : start + _AM_BATCH]
            if not self._post([alertmanager_alert(each.alert, each.starts_s, each.ends_s) for each in some], now_s):
                return False
            store.forget_closed(each.number for each in some)
        for start in range(0, len(new), _AM_BATCH):
            keys = new[start : start + _AM_BATCH]
            if not self._post([self._open_json(*opened[key], now_s) for key in keys], now_s):
                return False
            self._sent.update({key: opened[key][0].id for key in keys})
        self._sent = {key: identity for key, identity in self._sent.items() if key in opened}
        if everything:
            self._resent_s = monotonic_s
        return True

    def _open_json(self, alert: Alert, starts_s: int, now_s: int) -> dict[str, object]:
        is_test = alert.kind is AlertKind.TEST
        ends_s = starts_s + _TEST_OPEN_S if is_test else now_s + round(self._settings.stands_s)
        return alertmanager_alert(alert, starts_s, ends_s)

    def _post(self, alerts: list[dict[str, object]], now_s: int) -> bool:
        answer = self._poster.post(json.dumps(alerts).encode(), self._headers, now_s)
        DELIVERIES.labels(self.name, answer.outcome).inc()
        if not answer.delivered:
            _LOG.warning("alertmanager-not-told", receiver=self.name, alerts=len(alerts), why=answer.why)
        return answer.delivered


def webhook_runner(settings: WebhookSettings) -> QueueRunner:
    """The runner of a webhook.

    Raises:
        ConfigError: a file is missing or has the wrong content.
    """
    with naming(f"webhooks: {settings.name}"):
        sender = WebhookSender(settings)
    return QueueRunner(
        settings.name,
        sender,
        first_s=settings.retry_first_s,
        last_s=settings.retry_last_s,
        give_up_after_s=settings.give_up_after_s,
    )


def topic_runner(sender: TopicSender) -> QueueRunner:
    """The runner of the topic."""
    return QueueRunner(MQTT_RECEIVER, sender)


def _secret(path: Path) -> bytes:
    with naming(f"secret_file: {path}"):
        return parse_secret(_one_line(path))


def _one_line(path: Path) -> str:
    content = read_file(path)
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise ConfigError("expected one line of plain text") from error
    if not text or len(content) > _MAX_SECRET_BYTES or not text.isprintable() or " " in text:
        raise ConfigError("expected one line of plain text")
    return text
