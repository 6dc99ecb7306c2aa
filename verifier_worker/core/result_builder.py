"""Builds the attestation result from an attester's state."""

from collections.abc import Mapping
from typing import Final, TypeVar

from schemas.identifiers import Ueid
from schemas.instants import SECOND_US
from schemas.limits import MAX_UNEXPECTED_LISTED
from schemas.messages.handle import Handle
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.reasons.table import REASONS
from schemas.verdicts import Freshness
from verifier_worker.core.finding import Finding
from verifier_worker.core.policy.policy_file import AppraisalPolicy
from verifier_worker.core.state import AttesterState

V = TypeVar("V")
WITHDRAWN_LIFETIME_US: Final = 31 * 86_400 * SECOND_US
STALE_LIFETIME_US: Final = 86_400 * SECOND_US  # a stale result affirms nothing, so a day is safe
MAX_SETS: Final = 64  # a result must stay small; without their names no proof can rest on it
UNAPPRAISED_LIFETIME_US: Final = 300 * SECOND_US  # without a policy


def build_result(
    ueid: Ueid,
    state: AttesterState,
    findings: tuple[Finding, ...],
    now_us: int,
    verifier: str,
    *,
    policy: AppraisalPolicy | None,
    handle: Handle | None,
    reference_values: tuple[str, ...] = (),
) -> AttestationResult:
    """Builds the result of an appraisal or a missed deadline (invariant I19).

    Args:
        ueid: the attester.
        state: after ``step``, ``resolve`` or ``overdue``.
        findings: of that step; they name what was unexpected.
        now_us: when the result is issued. Its lifetime starts at the receipt, however late the handle came.
        verifier: the verifier's name.
        policy: the one applied.
        handle: of the evidence's sync proof, if known. A fresh result ends with it and the policy's grace.
        reference_values: names and versions of the sets in force.
    """
    verdict, measured = state.verdict, state.measured
    shown = [finding for finding in findings if REASONS[finding.reason].listed and finding.detail]
    hidden = max(0, measured.unexpected_total - len(measured.unexpected)) if shown else 0
    return AttestationResult(
        ueid=ueid,
        environment=state.environment,
        status=verdict.status,
        freshness=verdict.freshness,
        reasons=tuple(verdict.reasons),
        vector=verdict.vector,
        issued_s=now_us // SECOND_US,
        expires_s=_expiry_us(state, now_us, policy, handle) // SECOND_US,
        verifier=verifier,
        handle=state.sync.handle,
        evidence=state.evidence,
        sequence=state.sequence,
        made_after_us=state.made_after_us,
        made_before_us=state.made_before_us,
        received_us=state.received_us,
        received_after=state.received_after,
        policies=(policy.label,) if policy is not None else (),
        reference_values=reference_values if len(reference_values) <= MAX_SETS else (),
        logs=_sorted(state.replay.next_index),
        unexpected=tuple(finding.detail for finding in shown[:MAX_UNEXPECTED_LISTED]),
        unexpected_digests=tuple(finding.digest.hex() for finding in shown[:MAX_UNEXPECTED_LISTED]),
        unexpected_total=len(shown) + hidden,
        claims=_sorted({name: value for name, value in state.claims.items() if not isinstance(value, bytes)}),
        verified_claims=_sorted(verdict.verified_claims),
        rejections=state.rejections,
        clock_rate_ppm=state.clock.rate_ppm,
        transitions=state.transitions,
    )


def _sorted(items: Mapping[str, V]) -> dict[str, V]:
    """Sorted by name, so that a state from memory and one from the database give the same bytes."""
    return dict(sorted(items.items()))


def _expiry_us(state: AttesterState, now_us: int, policy: AppraisalPolicy | None, handle: Handle | None) -> int:
    if Reason.ATTESTING_KEY_REVOKED in state.verdict.reasons:
        return now_us + WITHDRAWN_LIFETIME_US
    if state.verdict.freshness is Freshness.STALE:
        return now_us + STALE_LIFETIME_US
    if policy is None:
        return now_us + UNAPPRAISED_LIFETIME_US
    expires_us = state.received_us + policy.result_lifetime_us
    return min(expires_us, handle.expires_us + policy.grace_us) if handle is not None else expires_us
