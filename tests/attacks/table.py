"""Prints attempts: a heading for each attacker and goal, and a row for each attack."""

import json
import textwrap
from collections import Counter
from collections.abc import Sequence

from tests.attacks.attempt import Attempt, Outcome
from tests.attacks.catalogue import Attack

_WIDTH = 120
_INDENT = " " * 4


class Table:
    """Rows as they come."""

    def __init__(self) -> None:
        self._kind: tuple[str, str] | None = None

    def show(self, made: Attempt) -> None:
        """One attack that was made."""
        self._heading(made.attack)
        codes = ", ".join(made.seen.reasons) or "-"
        print(f"  {made.outcome.value:<10}  {made.seen.verdict:<15}  {codes:<40}  {made.attack.name}", flush=True)
        _wrapped(made.attack.tried)
        if made.outcome is not Outcome.HELD:
            expected = " or ".join(made.attack.right)
            _wrapped(f"right: {expected}, {made.attack.code or 'no code'}; seen: {made.seen.detail}")

    def plan(self, attack: Attack) -> None:
        """One attack that may be made."""
        self._heading(attack)
        print(f"  {' or '.join(attack.right):<15}  {attack.code or '-':<28}  {attack.name}")
        _wrapped(attack.tried)

    def _heading(self, attack: Attack) -> None:
        kind = (attack.by.value, attack.goal)
        if kind != self._kind:
            print(f"\n{attack.by.value.upper()} wants to {attack.goal}")
            self._kind = kind


def summary(made: Sequence[Attempt]) -> str:
    """How many ended how, and the time that all took."""
    counts = Counter(each.outcome for each in made)
    ended = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome])
    return f"{len(made)} attacks: {ended or 'none'}; {sum(each.seconds for each in made):.1f} s"


def as_json(made: Sequence[Attempt]) -> str:
    """All attempts, for a program."""
    rows = [
        {
            "name": each.attack.name,
            "attacker": each.attack.by.value,
            "goal": each.attack.goal,
            "tried": each.attack.tried,
            "right": list(each.attack.right),
            "code": each.attack.code,
            "verdict": each.seen.verdict,
            "reasons": list(each.seen.reasons),
            "detail": each.seen.detail,
            "outcome": each.outcome.value,
            "seconds": round(each.seconds, 3),
        }
        for each in made
    ]
    return json.dumps(rows, indent=1)


def _wrapped(text: str) -> None:
    for line in text.splitlines():
        print(textwrap.fill(line, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False))
