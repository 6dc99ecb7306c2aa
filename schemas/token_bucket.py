"""A token bucket: limits how often something may happen. Pure: the time is an argument."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBucket:
    """Immutable: taking a token returns another bucket.

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

    def take(self, now_s: float) -> "TokenBucket | None":
        """The bucket after taking one token; None if it has no token.

        Args:
            now_s: monotonic seconds, not before ``at_s``.
        """
        tokens = min(self.capacity, self.tokens + (now_s - self.at_s) * self.per_second)
        if tokens < 1:
            return None
        return TokenBucket(capacity=self.capacity, per_second=self.per_second, tokens=tokens - 1, at_s=now_s)


def full_bucket(capacity: float, per_second: float, at_s: float) -> TokenBucket:
    """A full bucket."""
    return TokenBucket(capacity=capacity, per_second=per_second, tokens=capacity, at_s=at_s)
