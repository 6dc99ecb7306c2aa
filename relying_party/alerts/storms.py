"""Combines changes of many attesters at about the same time into one alert with a count. Pure.

Each condition is counted separately, so a storm of stale attesters never hides one that becomes contraindicated. The
alert about a storm is made at once; its growth is reported at most once per window. The storm ends when no more
attesters than the threshold are still affected; those are then named and get alerts of their own.

Owned by the thread that calls it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from relying_party.alerts.rules import Change
from schemas.identifiers import Ueid
from schemas.messages.alert import MAX_NAMED, Condition

_KEY: Final = "storm/"


@dataclass(frozen=True, slots=True, kw_only=True)
class StormSettings:
    """Table ``[storm]``.

    Attributes:
        attesters: more changes to one condition than this within a window are one alert.
        window_s: the window.
    """

    attesters: int = 20
    window_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedChanges:
    """The changes of one tick, sorted.

    Attributes:
        alone: each becomes an alert of its own.
        combined: reported by the alert about the storm of their condition.
        silent: recoveries of attesters in a storm; only the end of the storm is reported.
    """

    alone: tuple[Change, ...]
    combined: tuple[Change, ...]
    silent: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StormNotice:
    """A report about a storm.

    Attributes:
        key: of its open alert.
        condition: of its attesters; affirming for a storm of recoveries.
        count: attesters in it so far; at its end the attesters that are still affected.
        named: some of them.
        closes: it has ended.
    """

    key: str
    condition: Condition
    count: int
    named: tuple[Ueid, ...]
    closes: bool = False


@dataclass(slots=True)
class _Storm:
    since_s: float
    total: int = 0
    reported: int = 0
    reported_s: float | None = None
    named: list[Ueid] = field(default_factory=list)


class Storms:
    """Counts changes by condition."""

    def __init__(self, settings: StormSettings, open_keys: Iterable[str], now_s: float) -> None:
        """Starts with the storms that were open before a restart.

        Args:
            settings: the threshold and the window.
            open_keys: keys of all open alerts.
            now_s: monotonic seconds.
        """
        self._settings = settings
        self._recent: dict[Condition, deque[float]] = {each: deque() for each in Condition}
        self._active: dict[Condition, _Storm] = {}
        for key in open_keys:
            if key.startswith(_KEY):
                self._active[Condition(key.removeprefix(_KEY))] = _Storm(since_s=now_s, reported_s=now_s)

    @property
    def is_active(self) -> bool:
        """Whether any storm has begun and not ended."""
        return bool(self._active)

    def sort(self, changes: Sequence[Change], now_s: float) -> SortedChanges:
        """Counts the changes of one tick and sorts them; monotonic seconds."""
        silent = tuple(change for change in changes if change.in_storm and change.is_recovery)
        alone: list[Change] = []
        combined: list[Change] = []
        loud = [change for change in changes if not (change.in_storm and change.is_recovery)]
        for condition in Condition:
            group = [each for each in loud if _class_of(each) is condition]
            recent = self._recent[condition]
            while recent and now_s - recent[0] > self._settings.window_s:
                recent.popleft()
            if len(recent) + len(group) <= self._settings.attesters:
                alone += group
                recent.extend([now_s] * len(group))
                continue
            combined += group
            # The count includes the attesters of this window that were reported alone before the storm was noticed.
            storm = self._active.setdefault(condition, _Storm(since_s=now_s, total=len(recent)))
            recent.extend([now_s] * min(len(group), self._settings.attesters + 1 - len(recent)))
            storm.total += len(group)
            storm.named += [change.reported.ueid for change in group[: MAX_NAMED - len(storm.named)]]
        return SortedChanges(alone=tuple(alone), combined=tuple(combined), silent=silent)

    def notices(self, members: dict[Condition, list[Ueid]], now_s: float) -> Iterator[StormNotice]:
        """The reports that are due; the caller passes each to :meth:`mark_reported` once it is stored.

        Args:
            members: the attesters in a storm that have not recovered, by reported condition.
            now_s: monotonic seconds.
        """
        for condition, storm in tuple(self._active.items()):
            due = storm.reported_s is None or now_s - storm.reported_s >= self._settings.window_s
            still = members.get(condition, [])
            calm = storm.reported_s is not None and now_s - storm.reported_s >= self._settings.window_s
            key = f"{_KEY}{condition}"
            if storm.total > storm.reported and due:
                yield StormNotice(key=key, condition=condition, count=storm.total, named=tuple(storm.named))
            elif calm and condition is Condition.AFFIRMING:
                del self._active[condition]  # a storm of recoveries has no open alert to close
            elif calm and len(still) <= self._settings.attesters:
                named = tuple(still[:MAX_NAMED])
                yield StormNotice(key=key, condition=condition, count=len(still), named=named, closes=True)

    def mark_reported(self, notice: StormNotice, now_s: float) -> None:
        """Notes that a report is stored."""
        if notice.closes:
            self._active.pop(notice.condition, None)
            return
        storm = self._active[notice.condition]
        storm.reported, storm.reported_s = storm.total, now_s


def _class_of(change: Change) -> Condition:
    return change.reported.headline.condition
