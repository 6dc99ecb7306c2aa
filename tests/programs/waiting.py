"""Waits for something that another thread or process does, or for the end of a process.

Every wait is for an event. It ends by the clock only so that a broken program ends the test: far beyond what a busy
machine needs, so that no outcome depends on speed.
"""

import signal
import subprocess
import time
from collections.abc import Callable

PATIENCE_S = 300.0
PAUSE_S = 0.01


def wait_until(done: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    """Looks again and again; fails naming ``what`` when it does not come about in time."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            message = f"not within {seconds:g} s: {what}"
            raise AssertionError(message)
        time.sleep(PAUSE_S)


def stop_process(process: subprocess.Popen[bytes], how: signal.Signals, seconds: float) -> None:
    """Sends ``how``; kills the process if it is still there after so many seconds. It is gone when this returns."""
    process.send_signal(how)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
