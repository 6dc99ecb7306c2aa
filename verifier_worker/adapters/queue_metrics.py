"""Metrics of waiting messages: before the worker's loop, in its outbox, at the broker.

A partition's lag is the age of its oldest message that was received and is not judged yet. It is computed when it is
read, so it is right while the loop waits for a disk, and costs nothing otherwise. A partition is the two hex digits in
an evidence topic: at most 256 values, and ``other`` for topics on which no agent publishes. A partition has a value
from its first message on.

Messages that wait at the broker are not included: MQTT does not report how long they have waited. The age of evidence
(``attestream_evidence_age_seconds``) and the broker's own queues show that.
"""

from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge

from runtime.mqtt import Message
from runtime.telemetry import LateGauge

OTHER: Final = "other"
_HEX: Final = frozenset("0123456789abcdef")
_PARTITION_DIGITS: Final = 2

LAG: Final = LateGauge(
    "attestream_partition_lag_seconds",
    "Age of the oldest evidence received and not judged yet, by partition; 0 when none waits",
    "partition",
)
QUEUE_DEPTH: Final = Gauge("attestream_queue_messages", "Messages waiting for the worker's loop")
QUEUE_LIMIT: Final = Gauge(
    "attestream_queue_limit_messages", "Limit of messages waiting for the worker's loop (queue_max)"
)
DROPPED_TOTAL: Final = Counter("attestream_dropped_total", "QoS 0 messages dropped because the queue was full")
OUTBOX_DEPTH: Final = Gauge("attestream_outbox_messages", "Results stored but not handed to the broker")
UNCONFIRMED: Final = Gauge(
    "attestream_results_unconfirmed_messages", "Results handed to the broker and not confirmed by it yet"
)
STORE_FAILURES: Final = Counter("attestream_store_failures_total", "Failed writes to the database or the audit log")


class PartitionLag:
    """Remembers the known partitions. The worker's loop writes; threads of the metrics page only read."""

    def __init__(self) -> None:
        """Knows no partition yet."""
        self._known: frozenset[str] = frozenset()  # replaced whole, by the loop alone

    def heard(self, waiting: Iterable[Message]) -> None:
        """Notes the partitions of evidence taken from the queue: they have a value from now on."""
        found = {partition_of(message.topic) for message in waiting}
        if not found <= self._known:
            self._known |= found

    def by_partition(self, waiting: Iterable[Message], now_s: float) -> dict[str, float]:
        """Seconds that the oldest message of each partition has waited.

        Args:
            waiting: evidence messages, oldest first.
            now_s: by the monotonic clock.
        """
        oldest: dict[str, float] = {}
        for message in waiting:
            oldest.setdefault(partition_of(message.topic), message.received_s)
        return {name: max(0.0, now_s - oldest.get(name, now_s)) for name in self._known | oldest.keys()}


def partition_of(topic: str) -> str:
    """The partition in ``…/evidence/PP/UEID``."""
    level = topic.rpartition("/")[0].rpartition("/")[2]
    return level if len(level) == _PARTITION_DIGITS and _HEX.issuperset(level) else OTHER
