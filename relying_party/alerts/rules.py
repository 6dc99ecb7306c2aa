"""When a standing is worth an alert: what was said of an attester, what stands now, and a rule that says what matters.

Pure. Invariants: only what a verified result says, or its expiry, moves a verdict here. Undecided and stale are never a
recovery: what was said to be bad stays said until a verifier affirms again, or finds nothing worse than a rule's owner
wants to hear of. What becomes contraindicated or contradicted is told at once; all else may be held, and what goes back
to what was said within that time was never told.
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

# They decide nothing by themselves. Where a policy gives one of them a weight it comes first, and then it is deciding.
_REPORTED_ONLY: Final = frozenset(code for code, row in REASONS.items() if row.reported_only)
_AT_ONCE: Final = frozenset({Condition.CONTRAINDICATED, Condition.CONTRADICTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """What can change about an attester: its condition, and why.

    Attributes:
        condition: the worst that status and freshness say.
        reasons: the deciding reason codes, sorted.
    """

    condition: Condition
    reasons: tuple[str, ...] = ()


WELL: Final = Headline(condition=Condition.AFFIRMING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which changes of which attesters matter, to whom.

    Attributes:
        name: for people.
        policies: ids of appraisal policies, with or without version; empty for all. A result that names none matches:
            nobody knows which would have applied.
        attesters: beginnings of UEIDs, as text; empty for all.
        to: conditions worth an alert.
        recovery: tell when an attester is well again.
        reasons: tell when the reasons change though the condition stays.
        hold_s: tell of a change only when it has lasted so long; never holds what becomes contraindicated.
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
class Memory:
    """What was said of one attester.

    Attributes:
        ueid: of the attester.
        said: what receivers believe.
        rule: the name of the rule by which they were told last; empty while nothing was said.
        differs_since_s: since when something else stands, UTC seconds; None while it does not.
        storm: it was told as one of many, and is not well again.
    """

    ueid: Ueid
    said: Headline = WELL
    rule: str = ""
    differs_since_s: int | None = None
    storm: bool = False

    @property
    def is_open(self) -> bool:
        """Whether something bad was said and not taken back."""
        return self.said.condition is not Condition.AFFIRMING


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be told of one attester.

    Attributes:
        memory: of it, once it is told.
        before: what was said before.
        standing: what stands.
        rule: by which it matters.
        in_storm: what was said before was said of many at once.
    """

    memory: Memory
    before: Headline
    standing: Standing
    rule: Rule
    in_storm: bool

    @property
    def is_recovery(self) -> bool:
        """Whether it takes back what was said."""
        return not self.memory.is_open


def condition_of(standing: Standing) -> Condition:
    """The worst that a standing says, in one word."""
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
    """The headline of a standing; one that affirms needs no reasons."""
    condition = condition_of(standing)
    if condition is Condition.AFFIRMING:
        return WELL
    deciding = {code for number, code in enumerate(standing.reasons) if number == 0 or code not in _REPORTED_ONLY}
    return Headline(condition=condition, reasons=tuple(sorted(deciding)))


def rule_for(rules: Sequence[Rule], result: AttestationResult) -> Rule | None:
    """The first rule that is about this attester; None when there is none."""
    text = ueid_text(result.ueid)
    return next((rule for rule in rules if _is_about(rule, text, result.policies)), None)


def judge(memory: Memory, standing: Standing, rule: Rule | None, now_s: int) -> tuple[Memory, Change | None]:
    """Whether to tell of an attester.

    Args:
        memory: what was said of it.
        standing: what stands at ``now_s``.
        rule: of :func:`rule_for`.
        now_s: UTC seconds.

    Returns:
        The memory as it is to be kept if nothing is told, and the change if it is to be told now; its own memory
        replaces the other once the alert is stored.
    """
    now = None if rule is None else _to_say(memory.said, headline_of(standing), rule)
    if rule is None or now is None:
        return (memory if memory.differs_since_s is None else replace(memory, differs_since_s=None)), None
    since_s = now_s if memory.differs_since_s is None else memory.differs_since_s
    urgent = now.condition in _AT_ONCE and now.condition is not memory.said.condition
    if not urgent and 0 <= now_s - since_s < rule.hold_s:  # a clock set back holds nothing longer
        return (memory if memory.differs_since_s == since_s else replace(memory, differs_since_s=since_s)), None
    told = Memory(ueid=memory.ueid, said=now, rule=rule.name)
    change = Change(memory=told, before=memory.said, standing=standing, rule=rule, in_storm=memory.storm)
    return memory, change


def _to_say(said: Headline, now: Headline, rule: Rule) -> Headline | None:
    """What should be said instead of ``said``; None if that still does."""
    if now.condition in rule.to:
        if now.condition is not said.condition:
            return now
        return now if rule.reasons and now.reasons != said.reasons else None
    if said.condition is Condition.AFFIRMING:
        return None
    well = now.condition is Condition.AFFIRMING or now.condition is Condition.WARNING
    return WELL if well else None


def _is_about(rule: Rule, ueid: str, policies: Sequence[str]) -> bool:
    if rule.attesters and not ueid.startswith(rule.attesters):
        return False
    if not rule.policies or not policies:
        return True
    named = set(policies) | {label.rpartition("/")[0] for label in policies}
    return not named.isdisjoint(rule.policies)
