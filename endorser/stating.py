"""Keeps the endorser's statement of what is current: makes the next one in time, and publishes it, retained."""

from typing import Final

from prometheus_client import Gauge

from endorser.adapters.registry import Registry
from endorser.adapters.statement_file import StatementFile
from runtime.ports import Publisher
from runtime.telemetry import Logger
from schemas.messages.trust_objects import kind_of, topic_of
from schemas.messages.trust_statement import TrustStatement
from schemas.topics import Topics

_LOG: Final = Logger("endorser")
_LOOK_EVERY_S: Final = 1.0
_RESEND_S: Final = 30.0
_ISSUED: Final = Gauge("attestream_statement_issued_seconds", "When the last statement of what is current was signed")


class Stating:
    """Owned by the service's thread."""

    def __init__(
        self, file: StatementFile, registry: Registry, publisher: Publisher, topics: Topics, every_s: float
    ) -> None:
        """Sends nothing yet.

        Args:
            file: with the last statement; `endorser publish` may change it meanwhile.
            registry: has the withdrawn endorsements.
            publisher: sends the statement.
            topics: the topic names.
            every_s: after so many seconds the next statement is made, even if nothing changed.
        """
        self._file, self._registry, self._publisher, self._topics = file, registry, publisher, topics
        self._every_s = every_s
        self._looked_s = float("-inf")
        self._decision: int | None = None  # the last one in the last statement
        self._sent: bytes | None = None  # what the broker has, or was sent
        self._sent_s = 0.0
        self._under_way: int | None = None

    def reconnected(self) -> None:
        """The broker may have lost what was under way."""
        self._sent = self._under_way = None

    def confirmed(self, packet_ids: list[int]) -> None:
        """The broker acknowledged messages."""
        if self._under_way in packet_ids:
            self._under_way = None

    def turn(self, now_s: int, monotonic_s: float) -> None:
        """Makes and publishes a statement if it is time.

        Raises:
            ConfigError: the file holds something else.
            WorldError: ``store-unavailable``; call again.
        """
        if monotonic_s < self._looked_s + _LOOK_EVERY_S:
            return
        self._looked_s = monotonic_s
        last, decision = self._file.last(), self._registry.last_decision()
        if last is None or decision != self._decision or now_s >= last[0].issued_s + self._every_s:
            with self._file.next() as statement:
                statement.take_registry(self._registry.withdrawals(now_s))
            self._decision, last = decision, self._file.last()
        if last is not None:
            self._publish(*last, monotonic_s)

    def _publish(self, statement: TrustStatement, raw: bytes, monotonic_s: float) -> None:
        lost = self._under_way is not None and monotonic_s > self._sent_s + _RESEND_S
        if raw == self._sent and not lost:
            return
        payload, topic = kind_of(statement).wrap(raw), topic_of(statement, self._topics)
        packet_id = self._publisher.publish(topic, payload, retain=True)
        if packet_id is None:  # not connected; tried again in the next turn
            return
        self._sent, self._sent_s, self._under_way = raw, monotonic_s, packet_id
        _ISSUED.set(statement.issued_s)
        _LOG.info("statement-published", number=statement.number, withdrawn=len(statement.withdrawn))
