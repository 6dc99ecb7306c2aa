"""The one place where the dashboard listens to the broker: it takes results, handles and status messages.

The network thread only puts messages into a bounded queue. When the queue is full that thread waits and the broker
keeps the rest, so no message is dropped here. The thread of the event loop takes messages in short slices, so that it
can answer pages while a whole fleet arrives; it owns everything else.
"""

import asyncio
import queue
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter, Gauge

from relying_party.dashboard.fleet import Fleet
from relying_party.dashboard.handle_watch import HandleWatch, Trust
from relying_party.dashboard.settings import DashboardSettings
from relying_party.result_board import result_keys
from relying_party.settings import load_verifier_keys
from runtime import clock
from runtime.keys import load_public_keys
from runtime.monitoring.health import Health, broker_condition
from runtime.mqtt import Message, MqttConnection, Session
from runtime.settings import naming
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import PeerError
from schemas.instants import SECOND_US
from schemas.messages.status import Status, parse_unverified_status
from schemas.topics import TopicKind

QUEUE_MESSAGES: Final = 10_000
MAX_PROCESSES: Final = 256
SLICE_S: Final = 0.02
IDLE_S: Final = 0.05
SAMPLE_EVERY_S: Final = 5.0
_MESSAGES: Final = Counter("attestream_dashboard_messages_total", "Messages taken from the broker", ["kind"])
_DEVICES: Final = Gauge("attestream_dashboard_attesters", "Attesters known to the dashboard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process's own status; unsigned, so no verdict depends on it."""

    status: Status
    since_s: float


class Feed:
    """Everything that the pages show. Owned by the thread of the event loop."""

    def __init__(self, settings: DashboardSettings) -> None:
        """Loads keys and roots; does not connect yet.

        Raises:
            ConfigError: a file is missing or has the wrong content.
        """
        self.keys: Final = load_verifier_keys(settings.verifier_keys)
        self.fleet: Final = Fleet(result_keys(self.keys))
        self.handles: Final = HandleWatch(_trust(settings))
        self.processes: Final[OrderedDict[str, Process]] = OrderedDict()
        self.broker: Final = f"{settings.mqtt.host}:{settings.mqtt.port}"
        self.started_s: Final = clock.utc_s()
        self.is_running = False
        self._topics = settings.mqtt.topics
        self._arrived: queue.Queue[Message] = queue.Queue(QUEUE_MESSAGES)
        session = Session(
            client_id=f"dashboard-{clock.random_bytes(6).hex()}",
            subscriptions=(self._topics.all_results, self._topics.all_handles, self._topics.all_status),
        )
        self._connection = MqttConnection(settings.mqtt, session, on_message=self._arrived.put)
        self.health: Final = Health("relying-party dashboard", monotonic_s=clock.monotonic_s)
        self.health.ask("broker", lambda: broker_condition(self._connection))

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted the subscriptions."""
        return self._connection.wait_subscribed(0)

    @property
    def backlog(self) -> int:
        """Messages that wait to be taken."""
        return self._arrived.qsize()

    async def run(self) -> None:
        """Connects, and takes messages until cancelled."""
        self._connection.start()
        next_sample_s = clock.monotonic_s()
        self.is_running = True
        try:
            while True:
                self.health.beat()
                more = self._take_slice()
                self.fleet.expire(clock.utc_s())
                if clock.monotonic_s() >= next_sample_s and len(self.fleet):
                    self.fleet.sample(clock.utc_us() / SECOND_US)
                    _DEVICES.set(len(self.fleet))
                    next_sample_s = clock.monotonic_s() + SAMPLE_EVERY_S
                await asyncio.sleep(0 if more else IDLE_S)
        finally:
            self.is_running = False
            self._stop()

    def _take_slice(self) -> bool:
        """Takes messages for a short while; returns whether more are waiting."""
        ends_s = clock.monotonic_s() + SLICE_S
        while clock.monotonic_s() < ends_s:
            try:
                message = self._arrived.get_nowait()
            except queue.Empty:
                return False
            self._take(message)
        return True

    def _take(self, message: Message) -> None:
        kind = self._topics.kind_of(message.topic)
        _MESSAGES.labels(kind or "unknown").inc()
        if kind is TopicKind.RESULTS:
            if message.payload:  # an empty one deletes the retained result
                self.fleet.take(message.topic, message.payload, clock.utc_us())
        elif kind is TopicKind.HANDLES:
            name = self._topics.last_level(message.topic)
            self.handles.take(name, message.payload, clock.utc_us(), retained=message.retained)
        elif kind is TopicKind.STATUS:
            self._take_status(message)

    def _take_status(self, message: Message) -> None:
        if not message.payload:
            self.processes.pop(message.topic, None)
            return
        try:
            status = parse_unverified_status(cmw.unwrap(message.payload, media_types.STATUS, None))
        except PeerError:
            return
        known = self.processes.get(message.topic)
        if known is None and len(self.processes) >= MAX_PROCESSES:
            return
        if known is None or known.status != status:
            self.processes[message.topic] = Process(status=status, since_s=clock.utc_us() / SECOND_US)

    def _stop(self) -> None:
        """Disconnects. First empties the queue, because the network thread may be waiting for room in it."""
        while not self._arrived.empty():
            self._arrived.get_nowait()
        self._connection.stop()


def _trust(settings: DashboardSettings) -> Trust | None:
    trust = settings.trust
    if not trust.tsa_roots:
        return None
    with naming("trust.distributor_keys"):
        keys = load_public_keys(trust.distributor_keys)
    with naming("trust.tsa_roots"):
        return Trust(keys=keys, stamps=load_time_stamp_verifier(trust.tsa_roots))
