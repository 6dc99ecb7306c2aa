"""Token buckets: how often strangers may ask. Pure: the time is an argument."""

from collections import OrderedDict
from typing import Final

_MAX_KEYS: Final = 10_000  # the least recently seen are forgotten: they start with a full bucket again
_MINUTE_S: Final = 60.0


class RateLimit:
    """One bucket for all, and one for each key. Owned by one thread."""

    def __init__(self, *, burst: int, per_minute: float, key_burst: int, key_per_minute: float) -> None:
        """All buckets are full at first."""
        self._all = (float(burst), 0.0)
        self._keys: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._rate, self._burst = per_minute / _MINUTE_S, burst
        self._key_rate, self._key_burst = key_per_minute / _MINUTE_S, key_burst

    def allows(self, key: str, now_s: float) -> bool:
        """Takes a token from both buckets if both have one.

        Args:
            key: whose bucket besides everybody's.
            now_s: seconds of a clock that never runs back.
        """
        everybody = _filled(self._all, self._rate, self._burst, now_s)
        own = _filled(self._keys.get(key, (float(self._key_burst), now_s)), self._key_rate, self._key_burst, now_s)
        allowed = everybody >= 1 and own >= 1
        self._all = (everybody - allowed, now_s)
        self._keys[key] = (own - allowed, now_s)
        self._keys.move_to_end(key)
        if len(self._keys) > _MAX_KEYS:
            self._keys.popitem(last=False)
        return allowed


def _filled(bucket: tuple[float, float], rate: float, burst: int, now_s: float) -> float:
    tokens, since_s = bucket
    return min(float(burst), tokens + max(0.0, now_s - since_s) * rate)
