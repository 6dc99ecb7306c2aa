"""Checks whether a relying party may rely on one result: its signature, times, handle, attester and policies. Pure.

Promise of :func:`verify_attestation`: a result that it returns was signed by a trusted verifier with ES256, is in force
within the leeway, is bound to a handle and meets every expectation of the caller. In every other case it raises a
:class:`PeerError` that names the failed check. It does not judge the status: a result about a contraindicated attester
is valid. It does not check who presents the result either: see ``schemas.messages.passport_proof``.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from schemas.errors import PeerError
from schemas.identifiers import Ueid, ueid_text
from schemas.instants import SECOND_US
from schemas.messages import result_token
from schemas.messages.handle import Handle
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier

LEEWAY_S: Final = 30.0  # how far our clock and the verifier's may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """Demands on a result beyond being genuine; None demands nothing.

    Attributes:
        policies: ids, with versions, of the accepted appraisal policies; a result must name one, and no other.
        max_age_s: maximum age of the quote, seconds, in the worst case.
        max_handle_age_s: maximum age of the handle, seconds; needs the handles.
        fresh_only: refuse results whose freshness is not ``fresh``.
        leeway_s: how far our clock and the verifier's may differ, either way; widens validity and ages.
    """

    policies: Collection[str] | None = None
    max_age_s: float | None = None
    max_handle_age_s: float | None = None
    fresh_only: bool = False
    leeway_s: float = LEEWAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """A result that verified and met the expectations.

    Attributes:
        result: as it was signed.
        age_s: maximum age of the quote, seconds; None when the result does not state it.
        handle_age_s: seconds since the handle was stamped; None when the caller gave no handles.
    """

    result: AttestationResult
    age_s: float | None
    handle_age_s: float | None

    @property
    def affirming(self) -> bool:
        """Whether the verifier affirms the attester, on fresh evidence."""
        return self.result.status is Tier.AFFIRMING and self.result.freshness is Freshness.FRESH


def verify_attestation(
    token: bytes,
    keys: Mapping[str, EllipticCurvePublicKey],
    now_us: int,
    expected: Expectations,
    *,
    ueid: Ueid | None = None,
    handles: Iterable[Handle] | None = None,
) -> Attestation:
    """Verifies one result.

    1. the signature, by a trusted key, with ES256, over a result (:func:`schemas.messages.result_token.verify`);
    2. its attester, where the caller expects one;
    3. its validity, and that it was not issued in our future, within the leeway;
    4. its handle: it names one, and if the caller passes handles it is one of them;
    5. its policies;
    6. freshness, age of the quote, age of the handle.

    Args:
        token: a JWT or a CWT.
        keys: the trusted verifiers' keys, as :func:`schemas.messages.result_token.result_keys` makes them.
        now_us: UTC microseconds.
        expected: the demands on it.
        ueid: the attester that it must be about; None for any.
        handles: accepted handles, verified by the caller (``schemas.messages.handle.verify_handle``); None for any.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``result-signature-invalid``, ``result-of-another-attester``,
            ``result-not-yet-valid``, ``result-expired``, ``result-handle-mismatch``, ``result-policy-unknown``,
            ``result-not-fresh``, ``result-too-old``.
    """
    result = result_token.verify(token, keys)
    if ueid is not None and result.ueid != ueid:
        detail = f"attestation result: about {ueid_text(result.ueid)}, expected {ueid_text(ueid)}"
        raise PeerError(Reason.RESULT_OF_ANOTHER_ATTESTER, detail)
    _check_validity(result, now_us / SECOND_US, expected.leeway_s)
    handle = _check_handle(result, handles)
    _check_policies(result, expected.policies)
    attestation = Attestation(
        result=result,
        age_s=None if result.made_after_us is None else max(0.0, (now_us - result.made_after_us) / SECOND_US),
        handle_age_s=None if handle is None else max(0.0, (now_us - handle.time_us) / SECOND_US),
    )
    _check_freshness(attestation, expected)
    return attestation


def _check_validity(result: AttestationResult, now_s: float, leeway_s: float) -> None:
    if now_s + leeway_s < result.issued_s:
        ahead = f"{result.issued_s - now_s:.0f} s in our future"
        raise PeerError(Reason.RESULT_NOT_YET_VALID, f"attestation result: issued {ahead}")
    if now_s - leeway_s >= result.expires_s:
        ago = f"{now_s - result.expires_s:.0f} s ago"
        raise PeerError(Reason.RESULT_EXPIRED, f"attestation result: expired {ago}")


def _check_handle(result: AttestationResult, handles: Iterable[Handle] | None) -> Handle | None:
    """REIM-18, 7.3.2.4: a result is bound to the handle of its appraisal."""
    if result.handle is None:
        raise PeerError(Reason.RESULT_HANDLE_MISMATCH, "attestation result: bound to no handle")
    if handles is None:
        return None
    known = {handle.id: handle for handle in handles}.get(result.handle)
    if known is None:
        detail = f"attestation result: bound to handle {result.handle.hex()[:16]}…, which is not known here"
        raise PeerError(Reason.RESULT_HANDLE_MISMATCH, detail)
    return known


def _check_policies(result: AttestationResult, allowed: Collection[str] | None) -> None:
    if allowed is None:
        return
    if not result.policies:
        raise PeerError(Reason.RESULT_POLICY_UNKNOWN, "attestation result: names no appraisal policy")
    unknown = [policy for policy in result.policies if policy not in allowed]
    if unknown:
        detail = f"attestation result: by policy {unknown[0][:64]!r}, expected {', '.join(sorted(allowed)) or 'none'}"
        raise PeerError(Reason.RESULT_POLICY_UNKNOWN, detail)


def _check_freshness(attestation: Attestation, expected: Expectations) -> None:
    freshness = attestation.result.freshness
    if expected.fresh_only and freshness is not Freshness.FRESH:
        raise PeerError(Reason.RESULT_NOT_FRESH, f"attestation result: {freshness}, expected fresh")
    limits = (
        ("quote", attestation.age_s, expected.max_age_s),
        ("handle", attestation.handle_age_s, expected.max_handle_age_s),
    )
    for part, age_s, limit_s in limits:
        if limit_s is None:
            continue
        if age_s is None:
            raise PeerError(Reason.RESULT_TOO_OLD, f"attestation result: the age of its {part} is not known")
        if age_s > limit_s + expected.leeway_s:
            detail = f"attestation result: its {part} may be {age_s:.0f} s old, the limit is {limit_s:g} s"
            raise PeerError(Reason.RESULT_TOO_OLD, detail)
