"""Decides which verified solicits the agent follows.

A solicit works once: its verifier's ``issued_us`` must rise, and the agent remembers it across restarts. It works for
this device only. A token bucket limits how often, so that even a stolen verifier key cannot keep a device busy.
Verifies no signature: ``schemas.messages.solicit.verify_solicit`` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.solicit import Solicit
from schemas.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A token bucket, immutable: taking a token returns another bucket.

    Attributes:
        capacity: tokens of a full bucket, the longest burst.
        per_second: tokens added each second.
        tokens: left at ``at_s``.
        at_s: monotonic seconds.
    """

    capacity: float
    per_second: float
    tokens: float
    at_s: float

    def take(self, now_s: float) -> "Bucket | None":
        """The bucket after taking one token; None if it has no token.

        Args:
            now_s: monotonic seconds, not before ``at_s``.
        """
        tokens = min(self.capacity, self.tokens + (now_s - self.at_s) * self.per_second)
        if tokens < 1:
            return None
        return Bucket(capacity=self.capacity, per_second=self.per_second, tokens=tokens - 1, at_s=now_s)


def check_solicit(solicit: Solicit, ueid: Ueid, last_issued_us: Mapping[str, int]) -> None:
    """Checks a verified solicit.

    Args:
        solicit: from a verifier.
        ueid: this device.
        last_issued_us: by verifier, of the last solicit accepted.

    Raises:
        PeerError: ``object-misdirected`` if it is for another device, ``object-rolled-back`` if it is not newer.
    """
    if solicit.ueid != ueid:
        raise PeerError(Reason.OBJECT_MISDIRECTED, "solicit: for another device")
    last = last_issued_us.get(solicit.verifier)
    if last is not None and solicit.issued_us <= last:
        raise PeerError(
            Reason.OBJECT_ROLLED_BACK,
            f"solicit of {solicit.verifier}: issued at {solicit.issued_us} us, one of {last} us was accepted before",
        )
