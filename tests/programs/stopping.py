"""How a program that a test has started ends."""

import signal
import subprocess


def stop_process(process: subprocess.Popen[bytes], how: signal.Signals, seconds: float) -> None:
    """Sends ``how``; kills the process if it is still there after so many seconds. It is gone when this returns."""
    process.send_signal(how)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
