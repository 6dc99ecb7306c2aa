"""From what stands, what was said and the time to the alerts to store and send. Pure; the one place where they meet.

Order of effects: :meth:`AlertDesk.tick` says what to tell and changes nothing that it could not say again; the caller
stores all of it in one step; :meth:`AlertDesk.stored` then takes it as said. A process killed between the two says the
same again, under an id of its own, and nothing of it was sent; killed after, it says nothing again.

Each mutable thing has one owner: a desk belongs to the thread that calls it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from relying_party.alerts.rules import Change, Memory, Rule, judge, rule_for
from relying_party.alerts.silence import Notice, Silence
from relying_party.alerts.storms import StormNotice, Storms
from relying_party.alerts.words import alert_id, alert_of_change, alert_of_notice, alert_of_storm
from relying_party.result_board import Standing
from schemas.identifiers import Ueid, ueid_text
from schemas.messages.alert import Alert, AlertKind, Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """An alert to send.

    Attributes:
        alert: what to say.
        receivers: names of who is to hear it; empty for all.
        asked_for: the rule wants it said; else it only ends what stands at receivers that keep state.
    """

    alert: Alert
    receivers: tuple[str, ...] = ()
    asked_for: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """All of one moment, to be stored in one step.

    Attributes:
        outgoing: alerts, in order.
        raised: what stands from now on, by key.
        lowered: keys of what stands no more.
        memories: what is known to be said, of the attesters it changed for.
        serial: of the last alert.
    """

    outgoing: tuple[Outgoing, ...]
    raised: Mapping[str, Outgoing]
    lowered: tuple[str, ...]
    memories: tuple[Memory, ...]
    serial: int
    notices: tuple[Notice, ...] = ()
    storm_notices: tuple[StormNotice, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store."""
        return not (self.outgoing or self.raised or self.lowered or self.memories)


@dataclass(slots=True)
class _Making:
    outgoing: list[Outgoing] = field(default_factory=list)
    raised: dict[str, Outgoing] = field(default_factory=dict)
    lowered: list[str] = field(default_factory=list)
    memories: dict[Ueid, Memory] = field(default_factory=dict)

    def say(self, key: str, outgoing: Outgoing, *, stands: bool) -> None:
        """Sends an alert that stands under ``key`` from now on, or ends what stood there."""
        self.outgoing.append(outgoing)
        if stands:
            self.raised[key] = outgoing
        else:
            self.lowered.append(key)


