"""Decides which changes of an attester are reported: compares its standing with its last report, under a rule. Pure.

Invariants: only a verified result, or its expiry, leads to a report. Undecided and stale are never a recovery: an open
alert stays open until a verifier affirms the attester again, or its condition is one that the rule does not alert on.
An attester that becomes contraindicated or contradicted is reported at once. Every other change may be held; a change
that is undone within the hold time is never reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from relying_party.result_board import Standing
from schemas.identifiers import Ueid, ueid_text
from schemas.messages.alert import Condition
from schemas.messages.result import AttestationResult
from schemas.reasons.table import REASONS
from schemas.verdicts import Freshness, Tier

# Reasons that decide no verdict by themselves. Where a policy gives one of them a weight it comes first and decides.
_REPORTED_ONLY: Final = frozenset(code for code, row in REASONS.items() if row.reported_only)
_AT_ONCE: Final = frozenset({Condition.CONTRAINDICATED, Condition.CONTRADICTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The part of a standing that is worth a report when it changes.

    Attributes:
        condition: the worst of status and freshness.
        reasons: the deciding reason codes, sorted.
    """

    condition: Condition
    reasons: tuple[str, ...] = ()


AFFIRMING: Final = Headline(condition=Condition.AFFIRMING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The changes to report, of which attesters, to which receivers.

    Attributes:
        name: for people.
        policies: ids of appraisal policies, with or without version; empty for all. A result without a policy matches,
            because nobody knows which policy would have applied.
        attesters: beginnings of UEIDs, as text; empty for all.
        to: conditions worth an alert.
        recovery: report when an attester is affirming again.
        reasons: report when the reasons change under the same condition.
        hold_s: report a change only when it has lasted this long; never holds contraindicated and contradicted.
        receivers: names of receivers; empty for all.
    """

    name: str
    policies: tuple[str, ...] = ()
    attesters: tuple[str, ...] = ()
    to: frozenset[Condition] = frozenset(Condition) - {Condition.AFFIRMING}
    recovery: bool = True
    reasons: bool = True
    hold_s: float = 0.0
    receivers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """The last report about one attester.

    Attributes:
        ueid: of the attester.
        headline: the reported one; affirming before the first report.
        rule: name of the rule behind the report; empty before the first report.
        differs_since_s: since when the standing differs from the report, UTC seconds; None while it does not.
        storm: the report was part of a storm, and the attester has not recovered.
    """

    ueid: Ueid
    headline: Headline = AFFIRMING
    rule: str = ""
    differs_since_s: int | None = None
    storm: bool = False

    @property
    def is_open(self) -> bool:
        """Whether an alert about the attester is open."""
        return self.headline.condition is not Condition.AFFIRMING


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change to report about one attester.

    Attributes:
        reported: the new last report.
        before: the headline reported before.
        standing: of the attester.
        rule: that asks for the report.
        in_storm: the report before was part of a storm.
    """

    reported: Reported
    before: Headline
    standing: Standing
    rule: Rule
    in_storm: bool

    @property
    def is_recovery(self) -> bool:
        """Whether it closes the open alert."""
        return not self.reported.is_open


def condition_of(standing: Standing) -> Condition:
    """The worst of a standing's status and freshness, as one word."""
    if standing.status is Tier.CONTRAINDICATED:
        return Condition.CONTRAINDICATED
    if standing.freshness is Freshness.CONTRADICTED:
        return Condition.CONTRADICTED
    if standing.freshness is Freshness.STALE:
        return Condition.STALE
    if standing.status is Tier.NONE or standing.freshness is not Freshness.FRESH:
        return Condition.UNDECIDED
    return Condition.WARNING if standing.status is Tier.WARNING else Condition.AFFIRMING


def headline_of(standing: Standing) -> Headline:
    """The headline of a standing; an affirming one has no reasons."""
    condition = condition_of(standing)
    if condition is Condition.AFFIRMING:
        return AFFIRMING
    deciding = {code for number, code in enumerate(standing.reasons) if number == 0 or code not in _REPORTED_ONLY}
    return Headline(condition=condition, reasons=tuple(sorted(deciding)))


def rule_for(rules: Sequence[Rule], result: AttestationResult) -> Rule | None:
    """The first rule that matches the attester; None without a match."""
    text = ueid_text(result.ueid)
    return next((rule for rule in rules if _matches(rule, text, result.policies)), None)


def judge(reported: Reported, standing: Standing, rule: Rule | None, now_s: int) -> tuple[Reported, Change | None]:
    """Decides whether to report an attester now.

    Args:
        reported: the last report about it.
        standing: at ``now_s``.
        rule: of :func:`rule_for`.
        now_s: UTC seconds.

    Returns:
        The last report with its hold time updated, and the change if it is to be reported now. Once the alert is
        stored, the change's own ``reported`` replaces the former.
    """
    new = None if rule is None else _headline_to_report(reported.headline, headline_of(standing), rule)
    if rule is None or new is None:
        return (reported if reported.differs_since_s is None else replace(reported, differs_since_s=None)), None
    since_s = now_s if reported.differs_since_s is None else reported.differs_since_s
    urgent = new.condition in _AT_ONCE and new.condition is not reported.headline.condition
    if not urgent and 0 <= now_s - since_s < rule.hold_s:  # a clock that was set back does not prolong the hold
        return (reported if reported.differs_since_s == since_s else replace(reported, differs_since_s=since_s)), None
    change = Change(
        reported=Reported(ueid=reported.ueid, headline=new, rule=rule.name),
        before=reported.headline,
        standing=standing,
        rule=rule,
        in_storm=reported.storm,
    )
    return reported, change


def _headline_to_report(reported: Headline, now: Headline, rule: Rule) -> Headline | None:
    """The headline to report in place of ``reported``; None if that is still right."""
    if now.condition in rule.to:
        if now.condition is not reported.condition:
            return now
        return now if rule.reasons and now.reasons != reported.reasons else None
    if reported.condition is Condition.AFFIRMING:
        return None
    recovered = now.condition is Condition.AFFIRMING or now.condition is Condition.WARNING
    return AFFIRMING if recovered else None


def _matches(rule: Rule, ueid: str, policies: Sequence[str]) -> bool:
    if rule.attesters and not ueid.startswith(rule.attesters):
        return False
    if not rule.policies or not policies:
        return True
    named = set(policies) | {label.rpartition("/")[0] for label in policies}
    return not named.isdisjoint(rule.policies)
