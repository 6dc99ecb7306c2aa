"""Passes events from the network's thread to the agent's, without looking into them."""

import queue
from dataclasses import dataclass
from typing import Final, TypeAlias

from prometheus_client import Counter

from runtime.mqtt import Message

WAITING_EVENTS: Final = 256  # more messages are dropped: handles are retained, solicits are repeated
_DROPPED: Final = Counter(
    "attestream_events_dropped_total", "Messages from the broker dropped because the agent was busy"
)


@dataclass(frozen=True, slots=True)
class Received:
    """A message on a subscribed topic."""

    message: Message


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker acknowledged the message with this packet id."""

    packet_id: int


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection was made."""


Event: TypeAlias = Received | Acknowledged | Connected


class Inbox:
    """A queue of events. Bounded for messages; acknowledgements are never dropped."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def message(self, message: Message) -> None:
        """Callback for messages."""
        if self._events.qsize() >= WAITING_EVENTS:
            _DROPPED.inc()
        else:
            self._events.put(Received(message))

    def acknowledged(self, packet_id: int) -> None:
        """Callback for acknowledgements; at most ``agent.IN_FLIGHT_MESSAGES`` are outstanding."""
        self._events.put(Acknowledged(packet_id))

    def connected(self) -> None:
        """Callback for connections."""
        self._events.put(Connected())

    def wait(self, seconds: float) -> list[Event]:
        """Waits up to ``seconds`` for an event; returns all events that are there, possibly none."""
        events: list[Event] = []
        try:
            events.append(self._events.get(timeout=seconds))
            while True:
                events.append(self._events.get_nowait())
        except queue.Empty:
            return events
