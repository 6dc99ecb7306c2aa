"""Which suspends of this boot the attester has reported, against the restart count that its TPM signs.

A suspend that nobody reported stays unreported until a signed body reports it, or until the first settled quote of a
later boot. A push after a gap proves nothing missing: the lost push may have reported it. So it adds what it reports
and judges nothing; the next push that no gap precedes does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from schemas.limits import MAX_TRANSITIONS
from schemas.messages.evidence import Transition
from schemas.reasons import Reason
from schemas.time_model import counter_after, counter_steps
from schemas.transitions import TransitionKind
from verifier_worker.core.finding import Finding

MAX_REPORTED: Final = 2 * MAX_TRANSITIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounted:
    """The account of one boot.

    Attributes:
        until: restart count; the resumes up to it were all reported.
        reported: later restart counts that were reported, too; the first ``MAX_REPORTED``.
        judged: restart count of the last push that no gap preceded. A resume up to it must have been reported.
        judged_ms: that push's clock. A later full push may repeat the transitions up to it.
        repeatable: transitions that pushes after a gap have reported since; a full push may repeat them, too.
    """

    until: int = 0
    reported: frozenset[int] = frozenset()
    judged: int = 0
    judged_ms: int = 0
    repeatable: tuple[Transition, ...] = ()

    @property
    def unreported(self) -> int:
        """The number of resumes up to ``judged`` that no push has reported."""
        due = counter_steps(self.until, self.judged)
        reported = sum(1 for count in self.reported if 0 < counter_steps(self.until, count) <= due)
        return max(0, due - reported)

    def knows(self, transition: Transition) -> bool:
        """Whether an earlier push of this boot reported the transition, or had to."""
        return transition.clock_ms <= self.judged_ms or transition in self.repeatable


def opened(restart_count: int, clock_ms: int) -> Accounted:
    """The account of a boot whose first push quotes this clock."""
    return Accounted(until=restart_count, judged=restart_count, judged_ms=clock_ms)


def added(
    before: Accounted, transitions: Iterable[Transition], restart_count: int, clock_ms: int, *, after_gap: bool
) -> Accounted:
    """The account after one more push of the same boot.

    Args:
        before: so far.
        transitions: of this boot, as the push reports them.
        restart_count: in its quote.
        clock_ms: in its quote.
        after_gap: the push does not follow the last accepted one, and is not a full one.
    """
    transitions = tuple(transitions)
    reach = counter_steps(before.until, restart_count)
    counts = {each.restart_count for each in transitions if each.kind is TransitionKind.SUSPEND} | before.reported
    steps = sorted({step for count in counts if 0 < (step := counter_steps(before.until, count)) <= reach})
    done = 0
    if len(transitions) == MAX_TRANSITIONS and steps:
        done = steps[0] - 1  # the list is full: it has no room for older ones
    for step in steps:
        if step != done + 1:
            break
        done = step
    until = counter_after(before.until, done)
    later = [step for step in steps if step > done][:MAX_REPORTED]
    reported = frozenset(counter_after(before.until, step) for step in later)
    if after_gap:
        repeatable = tuple(dict.fromkeys((*before.repeatable, *transitions)))[-MAX_TRANSITIONS:]
        return Accounted(
            until=until,
            reported=reported,
            judged=before.judged if counter_steps(until, before.judged) > 0 else until,
            judged_ms=before.judged_ms,
            repeatable=repeatable,
        )
    return Accounted(until=until, reported=reported, judged=restart_count, judged_ms=clock_ms)


def unreported_resumes(accounted: Accounted) -> Iterable[Finding]:
    """A finding if resumes are unreported."""
    if accounted.unreported:
        due = counter_steps(accounted.until, accounted.judged)
        yield Finding(reason=Reason.TRANSITION_UNREPORTED, detail=f"{accounted.unreported} of {due} resumes")
