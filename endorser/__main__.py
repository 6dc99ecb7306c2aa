"""``python -m endorser``, and where ``endorser`` starts."""

from endorser.commands import PROGRAM

main = PROGRAM.main

if __name__ == "__main__":
    raise SystemExit(main())
