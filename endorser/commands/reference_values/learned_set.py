"""Options and output of the commands that learn a set."""

import argparse
from pathlib import Path
from typing import Final

_PCRS: Final = "sha256:0-9"


def add_out(parser: argparse.ArgumentParser) -> None:
    """Adds ``--out``."""
    parser.add_argument("--out", type=Path, help="write the working form here (default: print it)")


def add_pcrs(parser: argparse.ArgumentParser) -> None:
    """Adds ``--pcrs``."""
    parser.add_argument("--pcrs", default=_PCRS, help="PCRs to take (default: %(default)s)")
