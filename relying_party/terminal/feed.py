"""The one place where the terminal's commands listen to the broker."""

import queue
import sys
from collections import Counter
from typing import Final, Self

from relying_party.result_board import ResultBoard, Standing, result_keys
from relying_party.settings import Settings, load_verifier_keys
from relying_party.terminal.notices import Notices
from runtime import clock
from runtime.mqtt import Message, MqttConnection, Session
from schemas.codecs.printable import printable
from schemas.errors import PeerError

REFRESH_S: Final = 0.5
_QUEUE_MESSAGES: Final = 10_000  # beyond that the network thread waits: nothing is dropped, the broker keeps the rest


class ResultFeed:
    """The results topic of one broker: verifies every message and keeps the newest results on a board.

    The network thread puts messages into a queue; the thread that calls :meth:`drain` owns everything else.
    """

    def __init__(self, settings: Settings) -> None:
        """Loads the keys; does not connect yet.

        Raises:
            ConfigError: a key file is missing or holds no key.
        """
        keys = result_keys(load_verifier_keys(settings.verifier_keys))
        self.board: Final = ResultBoard(keys)
        self.refused: Final[Counter[str]] = Counter()
        self.last_retained_s = -float("inf")  # when the last retained result was taken, monotonic
        self._refused_why = ""
        self._notices = Notices(f"{settings.mqtt.host}:{settings.mqtt.port}", keys, clock.monotonic_s())
        self._arrived: queue.Queue[Message] = queue.Queue(_QUEUE_MESSAGES)
        session = Session(
            client_id=f"relying-party-{clock.random_bytes(6).hex()}",
            subscriptions=(settings.mqtt.topics.all_results,),
        )
        self._connection = MqttConnection(settings.mqtt, session, on_message=self._arrived.put)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Connects in the background; retained results arrive first."""
        self._connection.start()

    def stop(self) -> None:
        """Disconnects."""
        self._connection.stop()

    @property
    def is_connected(self) -> bool:
        """Whether the broker is there."""
        return self._connection.is_connected

    @property
    def was_connected(self) -> bool:
        """Whether the broker was ever there."""
        return self._connection.connection > 0

    def notices(self) -> list[str]:
        """Lines for a person, due now: that the broker is not reached; that results are refused, and why."""
        refused = sum(self.refused.values())
        now_s, connected = clock.monotonic_s(), self.is_connected
        return list(self._notices.lines(now_s, connected=connected, refused=refused, why=self._refused_why))

    def print_notices(self) -> None:
        """Prints :meth:`notices` on standard error."""
        for line in self.notices():
            print(line, file=sys.stderr, flush=True)

    def wait_subscribed(self, seconds: float) -> bool:
        """Waits until the broker has confirmed the subscription; returns False after ``seconds`` without it."""
        return self._connection.wait_subscribed(seconds)

    def drain(self, wait_s: float, *, at_most_s: float = float("inf")) -> list[Standing]:
        """Takes the messages that have arrived; returns the standings they lead to, newest last.

        Args:
            wait_s: seconds to wait for the first message.
            at_most_s: seconds after which to return although more messages wait. A screen sets it: verifying ten
                thousand retained results takes seconds.
        """
        changed: list[Standing] = []
        started_s = clock.monotonic_s()
        while clock.monotonic_s() - started_s <= max(at_most_s, wait_s):
            try:
                message = self._arrived.get(timeout=wait_s) if wait_s > 0 else self._arrived.get_nowait()
            except queue.Empty:
                return changed
            wait_s = 0
            if message.retained:
                self.last_retained_s = clock.monotonic_s()
            now_s = clock.utc_s()
            try:
                verified = self.board.apply(message.topic, message.payload, now_s)
            except PeerError as error:
                self.refused[error.reason] += 1
                self._refused_why = printable(error.detail)
                continue
            standing = self.board.standing(verified.result.ueid, now_s)
            if standing is not None:
                changed.append(standing)
        return changed
