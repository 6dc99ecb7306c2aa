"""How a service's loop takes messages from network threads, and stores the outcome however long the disk refuses."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Generic, TypeVar

from runtime.service import Backoff, Stop
from schemas.errors import WorldError

T = TypeVar("T")
TICK_S: Final = 0.25
_FIRST_RETRY_S: Final = 0.1
_LAST_RETRY_S: Final = 10.0


class Intake(Generic[T]):
    """A bounded queue: network threads put messages in, one loop takes them out in batches."""

    def __init__(self, *, max_waiting: int, max_batch: int, on_dropped: Callable[[], None]) -> None:
        """Starts empty.

        Args:
            max_waiting: messages that may wait.
            max_batch: messages in one batch.
            on_dropped: called for each dropped message, on the network thread.
        """
        self._queue: queue.Queue[T] = queue.Queue(max_waiting)
        self._max_batch, self._on_dropped = max_batch, on_dropped
        self._batch: list[T] = []  # replaced as a whole, by the loop

    def put(self, item: T, *, may_drop: bool) -> None:
        """Called on network threads.

        Args:
            item: waits for room if the queue is full.
            may_drop: drops it instead. The receive maximum limits QoS 1 messages, but nothing limits QoS 0 messages.
        """
        if not may_drop:
            self._queue.put(item)
            return
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self._on_dropped()

    @contextmanager
    def batch(self) -> Iterator[list[T]]:
        """Waits up to ``TICK_S`` for a message; yields it and those behind it, or an empty list."""
        batch: list[T] = []
        with suppress(queue.Empty):
            batch.append(self._queue.get(timeout=TICK_S))
            while len(batch) < self._max_batch:
                batch.append(self._queue.get_nowait())
        self._batch = batch
        try:
            yield batch
        finally:
            self._batch = []

    def unfinished(self) -> list[T]:
        """The messages of the current batch and those that wait, oldest first. Any thread may call this."""
        with self._queue.mutex:
            return [*self._batch, *self._queue.queue]

    @property
    def waiting(self) -> int:
        """The number of messages in the queue. Any thread may ask."""
        return self._queue.qsize()


def until_done(
    effect: Callable[[], object],
    stop: Stop,
    *,
    on_failure: Callable[[WorldError], None],
    on_try: Callable[[], None] = lambda: None,
) -> bool:
    """Repeats an effect until the store accepts it.

    Args:
        effect: raises ``WorldError`` when it fails, and then may be repeated.
        stop: ends the retries.
        on_failure: called after each failure.
        on_try: called before each try.

    Returns:
        False if stopped before the effect succeeded. The broker then still has the unacknowledged messages.
    """
    backoff = Backoff(_FIRST_RETRY_S, _LAST_RETRY_S)
    while True:
        on_try()
        try:
            effect()
        except WorldError as error:
            on_failure(error)
            if stop.wait(backoff.next_s()):
                return False
        else:
            return True
