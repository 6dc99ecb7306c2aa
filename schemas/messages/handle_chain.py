"""Whether the handles of one distributor are one chain. Pure; for verifiers and attesters alike.

Each handle names the one before it, and a distributor's times never run back. So of two handles of one issuer the later
descends from the earlier, and between a handle and the one it names there is no third. What is seen can break that in
two ways:

* **gap** (``handle-chain-gap``): the handle names one that is not known here. Normal for whoever was away, and for a
  distributor that lost its state file and began anew.
* **fork** (``handle-chain-forked``): two handles name the same predecessor, or a known handle lies between a handle and
  the one it names. One chain cannot do that: the distributor's key is used twice, by a thief, or by the distributor
  itself after its state file was restored from a copy. An alarm.

Neither is a reason to refuse a handle. Its time is the TSA's, whoever signed the claims, so evidence bound to it is as
fresh as it says; and a stranger who can drop messages could otherwise have every later handle refused. What a fork
takes away is that a handle is unique.

Order goes by ``nbf``, whole seconds that the distributor signed: a time-stamp token can be spelled anew, or made anew
by anyone who can ask the TSA (ADR 3), the claims cannot. Handles with the same claims are one link here, under several
ids. The same handle published again, as after a restart, is known and nothing else. Bounded: the last
:data:`MAX_LINKS` links of an issuer, :data:`MAX_ISSUERS` issuers; of links forgotten a gap is all that can be told.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from schemas.identifiers import HandleId
from schemas.messages.handle import Handle, HandleClaims
from schemas.reasons import Reason

MAX_LINKS: Final = 64
MAX_ISSUERS: Final = 64
_MAX_SPELLINGS: Final = 4


class Fit(StrEnum):
    """How a handle fits to those known of its issuer."""

    FIRST = "first"
    KNOWN = "known"
    LINKED = "linked"
    GAP = "gap"
    FORKED = "forked"

    @property
    def reason(self) -> Reason | None:
        """The code to log and count; None where all is well."""
        return _REASONS.get(self)


_REASONS: Final = {Fit.GAP: Reason.HANDLE_CHAIN_GAP, Fit.FORKED: Reason.HANDLE_CHAIN_FORKED}


@dataclass(slots=True, kw_only=True)
class _Link:
    """One set of claims and the ids it came under."""

    claims: HandleClaims
    ids: set[HandleId] = field(default_factory=set)


class HandleChain:
    """What is remembered of the chains of all issuers. Owned by the thread that calls it."""

    def __init__(self) -> None:
        """Starts with no issuer."""
        self._issuers: OrderedDict[str, list[_Link]] = OrderedDict()

    def follow(self, handle: Handle) -> Fit:
        """Remembers a verified handle and tells how it fits.

        Args:
            handle: verified; in any order, any number of times.

        Returns:
            ``FIRST`` of its issuer, ``KNOWN`` (these claims were here before, in whatever spelling), ``LINKED`` (it
            names a known one, or a known one names it), ``GAP`` or ``FORKED``.
        """
        links = self._issuers.setdefault(handle.claims.issuer, [])
        self._issuers.move_to_end(handle.claims.issuer)
        while len(self._issuers) > MAX_ISSUERS:
            self._issuers.popitem(last=False)
        for known in links:
            if known.claims == handle.claims:
                if len(known.ids) < _MAX_SPELLINGS:
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
    """Whether one chain cannot hold both: the child is the older one, or a third lies between them."""
    after_s, before_s = parent.claims.not_before_s, child.claims.not_before_s
    others = (each for each in links if each is not parent and each is not child)
    return before_s < after_s or any(after_s < each.claims.not_before_s < before_s for each in others)


def _splits(link: _Link, child: _Link, links: list[_Link]) -> bool:
    """Whether ``link`` lies between ``child`` and the one that ``child`` names."""
    parent = next((each for each in links if child.claims.previous in each.ids), None)
    if parent is None:
        return False
    return parent.claims.not_before_s < link.claims.not_before_s < child.claims.not_before_s