class AlertDesk:
    """Knows what was said of every attester."""

    def __init__(
        self,
        rules: Sequence[Rule],
        storms: Storms,
        silence: Silence,
        memories: Iterable[Memory],
        installation: bytes,
        serial: int,
    ) -> None:
        """Continues from what was stored.

        Args:
            rules: the first that is about an attester counts.
            storms: sorts many from few.
            silence: knows what is silent; the caller feeds it.
            memories: as stored.
            installation: random bytes of the database.
            serial: of the last alert stored.
        """
        self._rules, self._storms, self._silence = tuple(rules), storms, silence
        self._memories = {memory.ueid: memory for memory in memories}
        self._installation, self._serial = installation, serial

    def waiting(self) -> list[Ueid]:
        """Attesters about which something is held, to be looked at at every tick."""
        return [ueid for ueid, memory in self._memories.items() if memory.differs_since_s is not None]

    def tick(
        self,
        standings: Iterable[Standing],
        token_of: Callable[[Standing], bytes | None],
        now_s: int,
        monotonic_s: float,
    ) -> Batch:
        """What to tell now.

        Args:
            standings: of attesters that something new came of, that expired, or that are :meth:`waiting`.
            token_of: gives the signed result that a standing is of.
            now_s: UTC seconds.
            monotonic_s: seconds that never run back.
        """
        making, changes = _Making(), []
        for standing in standings:
            ueid = standing.result.ueid
            before = self._memories.get(ueid)
            memory, change = judge(before or Memory(ueid=ueid), standing, rule_for(self._rules, standing.result), now_s)
            if change is not None:
                changes.append(change)
            elif memory != before and (before is not None or memory.differs_since_s is not None):
                making.memories[ueid] = memory
        told = self._storms.sort(changes, monotonic_s)
        for change in told.alone:
            self._tell(making, change, token_of(change.standing), now_s)
        for change in told.together:
            making.memories[change.memory.ueid] = replace(change.memory, storm=change.memory.is_open)
            making.lowered += [_key(change.memory.ueid)] if not change.in_storm else []
        for change in told.silent:
            making.memories[change.memory.ueid] = change.memory
        storm_notices = tuple(self._storms.notices(self._members(making), monotonic_s))
        for storm in storm_notices:
            self._tell_storm(making, storm, now_s)
        notices = tuple(self._silence.notices(monotonic_s))
        for notice in notices:
            alert = alert_of_notice(notice, self._next_id(making), now_s)
            quiet = notice.kind is AlertKind.RESULTS_UNVERIFIED and notice.over
            making.say(notice.key, Outgoing(alert=alert, asked_for=not quiet), stands=not notice.over)
        return Batch(
            outgoing=tuple(making.outgoing),
            raised=making.raised,
            lowered=tuple(key for key in dict.fromkeys(making.lowered) if key not in making.raised),
            memories=tuple(making.memories.values()),
            serial=self._serial + len(making.outgoing),
            notices=notices,
            storm_notices=storm_notices,
        )

    def stored(self, batch: Batch, monotonic_s: float) -> None:
        """Takes a batch as said: it is stored."""
        self._serial = batch.serial
        self._memories.update({memory.ueid: memory for memory in batch.memories})
        for notice in batch.notices:
            self._silence.said(notice, monotonic_s)
        for storm in batch.storm_notices:
            self._storms.said(storm, monotonic_s)

    def _tell(self, making: _Making, change: Change, token: bytes | None, now_s: int) -> None:
        alert = alert_of_change(change, self._next_id(making), now_s, token)
        asked_for = change.rule.recovery or not change.is_recovery
        outgoing = Outgoing(alert=alert, receivers=change.rule.receivers, asked_for=asked_for)
        making.say(_key(change.memory.ueid), outgoing, stands=change.memory.is_open)
        making.memories[change.memory.ueid] = change.memory

    def _tell_storm(self, making: _Making, storm: StormNotice, now_s: int) -> None:
        alert = alert_of_storm(storm, self._next_id(making), now_s)
        stands = not storm.over and storm.condition is not Condition.AFFIRMING
        making.say(storm.key, Outgoing(alert=alert), stands=stands)
        if not storm.over:
            return
        for ueid in self._members(making).get(storm.condition, []):  # few enough to stand for themselves
            memory = making.memories.get(ueid) or self._memories[ueid]
            making.memories[ueid] = replace(memory, storm=False)
            still = replace(
                alert,
                kind=AlertKind.VERDICT,
                summary=f"{ueid_text(ueid)} is still {memory.said.condition}.",
                ueid=ueid,
                reasons=memory.said.reasons,
                count=None,
                attesters=(),
                rule=memory.rule,
            )
            making.raised[_key(ueid)] = Outgoing(alert=still, receivers=self._receivers_of(memory.rule))

    def _receivers_of(self, rule_name: str) -> tuple[str, ...]:
        return next((rule.receivers for rule in self._rules if rule.name == rule_name), ())

    def _members(self, making: _Making) -> dict[Condition, list[Ueid]]:
        """Attesters told by a storm and not well again, by the condition said of them."""
        members: dict[Condition, list[Ueid]] = {}
        if not self._storms.is_raging:
            return members
        for memory in (self._memories | making.memories).values():
            if memory.storm:
                members.setdefault(memory.said.condition, []).append(memory.ueid)
        return members

    def _next_id(self, making: _Making) -> str:
        return alert_id(self._installation, self._serial + len(making.outgoing) + 1)


def _key(ueid: Ueid) -> str:
    return f"attester/{ueid_text(ueid)}"
