"""``python -m handle_distributor``, and where ``handle-distributor`` starts."""

from handle_distributor.commands import PROGRAM

main = PROGRAM.main

if __name__ == "__main__":
    raise SystemExit(main())
