"""What stands about each attester, by the results of verifiers that the caller trusts.

Pure: messages and the time are arguments. Promises of a :class:`ResultBoard`: whatever it shows was signed by a trusted
verifier for the attester it stands under; it never goes back to an earlier result of the same verifier, whoever
publishes that again; a result that has expired stands as undecided and stale, whatever it said. It does not decide
what to do about an attester, and it does not notice that a whole verifier is silent before its results expire.

Each mutable thing has one owner: a board belongs to the thread that calls it.
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

__all__ = ["ResultBoard", "Standing", "result_keys", "standing_of", "verify_result"]
MAX_CLOCK_SKEW_S: Final = 300  # how far a verifier's clock may be ahead of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What holds about one attester at one moment.

    Attributes:
        result: the newest result, as it was signed.
        status: its status, or ``none`` once it has expired.
        freshness: its freshness, or ``stale`` once it has expired.
        reasons: its reasons; ``result-expired`` is the first of them once it has expired.
    """

    result: AttestationResult
    status: Tier
    freshness: Freshness
    reasons: tuple[str, ...]


def verify_result(topic: str, payload: bytes, keys: Mapping[str, EllipticCurvePublicKey]) -> AttestationResult:
    """Verifies one message of the results topic: its form, its signature, and whom it is about. Not its times.

    Args:
        topic: where it was published.
        payload: a CMW record with a result.
        keys: the trusted verifiers' keys by key id, as :func:`result_keys` makes them.

    Returns:
        the result; its signature covers everything in it.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``unknown-media-type``, ``result-signature-invalid``, or
            ``result-of-another-attester`` when it is about another attester than its topic says.
    """
    result = result_token.verify(result_token.unwrap(payload), keys)
    if result.ueid != Topics().ueid_of(topic):
        raise PeerError(Reason.RESULT_OF_ANOTHER_ATTESTER, "attestation result: about another attester than its topic")
    return result


def standing_of(result: AttestationResult, now_s: int) -> Standing:
    """What a result is worth at ``now_s``, UTC seconds."""
    if now_s < result.expires_s:
        return Standing(result=result, status=result.status, freshness=result.freshness, reasons=tuple(result.reasons))
    reasons = (Reason.RESULT_EXPIRED.value, *result.reasons)
    return Standing(result=result, status=Tier.NONE, freshness=Freshness.STALE, reasons=reasons)


class ResultBoard:
    """The newest result about each attester, from any number of verifiers."""

    def __init__(self, keys: Mapping[str, EllipticCurvePublicKey]) -> None:
        """Starts empty.

        Args:
            keys: the trusted verifiers' keys by key id, as :func:`result_keys` makes them.
        """
        self._keys = dict(keys)
        self._by_verifier: dict[tuple[Ueid, str], AttestationResult] = {}
        self._newest: dict[Ueid, AttestationResult] = {}

    def apply(self, topic: str, payload: bytes, now_s: int) -> AttestationResult:
        """Takes one message of the results topic.

        Args:
            topic: where it was published.
            payload: a CMW record with a result.
            now_s: UTC seconds.

        Returns:
            the verified result, now the newest of its verifier; the same result again changes nothing.

        Raises:
            PeerError: as :func:`verify_result`; ``result-not-yet-valid`` when it was issued in our future;
                ``object-rolled-back`` when that verifier has said something newer about the attester before.
        """
        result = verify_result(topic, payload, self._keys)
        if result.issued_s > now_s + MAX_CLOCK_SKEW_S:
            message = f"attestation result: issued {result.issued_s - now_s} s in our future"
            raise PeerError(Reason.RESULT_NOT_YET_VALID, message)
        known = self._by_verifier.get((result.ueid, result.verifier))
        if known is not None and _is_older(result, known):
            message = f"attestation result: older than one that {result.verifier} published before"
            raise PeerError(Reason.OBJECT_ROLLED_BACK, message)
        self._by_verifier[result.ueid, result.verifier] = result
        newest = self._newest.get(result.ueid)
        if newest is None or not _is_older(result, newest):
            self._newest[result.ueid] = result
        return result

    @property
    def count(self) -> int:
        """How many attesters there are results about."""
        return len(self._newest)

    def standing(self, ueid: Ueid, now_s: int) -> Standing | None:
        """What stands about one attester at ``now_s``; None when no verifier has said anything yet."""
        result = self._newest.get(ueid)
        return None if result is None else standing_of(result, now_s)

    def standings(self, now_s: int) -> tuple[Standing, ...]:
        """What stands about every attester at ``now_s``, UTC seconds, in the order of their first results."""
        return tuple(standing_of(result, now_s) for result in self._newest.values())


def _is_older(result: AttestationResult, known: AttestationResult) -> bool:
    """Whether ``result`` was issued before ``known``; within one second the evidence's time of receipt decides."""
    if result.issued_s != known.issued_s:
        return result.issued_s < known.issued_s
    if result.received_us is None or known.received_us is None:
        return False
    return result.received_us < known.received_us
