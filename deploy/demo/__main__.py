"""``python -m deploy.demo``: see ``--help``."""

import logging
import os
import signal
import sys
from types import FrameType


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(130)  # nothing was started yet, so there is nothing to undo or to report


if __name__ == "__main__":
    for _early in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(_early, _leave)

# The imports take long enough for an impatient Ctrl-C, which must not end in a traceback.
from deploy.demo.options import parse  # noqa: E402
from deploy.demo.show import play  # noqa: E402
from runtime.service import Stop  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; returns the exit status."""
    options = parse(arguments)
    logging.disable(logging.ERROR)  # of this process's own clients: the screen belongs to the scenario
    stop = Stop().on_signals()
    signal.signal(signal.SIGHUP, lambda _number, _frame: stop.request())  # the terminal was closed
    return play(options, stop)


if __name__ == "__main__":
    sys.exit(main())
