"""Checks that the handles of one distributor form one chain. Pure; verifiers and attesters use it.

Each handle names its predecessor, and a distributor's times never run back. So of two handles of one issuer the later
descends from the earlier, and no third handle lies between a handle and its predecessor. Two things can be wrong:

* **gap** (``handle-chain-gap``): the predecessor is not known here. Normal after an absence, and after a distributor
  lost its state file and started a new chain.
* **fork** (``handle-chain-forked``): two handles name the same predecessor, or a known handle lies between a handle and
  its predecessor. One chain cannot do that: two programs use the distributor's key. One may be a thief, or the
  distributor's state file was restored from a copy. An alarm.

Neither is a reason to refuse a handle. Its time comes from the TSA, so evidence bound to it is as fresh as it claims;
and otherwise anyone able to drop one message could get all later handles refused. A fork only means that handles are
no longer unique.

Handles are ordered by ``nbf``, whole seconds that the distributor signed. The token cannot order them: anyone can
encode a time-stamp token in another way, or ask the TSA for another one (ADR 3). Handles with the same claims are one
link here, with several ids. The same handle published again, as after a restart, is simply known. Memory is bounded:
the last :data:`MAX_LINKS` links of :data:`MAX_ISSUERS` issuers. A handle whose predecessor was forgotten shows a gap.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.identifiers import HandleId
from schemas.messages.handle import Handle, HandleClaims
from schemas.reasons import Reason

MAX_LINKS: Final = 64
MAX_ISSUERS: Final = 64
_MAX_ENCODINGS: Final = 4


class Fit(StrEnum):
    """How a handle fits the known handles of its issuer."""

    FIRST = "first"
    KNOWN = "known"
    LINKED = "linked"
    GAP = "gap"
    FORKED = "forked"

    @property
    def reason(self) -> Reason | None:
        """The code to log and count; None if nothing is wrong."""
        return _REASONS.get(self)


_REASONS: Final = {Fit.GAP: Reason.HANDLE_CHAIN_GAP, Fit.FORKED: Reason.HANDLE_CHAIN_FORKED}


@dataclass(slots=True, kw_only=True)
class _Link:
    """One set of claims, and the ids of the handles that hold it."""

    claims: HandleClaims
    ids: set[HandleId]


class HandleChain:
    """The last links of the chains of all issuers. Owned by the thread that calls it."""

    def __init__(self) -> None:
        """Starts with no issuer."""
        self._issuers: OrderedDict[str, list[_Link]] = OrderedDict()

    def follow(self, handle: Handle) -> Fit:
        """Remembers a verified handle and reports how it fits.

        Args:
            handle: verified; in any order, any number of times.

        Returns:
            ``FIRST`` of its issuer, ``KNOWN`` (a handle with these claims was here before), ``LINKED`` (it names a
            known one, or a known one names it), ``GAP`` or ``FORKED``.
        """
        links = self._issuers.setdefault(handle.claims.issuer, [])
        self._issuers.move_to_end(handle.claims.issuer)
        while len(self._issuers) > MAX_ISSUERS:
            self._issuers.popitem(last=False)
        for known in links:
            if known.claims == handle.claims:
                if len(known.ids) < _MAX_ENCODINGS:
                    known.ids.add(handle.id)
                return Fit.KNOWN
        link = _Link(claims=handle.claims, ids={handle.id})
        fit = _fit(link, links)
        links.append(link)
        if len(links) > MAX_LINKS:
            links.remove(min(links, key=lambda each: each.claims.not_before_s))
        return fit


def _fit(link: _Link, links: list[_Link]) -> Fit:
    if not links:
        return Fit.FIRST
    parent = next((each for each in links if link.claims.previous in each.ids), None)
    children = [each for each in links if each.claims.previous in link.ids]
    twins = link.claims.previous is not None and any(each.claims.previous == link.claims.previous for each in links)
    torn = (parent is not None and _is_torn(parent, link, links)) or any(
        _is_torn(link, child, links) for child in children
    )
    parted = any(_splits(link, each, links) for each in links)
    if twins or len(children) > 1 or torn or parted:
        return Fit.FORKED
    return Fit.LINKED if parent is not None or children else Fit.GAP


def _is_torn(parent: _Link, child: _Link, links: list[_Link]) -> bool:
    """Whether one chain cannot hold both: the child is older, or a third lies between them."""
    after_s, before_s = parent.claims.not_before_s, child.claims.not_before_s
    return before_s < after_s or any(after_s < each.claims.not_before_s < before_s for each in links)


def _splits(link: _Link, child: _Link, links: list[_Link]) -> bool:
    """Whether ``link`` lies between ``child`` and the predecessor of ``child``."""
    parent = next((each for each in links if child.claims.previous in each.ids), None)
    moment_s = link.claims.not_before_s
    return parent is not None and parent.claims.not_before_s < moment_s < child.claims.not_before_s
