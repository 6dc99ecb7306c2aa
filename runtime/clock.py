"""Reads clocks and draws randomness; no other module may. The core gets both as arguments."""

import secrets
import time


def utc_us() -> int:
    """UTC by this machine's clock, integer microseconds since 1970. It may step, so never measure durations with it."""
    return time.time_ns() // 1000


def utc_s() -> int:
    """UTC by this machine's clock, whole seconds since 1970."""
    return time.time_ns() // 1_000_000_000


def monotonic_s() -> float:
    """Seconds since an arbitrary start; never runs back. For durations and timeouts only."""
    return time.monotonic()


def random_bytes(count: int) -> bytes:
    """``count`` bytes from the operating system's CSPRNG."""
    return secrets.token_bytes(count)


def random_fraction() -> float:
    """A number in [0, 1), for jitter."""
    return secrets.randbelow(1 << 53) / (1 << 53)


def asleep_ms() -> int:
    """How long the machine was suspended since it booted; approximate, because two clocks are read in turn."""
    awake_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return max(0, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - awake_ns) // 1_000_000
