"""Which verified solicits the agent follows.

Promises: a solicit works once (its verifier's ``issued_us`` must rise, and that is remembered across restarts), for
this device only, and not more often than a token bucket allows, so that not even a verifier's key makes a device busy
without end. Does not verify signatures: ``schemas.messages.solicit.verify_solicit`` did.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.solicit import Solicit
from schemas.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A token bucket. A value: taking a token gives another bucket.

    Attributes:
        capacity: tokens of a full bucket, the longest burst.
        per_second: tokens that come back.
        tokens: left at ``at_s``.
        at_s: monotonic seconds.
    """

    capacity: float
    per_second: float
    tokens: float
    at_s: float

    def take(self, now_s: float) -> "Bucket | None":
        """The bucket with one token less; None when there is none.

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
        solicit: what the verifier asks.
        ueid: this device.
        last_issued_us: by verifier, of the last solicit followed.

    Raises:
        PeerError: ``object-misdirected`` when it is for another device, ``object-rolled-back`` when it is not newer.
    """
    if solicit.ueid != ueid:
        raise PeerError(Reason.OBJECT_MISDIRECTED, "solicit: for another device")
    last = last_issued_us.get(solicit.verifier)
    if last is not None and solicit.issued_us <= last:
        raise PeerError(
            Reason.OBJECT_ROLLED_BACK,
            f"solicit of {solicit.verifier}: issued at {solicit.issued_us} us, the last one followed at {last} us",
        )
