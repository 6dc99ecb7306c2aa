"""Limits how often anyone may send enrolment messages. Pure: the time is an argument."""

from collections import OrderedDict
from typing import Final

from schemas.token_bucket import TokenBucket, full_bucket

_MAX_KEYS: Final = 10_000  # beyond, the key that was used longest ago is forgotten
_MINUTE_S: Final = 60.0


class RateLimit:
    """One bucket for all messages, and one for each key. Owned by one thread."""

    def __init__(self, *, burst: int, per_minute: float, key_burst: int, key_per_minute: float) -> None:
        """All buckets are full at first."""
        self._all = full_bucket(burst, per_minute / _MINUTE_S, 0.0)
        self._keys: OrderedDict[str, TokenBucket] = OrderedDict()
        self._key_burst, self._key_per_second = key_burst, key_per_minute / _MINUTE_S

    def allows(self, key: str, now_s: float) -> bool:
        """Takes a token from both buckets if both have one.

        Args:
            key: for the second bucket.
            now_s: seconds of a clock that never runs back.
        """
        own = self._keys.pop(key, None) or full_bucket(self._key_burst, self._key_per_second, now_s)
        all_after, own_after = self._all.take(now_s), own.take(now_s)
        allowed = all_after is not None and own_after is not None
        if all_after is not None and own_after is not None:
            self._all, own = all_after, own_after
        self._keys[key] = own
        if len(self._keys) > _MAX_KEYS:
            self._keys.popitem(last=False)
        return allowed
