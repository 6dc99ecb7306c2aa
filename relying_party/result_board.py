"""Keeps the newest verified result about each attester, from the verifiers that the caller trusts. Pure.

Promises: a board shows a result only if a trusted verifier signed it for the attester that it is shown under
(invariant I28); it never goes back to an earlier result of the same verifier, even if that is published again
(invariant I29); an expired result reads as undecided and stale (invariant I30). Where several verifiers have an
unexpired result, the worst one is the standing, and of equal ones the one about the newest evidence; a bad result that
expired is replaced only by a result about newer evidence (invariant I36). So nobody who holds a message back from one
verifier can improve a standing. A board does not decide what to do about an
attester, and does not notice a silent verifier before its results expire.

A message is unwrapped and verified once: :class:`VerifiedResult` carries its token and its result to every later user.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages import result_token
from schemas.messages.result import AttestationResult
from schemas.messages.result_token import result_keys
from schemas.reasons import Reason
from schemas.topics import Topics
from schemas.verdicts import Freshness, Tier

__all__ = ["ResultBoard", "Standing", "VerifiedResult", "result_keys", "standing_of", "verify_result", "verify_token"]
MAX_CLOCK_SKEW_S: Final = 300  # how far a verifier's clock may be ahead of ours
_FROM_GOOD_TO_BAD: Final = (Tier.AFFIRMING, Tier.NONE, Tier.WARNING, Tier.CONTRAINDICATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedResult:
    """A result that a trusted verifier signed; made by :func:`verify_result` and :func:`verify_token` only.

    Attributes:
        result: its content.
        token: the signed token.
    """

    result: AttestationResult
    token: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An attester's result in force at one moment, expired or not.

    Attributes:
        result: as it was signed.
        status: its status, or ``none`` once it has expired.
        freshness: its freshness, or ``stale`` once it has expired.
        reasons: its reasons; ``result-expired`` is the first of them once it has expired.
    """

    result: AttestationResult
    status: Tier
    freshness: Freshness
    reasons: tuple[str, ...]


def verify_result(topic: str, payload: bytes, keys: Mapping[str, EllipticCurvePublicKey]) -> VerifiedResult:
    """Verifies one message of the results topic: its form, its signature and its attester. Does not check its times.

    Args:
        topic: where it was published.
        payload: a CMW record with a result.
        keys: the trusted verifiers' keys by key id, as :func:`result_keys` makes them.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``unknown-media-type``, ``result-signature-invalid``, or
            ``result-of-another-attester`` when its topic names another attester.
    """
    verified = verify_token(result_token.unwrap(payload), keys)
    if verified.result.ueid != Topics().ueid_of(topic):
        raise PeerError(Reason.RESULT_OF_ANOTHER_ATTESTER, "attestation result: about another attester than its topic")
    return verified


def verify_token(token: bytes, keys: Mapping[str, EllipticCurvePublicKey]) -> VerifiedResult:
    """Verifies one token: its form and its signature. Does not check its times.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``result-signature-invalid``.
    """
    return VerifiedResult(result=result_token.verify(token, keys), token=token)


def standing_of(result: AttestationResult, now_s: int) -> Standing:
    """A result as it reads at ``now_s``, UTC seconds."""
    if now_s < result.expires_s:
        return Standing(result=result, status=result.status, freshness=result.freshness, reasons=tuple(result.reasons))
    reasons = (Reason.RESULT_EXPIRED.value, *result.reasons)
    return Standing(result=result, status=Tier.NONE, freshness=Freshness.STALE, reasons=reasons)


