"""What must hold after every event at a verifier, by the truth about the messages, not by the verifier's code.

Each invariant takes the moment before, the outcome, and the scope. It returns what is wrong, in words, or nothing.
"""

from collections.abc import Callable
from typing import Final

from schemas.instants import SECOND_US
from schemas.topics import TopicKind
from schemas.verdicts import Freshness, Tier
from tests.exploration.scope import Scope
from tests.exploration.trust import newest
from tests.exploration.verifier import Node, Outcome

Invariant = Callable[[Node, Outcome, Scope], str]


def affirms_only_what_is_good(before: Node, outcome: Outcome, scope: Scope) -> str:
    """Affirming: with all that this verifier was given, the complete history would affirm, too."""
    for result in outcome.results:
        if result.status is not Tier.AFFIRMING:
            continue
        push = next((each for each in scope.messages if each.body == result.evidence), None)
        if push is None:
            return "affirms evidence that nobody made"
        trust = outcome.after.trust
        values, endorsement = newest(trust, TopicKind.REFERENCE_VALUES), newest(trust, TopicKind.ENDORSEMENTS)
        if push.truth.handle not in trust.given:
            return "affirms evidence under a handle that it was not given"
        if endorsement is None or not endorsement.truth.endorsed:
            return "affirms a device whose endorsement was revoked"
        if values is None or not push.truth.ran <= values.truth.files:
            return "affirms a device that ran a file without a reference value"
    return ""


def accuses_nobody_wrongly(before: Node, outcome: Outcome, scope: Scope) -> str:
    """Contraindicated: some accepted push shows a file that some reference values do not list (invariant I9)."""
    if not any(result.status is Tier.CONTRAINDICATED for result in outcome.results):
        return ""
    sets = [each.truth.files for each in outcome.after.trust.given.values() if each.kind == TopicKind.REFERENCE_VALUES]
    ran = frozenset().union(*(each.truth.ran for each in scope.messages if each.body))
    return "" if any(ran - files for files in sets) else "accuses a device that ran nothing bad"


def a_finding_stays(before: Node, outcome: Outcome, scope: Scope) -> str:
    """What a settled quote of this boot has shown is contraindicated until reference values list it (invariant I7)."""
    after = outcome.after
    values = newest(after.trust, TopicKind.REFERENCE_VALUES)
    left = after.known.found - (values.truth.files if values is not None else frozenset())
    state = after.kept.state
    if left and state is not None and state.verdict.status is not Tier.CONTRAINDICATED:
        return f"forgot a finding: {state.verdict.status}"
    return ""


def a_refused_message_changes_nothing(before: Node, outcome: Outcome, scope: Scope) -> str:
    """Invariant I3; the comparison is the verifier's, on the whole state."""
    if outcome.problem:
        return outcome.problem
    if outcome.refused is not None and (outcome.results or outcome.after.key != before.key):
        return "a refused message had an effect"
    return ""


def a_duplicate_changes_nothing(before: Node, outcome: Outcome, scope: Scope) -> str:
    """A message that is known publishes nothing new."""
    if outcome.duplicate and (outcome.results or outcome.after.key != before.key):
        return "a duplicate had an effect"
    return ""


def accepted_pushes_go_forward(before: Node, outcome: Outcome, scope: Scope) -> str:
    """Evidence is accepted in the order of its quotes, and once (invariant I4).

    Only the same body may come again, while no unsigned parts have reproduced its quote.
    """
    message = outcome.event.message
    if message is None or not message.body or not outcome.results:
        return ""
    state, push = before.kept.state, message.truth.push
    if push < before.known.push:
        return "accepts a push that is older than the last accepted one"
    if push == before.known.push and state is not None and state.is_settled_by_last_push:
        return "accepts a push twice"
    return ""


def versions_only_grow(before: Node, outcome: Outcome, scope: Scope) -> str:
    """The endorsement in force is the newest one given (invariant I10)."""
    trust = outcome.after.trust
    given = newest(trust, TopicKind.ENDORSEMENTS)
    key = trust.store.trust(scope.time_us(outcome.after.waits), scope.ueid).endorsed.get(scope.ueid)
    if given is not None and (key is None or key.endorsement.version != given.truth.version):
        return "an older endorsement is in force again"
    return ""


def a_result_ends_in_time(before: Node, outcome: Outcome, scope: Scope) -> str:
    """A fresh result does not outlive its handle and the grace (invariant I19)."""
    for result in outcome.results:
        handles = outcome.after.trust.store.trust(scope.time_us(outcome.after.waits)).handles
        handle = handles.get(result.handle) if result.handle is not None else None
        if result.freshness is Freshness.FRESH and handle is not None:
            last_us = handle.expires_us + scope.grace_us
            if result.expires_s * SECOND_US > last_us:
                return "a fresh result outlives its handle"
    return ""


def late_is_never_affirming(before: Node, outcome: Outcome, scope: Scope) -> str:
    """After silence, and under an expired handle, nothing is affirming (invariants I9, I20)."""
    if any(each.status is Tier.AFFIRMING and each.freshness is not Freshness.FRESH for each in outcome.results):
        return "affirms what is not fresh"
    return ""


INVARIANTS: Final[tuple[Invariant, ...]] = (
    a_refused_message_changes_nothing,
    a_duplicate_changes_nothing,
    accepted_pushes_go_forward,
    versions_only_grow,
    affirms_only_what_is_good,
    accuses_nobody_wrongly,
    a_finding_stays,
    a_result_ends_in_time,
    late_is_never_affirming,
)


def broken(before: Node, outcome: Outcome, scope: Scope) -> str:
    """The first invariant that does not hold, in words; empty if all hold."""
    for invariant in INVARIANTS:
        problem = invariant(before, outcome, scope)
        if problem:
            return f"{invariant.__name__.replace('_', ' ')}: {problem}"
    return ""
