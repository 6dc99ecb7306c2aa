"""``python -m deploy.demo``: see ``--help``."""

import logging
import signal
import sys

from deploy.demo.options import parse
from deploy.demo.show import play
from runtime.service import Stop


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; returns the exit status."""
    options = parse(arguments)
    logging.disable(logging.ERROR)  # of this process's own clients: the screen belongs to the story
    stop = Stop().on_signals()
    signal.signal(signal.SIGHUP, lambda _number, _frame: stop.request())  # the terminal was closed
    return play(options, stop)


if __name__ == "__main__":
    sys.exit(main())
