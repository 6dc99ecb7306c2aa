"""Waits for something that another thread or process does."""

import time
from collections.abc import Callable

PAUSE_S = 0.01


def wait_until(done: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Looks again and again; fails naming ``what`` when it does not come about in time."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            message = f"not within {seconds:g} s: {what}"
            raise AssertionError(message)
        time.sleep(PAUSE_S)
