"""``python -m verifier_worker``."""

import sys

from verifier_worker.commands import PROGRAM

main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())
