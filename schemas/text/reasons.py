"""Reason codes in words: the meaning and the next step, for people. No program depends on these texts."""

from dataclasses import dataclass
from typing import Final

from schemas.reasons.table import REASONS


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonText:
    """A reason for people.

    Attributes:
        meaning: a sentence without a full stop.
        next_step: what to do, likewise; it names what to look at first.
    """

    meaning: str
    next_step: str


_UNKNOWN: Final = ReasonText(
    meaning="a reason that this version does not know", next_step="update this program: the verifier is newer"
)


def explain(code: str) -> ReasonText:
    """The text of a reason code in a result. A newer verifier's code, which this version does not know, has one too."""
    row = REASONS.get(code)
    return _UNKNOWN if row is None else ReasonText(meaning=row.meaning, next_step=row.next_step)
