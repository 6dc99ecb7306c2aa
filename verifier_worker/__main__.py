"""``python -m verifier_worker``, and where ``verifier-worker`` starts."""

from verifier_worker.commands import PROGRAM

main = PROGRAM.main

if __name__ == "__main__":
    raise SystemExit(main())
