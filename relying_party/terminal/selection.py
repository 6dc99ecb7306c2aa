"""Selects, sorts, names and counts the attesters to show. Pure."""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from relying_party.result_board import Standing
from schemas.codecs.printable import printable
from schemas.identifiers import Ueid, ueid_text
from schemas.verdicts import Freshness, Tier

_WORST_FIRST: Final = {Tier.CONTRAINDICATED: 0, Tier.NONE: 1, Tier.WARNING: 2, Tier.AFFIRMING: 3}
_SHORT_UEID: Final = 12


class SortKey(StrEnum):
    """Orders of the table."""

    NAME = "name"
    STATUS = "status"
    FRESHNESS = "freshness"
    AGE = "age"
    RECEIVED = "received"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The attesters to show; empty sets and text admit all.

    Attributes:
        statuses, freshness: any of these.
        reasons: any of these codes.
        text: in the label, UEID, policies or unexpected paths; ignores case.
        sort: the order.
    """

    statuses: frozenset[Tier] = frozenset()
    freshness: frozenset[Freshness] = frozenset()
    reasons: frozenset[str] = frozenset()
    text: str = ""
    sort: SortKey = SortKey.NAME

    def admits(self, standing: Standing) -> bool:
        """Whether to show the attester."""
        if self.statuses and standing.status not in self.statuses:
            return False
        if self.freshness and standing.freshness not in self.freshness:
            return False
        if self.reasons and self.reasons.isdisjoint(standing.reasons):
            return False
        return not self.text or _mentions(standing, self.text.casefold())


def select(standings: Iterable[Standing], selection: Selection, names: Mapping[Ueid, str]) -> list[Standing]:
    """The standings to show, in order; ties by name.

    Args:
        standings: of all attesters.
        selection: the attesters to show.
        names: the caller's names for some of the attesters.
    """
    admitted = [standing for standing in standings if selection.admits(standing)]
    admitted.sort(key=lambda standing: name_of(standing, names))
    match selection.sort:
        case SortKey.STATUS:
            admitted.sort(key=lambda standing: _WORST_FIRST[standing.status])
        case SortKey.FRESHNESS:
            admitted.sort(key=lambda standing: (standing.freshness is Freshness.FRESH, standing.freshness))
        case SortKey.AGE:  # the oldest first, those of unknown age before them
            admitted.sort(key=lambda standing: standing.result.made_after_us or 0)
        case SortKey.RECEIVED:  # the newest first
            admitted.sort(key=lambda standing: -(standing.result.received_us or 0))
        case SortKey.NAME:
            pass
    return admitted


def name_of(standing: Standing, names: Mapping[Ueid, str]) -> str:
    """An attester's name: the caller's name for it, its own label, or the beginning of its UEID."""
    known = names.get(standing.result.ueid)
    if known is not None:
        return known
    claimed = standing.result.claims.get("label")
    short = _ueid_words(standing.result.ueid)[:_SHORT_UEID] + "…"
    return f"{printable(claimed)} ({short})" if isinstance(claimed, str) else short


def summary_of(standings: Sequence[Standing], shown: int, refused: int) -> str:
    """One line: the number of attesters by status and freshness, of those shown, and of refused messages."""
    statuses = Counter(standing.status for standing in standings)
    freshness = Counter(standing.freshness for standing in standings)
    parts = [f"{len(standings)} attesters"]
    parts += [f"{statuses[tier]} {tier}" for tier in Tier if statuses[tier]]
    late = [f"{freshness[each]} {each}" for each in Freshness if freshness[each] and each is not Freshness.FRESH]
    text = "  ".join(parts) + (f"  ({', '.join(late)})" if late else "")
    text += "" if shown == len(standings) else f"  {shown} shown"
    return text + (f"  {refused} messages refused" if refused else "")


@functools.lru_cache(maxsize=65_536)
def _ueid_words(ueid: Ueid) -> str:
    """The text of a UEID; cached, because the table sorts a whole fleet by it twice a second."""
    return ueid_text(ueid)


def _mentions(standing: Standing, text: str) -> bool:
    result = standing.result
    words = (str(result.claims.get("label", "")), *result.policies, *result.unexpected, _ueid_words(result.ueid))
    return any(text in word.casefold() for word in words)  # the UEID last: it costs most
