"""Many attesters at once become one alert with a count.

Pure. Conditions are counted apart: a storm of stale attesters never swallows one that becomes contraindicated. An alert
of a storm is made at once, later growth is told at most once in a window, and its end when fewer attesters than make a
storm are still as bad; these are named then, and stand for themselves.

Each mutable thing has one owner: a :class:`Storms` belongs to the thread that calls it.
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
        attesters: more changes to one condition than this in a window are told as one.
        window_s: the window.
    """

    attesters: int = 20
    window_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The changes of one moment, sorted.

    Attributes:
        alone: each is an alert of its own.
        together: told by the storm of their condition.
        silent: of members of a storm that are well again: they count for its end.
    """

    alone: tuple[Change, ...]
    together: tuple[Change, ...]
    silent: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StormNotice:
    """Something to tell of a storm.

    Attributes:
        key: under which it stands.
        condition: of its attesters; affirming where it is of recoveries.
        count: attesters in it so far; at its end those still as bad.
        named: some of them.
        over: it has ended.
    """

    key: str
    condition: Condition
    count: int
    named: tuple[Ueid, ...]
    over: bool = False


@dataclass(slots=True)
class _Storm:
    since_s: float
    total: int = 0
    said: int = 0
    said_s: float | None = None
    named: list[Ueid] = field(default_factory=list)


class Storms:
    """Counts changes by condition."""

    def __init__(self, settings: StormSettings, standing: Iterable[str], now_s: float) -> None:
        """Starts calm, but for storms that stood before a restart.

        Args:
            settings: what a storm is.
            standing: keys of what was said and not taken back.
            now_s: monotonic seconds.
        """
        self._settings = settings
        self._recent: dict[Condition, deque[float]] = {each: deque() for each in Condition}
        self._active: dict[Condition, _Storm] = {}
        for key in standing:
            if key.startswith(_KEY):
                self._active[Condition(key.removeprefix(_KEY))] = _Storm(since_s=now_s, said_s=now_s)

    @property
    def is_raging(self) -> bool:
        """Whether any storm was told, or is to be, and has not ended."""
        return bool(self._active)

    def sort(self, changes: Sequence[Change], now_s: float) -> Told:
        """Which changes are told alone, and which by their storm; monotonic seconds."""
        silent = tuple(change for change in changes if change.in_storm and change.is_recovery)
        alone: list[Change] = []
        together: list[Change] = []
        for condition in Condition:
            group = [each for each in changes if _class_of(each) is condition and each not in silent]
            recent = self._recent[condition]
            while recent and now_s - recent[0] > self._settings.window_s:
                recent.popleft()
            if len(recent) + len(group) <= self._settings.attesters:
                alone += group
                recent.extend([now_s] * len(group))
                continue
            together += group
            # Those of this window that were told alone belong to it, too: its count is what happened.
            storm = self._active.setdefault(condition, _Storm(since_s=now_s, total=len(recent)))
            recent.extend([now_s] * min(len(group), self._settings.attesters + 1 - len(recent)))
            storm.total += len(group)
            storm.named += [change.memory.ueid for change in group[: MAX_NAMED - len(storm.named)]]
        return Told(alone=tuple(alone), together=tuple(together), silent=silent)

    def notices(self, members: dict[Condition, list[Ueid]], now_s: float) -> Iterator[StormNotice]:
        """What to tell now; :meth:`said` those that were stored.

        Args:
            members: attesters told by a storm and not well again, by the condition said of them.
            now_s: monotonic seconds.
        """
        for condition, storm in tuple(self._active.items()):
            due = storm.said_s is None or now_s - storm.said_s >= self._settings.window_s
            still = members.get(condition, [])
            calm = storm.said_s is not None and now_s - storm.said_s >= self._settings.window_s
            key = f"{_KEY}{condition}"
            if storm.total > storm.said and due:
                yield StormNotice(key=key, condition=condition, count=storm.total, named=tuple(storm.named))
            elif calm and condition is Condition.AFFIRMING:
                del self._active[condition]  # recoveries: nothing stands, nothing ends
            elif calm and len(still) <= self._settings.attesters:
                named = tuple(still[:MAX_NAMED])
                yield StormNotice(key=key, condition=condition, count=len(still), named=named, over=True)

    def said(self, notice: StormNotice, now_s: float) -> None:
        """Notes that a notice is stored to be told."""
        if notice.over:
            self._active.pop(notice.condition, None)
            return
        storm = self._active[notice.condition]
        storm.said, storm.said_s = storm.total, now_s


def _class_of(change: Change) -> Condition:
    return change.memory.said.condition
