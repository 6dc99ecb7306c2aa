"""Turns standings, earlier reports and the time into alerts. Pure.

Order of effects (invariant I33): :meth:`AlertLedger.tick` makes a batch without changing the ledger, the caller stores
the batch in one transaction, and :meth:`AlertLedger.mark_stored` takes it over. A process killed before the transaction
makes the batch again, under new ids; none of it was sent. A process killed after it repeats nothing.

Owned by the thread that calls it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from relying_party.alerts.alert_text import alert_id, alert_of_change, alert_of_notice, alert_of_storm
from relying_party.alerts.rules import Change, Reported, Rule, judge, rule_for
from relying_party.alerts.silence import Notice, Silence
from relying_party.alerts.storms import StormNotice, Storms
from relying_party.result_board import Standing
from schemas.identifiers import Ueid, ueid_text
from schemas.messages.alert import Alert, AlertKind, Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """An alert to send.

    Attributes:
        alert: its content.
        receivers: names of the receivers; empty for all.
        is_wanted: queue it for receivers that get each alert once. False for an alert that the rule does not ask for:
            it only closes the open alert at receivers that keep state.
    """

    alert: Alert
    receivers: tuple[str, ...] = ()
    is_wanted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The outcome of one tick, to be stored in one transaction.

    Attributes:
        outgoing: alerts to send, in order.
        opened: alerts that are open from now on, by key.
        closed: keys of alerts that are no longer open.
        reported: the last report about each attester for which it changed.
        serial: of the last alert.
        notices: in ``outgoing``, about the broker and verifiers.
        storm_notices: in ``outgoing``, about storms.
    """

    outgoing: tuple[Outgoing, ...]
    opened: Mapping[str, Outgoing]
    closed: tuple[str, ...]
    reported: tuple[Reported, ...]
    serial: int
    notices: tuple[Notice, ...] = ()
    storm_notices: tuple[StormNotice, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store."""
        return not (self.outgoing or self.opened or self.closed or self.reported)


@dataclass(slots=True)
class _Draft:
    """A batch in the making."""

    outgoing: list[Outgoing] = field(default_factory=list)
    opened: dict[str, Outgoing] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    reported: dict[Ueid, Reported] = field(default_factory=dict)

    def add(self, key: str, outgoing: Outgoing, *, is_open: bool) -> None:
        """Adds an alert to send; it is open under ``key`` from now on, or closes the alert there."""
        self.outgoing.append(outgoing)
        if is_open:
            self.opened[key] = outgoing
        else:
            self.closed.append(key)


class AlertLedger:
    """Remembers the last report about every attester."""

    def __init__(
        self,
        rules: Sequence[Rule],
        storms: Storms,
        silence: Silence,
        reported: Iterable[Reported],
        installation: bytes,
        serial: int,
    ) -> None:
        """Continues from the stored state.

        Args:
            rules: the first that matches an attester decides.
            storms: combines changes of many attesters.
            silence: of the broker and the verifiers; the caller feeds it.
            reported: the stored last report about each attester.
            installation: random bytes of the database.
            serial: of the last stored alert.
        """
        self._rules, self._storms, self._silence = tuple(rules), storms, silence
        self._reported = {each.ueid: each for each in reported}
        self._installation, self._serial = installation, serial

    def waiting(self) -> list[Ueid]:
        """Attesters with a held change; each tick needs their standings."""
        return [ueid for ueid, reported in self._reported.items() if reported.differs_since_s is not None]

    def tick(
        self,
        standings: Iterable[Standing],
        tokens: Mapping[Ueid, bytes],
        now_s: int,
        monotonic_s: float,
    ) -> Batch:
        """The batch that is due now.

        Args:
            standings: of attesters with a new result, with an expired one, or :meth:`waiting`.
            tokens: the signed results behind them.
            now_s: UTC seconds.
            monotonic_s: monotonic seconds.
        """
        draft, changes = _Draft(), []
        for standing in standings:
            ueid = standing.result.ueid
            before = self._reported.get(ueid)
            reported, change = judge(
                before or Reported(ueid=ueid), standing, rule_for(self._rules, standing.result), now_s
            )
            if change is not None:
                changes.append(change)
            elif reported != before and (before is not None or reported.differs_since_s is not None):
                draft.reported[ueid] = reported
        by_storm = self._storms.sort(changes, monotonic_s)
        for change in by_storm.alone:
            self._add_change(draft, change, tokens.get(change.reported.ueid), now_s)
        for change in by_storm.combined:
            draft.reported[change.reported.ueid] = replace(change.reported, storm=change.reported.is_open)
            draft.closed += [_key(change.reported.ueid)] if not change.in_storm else []
        for change in by_storm.silent:
            draft.reported[change.reported.ueid] = change.reported
        storm_notices = tuple(self._storms.notices(self._storm_members(draft), monotonic_s))
        for storm in storm_notices:
            self._add_storm(draft, storm, now_s)
        notices = tuple(self._silence.notices(monotonic_s))
        for notice in notices:
            alert = alert_of_notice(notice, self._next_id(draft), now_s)
            is_wanted = not (notice.kind is AlertKind.RESULTS_UNVERIFIED and notice.closes)
            draft.add(notice.key, Outgoing(alert=alert, is_wanted=is_wanted), is_open=not notice.closes)
        return Batch(
            outgoing=tuple(draft.outgoing),
            opened=draft.opened,
            closed=tuple(key for key in dict.fromkeys(draft.closed) if key not in draft.opened),
            reported=tuple(draft.reported.values()),
            serial=self._serial + len(draft.outgoing),
            notices=notices,
            storm_notices=storm_notices,
        )

    def mark_stored(self, batch: Batch, monotonic_s: float) -> None:
        """Takes over a batch that is stored; :meth:`tick` does not repeat it."""
        self._serial = batch.serial
        self._reported.update({each.ueid: each for each in batch.reported})
        for notice in batch.notices:
            self._silence.mark_reported(notice, monotonic_s)
        for storm in batch.storm_notices:
            self._storms.mark_reported(storm, monotonic_s)

    def _add_change(self, draft: _Draft, change: Change, token: bytes | None, now_s: int) -> None:
        alert = alert_of_change(change, self._next_id(draft), now_s, token)
        is_wanted = change.rule.recovery or not change.is_recovery
        outgoing = Outgoing(alert=alert, receivers=change.rule.receivers, is_wanted=is_wanted)
        draft.add(_key(change.reported.ueid), outgoing, is_open=change.reported.is_open)
        draft.reported[change.reported.ueid] = change.reported

    def _add_storm(self, draft: _Draft, storm: StormNotice, now_s: int) -> None:
        alert = alert_of_storm(storm, self._next_id(draft), now_s)
        is_open = not storm.closes and storm.condition is not Condition.AFFIRMING
        draft.add(storm.key, Outgoing(alert=alert), is_open=is_open)
        if not storm.closes:
            return
        for ueid in self._storm_members(draft).get(storm.condition, []):  # few: each gets an open alert of its own
            reported = draft.reported.get(ueid) or self._reported[ueid]
            draft.reported[ueid] = replace(reported, storm=False)
            still = replace(
                alert,
                kind=AlertKind.VERDICT,
                summary=f"{ueid_text(ueid)} is still {reported.headline.condition}.",
                ueid=ueid,
                reasons=reported.headline.reasons,
                count=None,
                attesters=(),
                rule=reported.rule,
            )
            draft.opened[_key(ueid)] = Outgoing(alert=still, receivers=self._receivers_of(reported.rule))

    def _receivers_of(self, rule_name: str) -> tuple[str, ...]:
        return next((rule.receivers for rule in self._rules if rule.name == rule_name), ())

    def _storm_members(self, draft: _Draft) -> dict[Condition, list[Ueid]]:
        """Attesters in a storm that have not recovered, by reported condition."""
        members: dict[Condition, list[Ueid]] = {}
        if not self._storms.is_active:
            return members
        for each in (self._reported | draft.reported).values():
            if each.storm:
                members.setdefault(each.headline.condition, []).append(each.ueid)
        return members

    def _next_id(self, draft: _Draft) -> str:
        return alert_id(self._installation, self._serial + len(draft.outgoing) + 1)


def _key(ueid: Ueid) -> str:
    return f"attester/{ueid_text(ueid)}"
