"""How a result comes about: from a message, or a deadline, and what is in force, to the claims that are signed.

The worker decides by it, and an auditor comes by it to the same again: what is not decided here decides nothing. Pure.
"""

from typing import Final

from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.media_types import Indicator
from schemas.messages.evidence import parse_evidence
from schemas.messages.result import AttestationResult
from verifier_worker.core.result_builder import build_result
from verifier_worker.core.state import AttesterState, Finding
from verifier_worker.core.step import Step, refuse, step
from verifier_worker.core.trust import Trust

DEVELOPER: Final = "attestream"


def take(state: AttesterState | None, ueid: Ueid, payload: bytes, received_us: int, trust: Trust) -> Step:
    """One message: decoded, then through ``step``.

    Args:
        state: what is known of the attester; None for nothing.
        ueid: the attester on whose topic it came.
        payload: as it arrived.
        received_us: receipt, UTC microseconds.
        trust: in force at the receipt, for this attester.
    """
    try:
        evidence = parse_evidence(cmw.unwrap(payload, media_types.EVIDENCE, Indicator.EVIDENCE))
    except PeerError as error:
        return Step(state=refuse(state, error.reason, received_us), refused=error)
    return step(state, ueid, evidence, received_us, trust)


def result_about(
    ueid: Ueid, state: AttesterState, findings: tuple[Finding, ...], now_us: int, trust: Trust, verifier: str
) -> AttestationResult:
    """The result of an appraisal, of a handle that came, or of a missed deadline.

    Args:
        ueid: the attester.
        state: after it.
        findings: of it.
        now_us: receipt of the message, or the time of the rest.
        trust: in force then.
        verifier: its name.
    """
    handle = trust.handles.get(state.sync.handle)
    return build_result(ueid, state, findings, now_us, verifier, policy=trust.policy, handle=handle)
