"""``python -m relying_party``, and where ``relying-party`` starts."""

from relying_party.commands import PROGRAM

main = PROGRAM.main

if __name__ == "__main__":
    raise SystemExit(main())
