"""Values that pass between the store and the receivers' threads. Pure."""

from dataclasses import dataclass

from schemas.messages.alert import Alert


@dataclass(frozen=True, slots=True, kw_only=True)
class Receivers:
    """Names of the receivers, and the limit of their queues.

    Attributes:
        queued: get each alert once.
        stateful: get all open alerts, repeatedly.
        max_queued: alerts that may wait for one receiver; beyond that the oldest is given up.
    """

    queued: tuple[str, ...]
    stateful: tuple[str, ...]
    max_queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An alert that waits for a receiver, or was given up.

    Attributes:
        number: grows from alert to alert.
        receiver: its name.
        alert: its content.
        made_s: when it was queued, UTC seconds.
        tries: how often it was tried.
        why: why the last try failed.
    """

    number: int
    receiver: str
    alert: Alert
    made_s: int
    tries: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedAlert:
    """An alert that is no longer open, for one stateful receiver."""

    number: int
    alert: Alert
    starts_s: int
    ends_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """One receiver's queue: alerts that wait, when the oldest was queued (UTC seconds), and alerts given up."""

    queued: int
    oldest_s: int | None
    failed: int
