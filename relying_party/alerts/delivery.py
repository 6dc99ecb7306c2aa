"""What waits for receivers: values that the store keeps and the receivers' threads take. Pure."""

from dataclasses import dataclass

from schemas.messages.alert import Alert


@dataclass(frozen=True, slots=True, kw_only=True)
class Receivers:
    """Who hears of alerts, and how much may wait for each.

    Attributes:
        queued: names of those that are told each alert once.
        stateful: names of those that are told what stands, again and again.
        max_queued: alerts that may wait for one; beyond that the oldest is given up.
    """

    queued: tuple[str, ...]
    stateful: tuple[str, ...]
    max_queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An alert that waits for a receiver, or was given up.

    Attributes:
        number: in the order of being made.
        receiver: its name.
        alert: what to say.
        made_s: when it was queued, UTC seconds.
        tries: how often it was tried.
        why: what the last try met.
    """

    number: int
    receiver: str
    alert: Alert
    made_s: int
    tries: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What stood and stands no more, as one receiver is to be told."""

    number: int
    alert: Alert
    starts_s: int
    ends_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much waits for a receiver: alerts, when the oldest was made, and how many were given up."""

    queued: int
    oldest_s: int | None
    failed: int
