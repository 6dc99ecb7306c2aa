"""``python -m attester_agent``, and where ``attester-agent`` starts."""

from attester_agent.commands import PROGRAM

main = PROGRAM.main

if __name__ == "__main__":
    raise SystemExit(main())
