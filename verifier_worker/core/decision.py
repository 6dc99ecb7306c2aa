"""Turns a message, an arrived handle or a missed deadline, plus the trust in force, into the claims of a signed result.

The worker and the offline auditor both call this module, so they reach the same result. Nothing outside it influences a
verdict. Pure.
"""

from dataclasses import dataclass, replace
from typing import Final

from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.media_types import Indicator
from schemas.messages.evidence import parse_evidence
from schemas.messages.result import AttestationResult, Rejections
from schemas.messages.trust_statement import Withdrawal, Withdrawn
from schemas.verdicts import Freshness
from verifier_worker.core.checks.appraisal import verdict_of
from verifier_worker.core.conclusion import resolve
from verifier_worker.core.finding import Finding
from verifier_worker.core.lasting import reported
from verifier_worker.core.result_builder import build_result
from verifier_worker.core.state import AttesterState
from verifier_worker.core.step import SolicitRequest, Step, overdue, refuse, step
from verifier_worker.core.trust import REASON_OF, Trust, withdrawal_of, withdrawal_text

DEVELOPER: Final = "attestream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A new state of an attester, and the result that states it.

    Attributes:
        state: to go on with.
        findings: of appraisal.
        result: to sign.
        solicit: the full push to request, if any.
    """

    state: AttesterState
    findings: tuple[Finding, ...]
    result: AttestationResult
    solicit: SolicitRequest | None


def decide_push(
    ueid: Ueid,
    state: AttesterState | None,
    payload: bytes,
    received_us: int,
    trust: Trust,
    verifier: str,
    *,
    refused_before: Rejections | None = None,
) -> Decision | Step:
    """Decodes a message, takes it through ``step``, and builds the result.

    Args:
        ueid: the attester on whose topic the message came.
        state: of the attester; None before its first accepted push.
        payload: as it arrived.
        received_us: receipt, UTC microseconds.
        trust: in force at the receipt, for this attester.
        verifier: the verifier's name.
        refused_before: messages of an endorsed attester that were refused before the first accepted push.

    Returns:
        The step alone where the push is refused or a duplicate: neither gets a result.
    """
    try:
        evidence = parse_evidence(cmw.unwrap(payload, media_types.EVIDENCE, Indicator.EVIDENCE))
    except PeerError as error:
        return Step(state=refuse(state, error.reason, received_us), refused=error)
    taken = step(state, ueid, evidence, received_us, trust)
    if taken.state is None or taken.refused is not None or taken.duplicate:
        return taken
    after = replace(taken.state, rejections=refused_before) if state is None else taken.state
    return _decided(ueid, after, taken.findings, received_us, trust, verifier, taken.solicit)


def decide_handle(ueid: Ueid, state: AttesterState, now_us: int, trust: Trust, verifier: str) -> Decision | None:
    """Appraises a pending push again, now that its handle is known; None as :func:`resolve` has it."""
    resolved = resolve(ueid, state, trust, now_us)
    return _decided(ueid, *resolved, now_us, trust, verifier) if resolved is not None else None


def decide_withdrawal(ueid: Ueid, state: AttesterState, now_us: int, trust: Trust, verifier: str) -> Decision | None:
    """Reports that the attester's endorsement was withdrawn; None if it is in force, or this was reported before."""
    withdrawal = withdrawal_of(trust, ueid)
    if withdrawal is None or withdrawal.standing is Withdrawn.REPLACED:
        return None
    if REASON_OF[withdrawal.standing] in state.verdict.reasons:
        return None
    ended, findings = _withdrawn(state, withdrawal)
    return _decided(ueid, ended, findings, now_us, trust, verifier)


def decide_silence(ueid: Ueid, state: AttesterState, now_us: int, trust: Trust, verifier: str) -> Decision | None:
    """Makes the result of a silent attester stale; None while its deadline has not passed."""
    late = overdue(state, now_us)
    bad = tuple(reported(late.lasting, ()))  # stays named
    return _decided(ueid, late, bad, now_us, trust, verifier) if late is not state else None


def _withdrawn(state: AttesterState, withdrawal: Withdrawal) -> tuple[AttesterState, tuple[Finding, ...]]:
    """The state of an attester whose endorsement was withdrawn. A finding that lasts stays with it (invariant I2)."""
    findings = (
        Finding(reason=REASON_OF[withdrawal.standing], detail=withdrawal_text(withdrawal)),
        *reported(state.lasting, ()),
    )
    verdict = replace(verdict_of(list(findings), {}, None, {}), freshness=Freshness.STALE)
    return replace(state, verdict=verdict, deadline_us=None), findings


def _decided(
    ueid: Ueid,
    state: AttesterState,
    findings: tuple[Finding, ...],
    now_us: int,
    trust: Trust,
    verifier: str,
    solicit: SolicitRequest | None = None,
) -> Decision:
    handle = trust.handles.get(state.sync.handle)
    result = build_result(
        ueid,
        state,
        findings,
        now_us,
        verifier,
        policy=trust.policy,
        handle=handle,
        reference_values=trust.references.sets,
    )
    return Decision(state=state, findings=findings, result=result, solicit=solicit)
