"""A policy's own rules, evaluated after all checks, and the facts that they can use."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from schemas.errors import PeerError
from schemas.identifiers import Ueid, ueid_text
from schemas.instants import SECOND_US
from schemas.reasons import Reason
from verifier_worker.core.checks.appraisal_input import AppraisalInput
from verifier_worker.core.finding import Finding
from verifier_worker.core.policy.cel_rules import holds
from verifier_worker.core.policy.policy_file import WeighedRule
from verifier_worker.core.state import AttesterState

_HOUR_US: Final = 3_600 * SECOND_US


def apply_rules(
    rules: Iterable[WeighedRule],
    given: AppraisalInput,
    ueid: Ueid,
    findings: Iterable[Finding],
    vouched: Mapping[str, object],
) -> Iterator[Finding]:
    """Evaluates every rule. A rule that fails to evaluate leaves the verdict undecided.

    Args:
        rules: of the policy.
        given: the input of the checks.
        ueid: the attester.
        findings: of all checks.
        vouched: claims that quoted PCRs vouch for.
    """
    facts = facts_of(given.state, ueid, given.group, findings, vouched)
    for each in rules:
        try:
            if holds(each.rule, facts):
                yield Finding(reason=Reason.POLICY_RULE, detail=each.rule.name, weight=each.weight)
        except PeerError as error:
            yield Finding(reason=Reason.POLICY_RULE_FAILED, detail=error.detail)


def facts_of(
    state: AttesterState, ueid: Ueid, group: str, findings: Iterable[Finding], vouched: Mapping[str, object]
) -> dict[str, object]:
    """A value for each of ``cel_rules.FACTS``."""
    measured, rate = state.measured, state.clock.rate_ppm
    age_us = state.received_us - state.made_after_us if state.made_after_us is not None else -SECOND_US
    return {
        "ueid": ueid_text(ueid),
        "group": group,
        "said": {name: value for name, value in state.claims.items() if not isinstance(value, bytes)},
        "vouched": dict(vouched),
        "reasons": sorted({finding.reason.value for finding in findings}),
        "unexpected": [path for _, path in measured.unexpected],
        "unexpected_total": measured.unexpected_total,
        "excluded_total": measured.excluded,
        "violations": measured.violations,
        "log_entries": dict(state.replay.next_index),
        "age_s": age_us / SECOND_US,
        "clock_rate_ppm": list(rate) if rate is not None else [],
        "clock_safe": state.clock_safe,
        "reset_count": state.reset_count,
        "firmware_version": int.from_bytes(state.firmware_version.to_bytes(8), signed=True),
        "transitions": [each.kind.name.lower() for each in state.transitions],
        "hour_utc": state.received_us // _HOUR_US % 24,
    }