class ResultBoard:
    """The newest result about each attester, from any number of verifiers. Owned by the thread that calls it."""

    def __init__(self, keys: Mapping[str, EllipticCurvePublicKey]) -> None:
        """Starts empty.

        Args:
            keys: the trusted verifiers' keys by key id, as :func:`result_keys` makes them.
        """
        self._keys = dict(keys)
        self._results: dict[Ueid, dict[str, VerifiedResult]] = {}  # by verifier, its newest
        self._latest_s = 0  # when the latest result was taken

    def apply(self, topic: str, payload: bytes, now_s: int) -> VerifiedResult:
        """Takes one message of the results topic.

        Args:
            topic: where it was published.
            payload: a CMW record with a result.
            now_s: UTC seconds.

        Returns:
            the verified result, now the newest of its verifier; the same result again changes nothing.

        Raises:
            PeerError: as :func:`verify_result`; ``result-not-yet-valid`` when it was issued in our future;
                ``object-rolled-back`` when the board has a newer result of that verifier about the attester.
        """
        return self._add(verify_result(topic, payload, self._keys), now_s)

    def restore(self, token: bytes, now_s: int) -> VerifiedResult:
        """Takes one token that was stored earlier.

        Raises:
            PeerError: as :func:`verify_token`; ``result-not-yet-valid``, ``object-rolled-back`` as :meth:`apply`.
        """
        return self._add(verify_token(token, self._keys), now_s)

    def _add(self, verified: VerifiedResult, now_s: int) -> VerifiedResult:
        result = verified.result
        if result.issued_s > now_s + MAX_CLOCK_SKEW_S:
            message = f"attestation result: issued {result.issued_s - now_s} s in our future"
            raise PeerError(Reason.RESULT_NOT_YET_VALID, message)
        of_attester = self._results.setdefault(result.ueid, {})
        known = of_attester.get(result.verifier)
        if known is not None and _is_older(result, known.result):
            message = f"attestation result: older than one that {result.verifier} published before"
            raise PeerError(Reason.OBJECT_ROLLED_BACK, message)
        of_attester[result.verifier] = verified
        self._latest_s = now_s
        return verified

    @property
    def count(self) -> int:
        """How many attesters have a result."""
        return len(self._results)

    def in_force(self, ueid: Ueid, now_s: int) -> VerifiedResult | None:
        """The result that decides about one attester: the worst of its verifiers' unexpired ones, else the newest.

        An expired result that found the attester bad decides, as expired, while all unexpired ones are about older
        evidence: otherwise it would be enough to hold back what its verifier publishes next. A device that the endorser
        took out of service leaves the fleet when the result that reports this ends.

        Args:
            ueid: the attester.
            now_s: UTC seconds; 0 for the time of the latest message.
        """
        results = self._results.get(ueid)
        if results is None:
            return None
        at_s = now_s or self._latest_s
        unexpired = [each for each in results.values() if at_s < each.result.expires_s]
        if not unexpired:
            newest = max(results.values(), key=_recency)
            return None if _has_left(newest) else newest
        worst = max(unexpired, key=_badness)
        if worst.result.status is Tier.CONTRAINDICATED:
            return worst
        newest_us = max(map(_made_us, unexpired))
        bad_since = [each for each in results.values() if _is_bad(each) and _made_us(each) > newest_us]
        return max(bad_since, key=_badness, default=worst)

    def standing(self, ueid: Ueid, now_s: int) -> Standing | None:
        """The standing of one attester at ``now_s``, UTC seconds; None without a result."""
        verified = self.in_force(ueid, now_s)
        return None if verified is None else standing_of(verified.result, now_s)

    def standings(self, now_s: int) -> tuple[Standing, ...]:
        """The standings of all attesters at ``now_s``, UTC seconds, in the order of their first results."""
        standings = (self.standing(ueid, now_s) for ueid in self._results)
        return tuple(each for each in standings if each is not None)


def _has_left(verified: VerifiedResult) -> bool:
    """The device is out of service, and nothing bad was found on it."""
    return Reason.ATTESTER_DECOMMISSIONED in verified.result.reasons and not _is_bad(verified)


def _recency(verified: VerifiedResult) -> tuple[int, int]:
    """Receipt of the evidence, then time of issue: verifiers that judge the same push receive it at about one time."""
    return verified.result.received_us or 0, verified.result.issued_s


def _made_us(verified: VerifiedResult) -> int:
    """When the evidence was made: its earliest time, as receipt may be late; its receipt where that is all we have."""
    return verified.result.made_after_us or verified.result.received_us or 0


def _is_bad(verified: VerifiedResult) -> bool:
    return verified.result.status in {Tier.WARNING, Tier.CONTRAINDICATED}


def _badness(verified: VerifiedResult) -> tuple[int, int, int]:
    return _FROM_GOOD_TO_BAD.index(verified.result.status), *_recency(verified)


def _is_older(result: AttestationResult, known: AttestationResult) -> bool:
    """Whether ``result`` was issued before ``known``; within one second the evidence's time of receipt decides."""
    if result.issued_s != known.issued_s:
        return result.issued_s < known.issued_s
    if result.received_us is None or known.received_us is None:
        return False
    return result.received_us < known.received_us
