"""Pairs evidence with the result about it, and makes the entries of a recorder's audit log. Pure.

A result names the SHA-256 of the body of its evidence. Evidence waits for such a result, for a bounded time and in
bounded number; a result waits a moment for its evidence, since the two arrive on two connections. An attacker who
copies a body and forges the rest makes a second candidate. A recorder does not judge evidence, so it writes an entry
for each candidate, up to a limit; the genuine one is among them. A repeated message is written once.

Promise: each :class:`Settled` names the messages that may be acknowledged as soon as its entry is on disk. Evidence
that is dropped is settled too, without an entry.
"""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from relying_party.result_board import VerifiedResult
from schemas import media_types
from schemas.audit.entry import EvidenceEntry, ObjectEntry, encode_entry, parse_entry
from schemas.codecs import cmw
from schemas.errors import PeerError
from schemas.instants import SECOND_US
from schemas.media_types import Indicator
from schemas.messages.evidence import parse_evidence
from schemas.messages.result import AttestationResult

MAX_CANDIDATES: Final = 4
MAX_REMEMBERED: Final = 16_384
_NO_PAYLOAD: Final = hashlib.sha256(b"").digest()
Tag = TypeVar("Tag")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled(Generic[Tag]):
    """Messages that are done with, and the entry to write for them.

    Attributes:
        entry: encoded; None for messages that need no entry.
        tags: of the messages.
    """

    entry: bytes | None
    tags: tuple[Tag, ...]


@dataclass(slots=True)
class _Candidate(Generic[Tag]):
    payload: bytes
    body: bytes
    until_s: float
    tags: list[Tag]


@dataclass(slots=True)
class _Result(Generic[Tag]):
    verified: VerifiedResult
    until_s: float
    tags: list[Tag] = field(default_factory=list)


class EvidencePairing(Generic[Tag]):
    """Pairs evidence with results. Owned by one thread. ``Tag`` is the caller's handle for acknowledging a message."""

    def __init__(self, *, evidence_wait_s: float, result_wait_s: float, waiting_max: int) -> None:
        """Starts empty.

        Args:
            evidence_wait_s: how long evidence waits for a result.
            result_wait_s: how long a result waits for its evidence.
            waiting_max: evidence messages that may wait; beyond that the oldest is dropped.
        """
        self._evidence_wait_s, self._result_wait_s, self._waiting_max = evidence_wait_s, result_wait_s, waiting_max
        self._waiting: OrderedDict[bytes, _Candidate[Tag]] = OrderedDict()  # by digest of the payload
        self._results: deque[_Result[Tag]] = deque()
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Evidence messages that wait for a result."""
        return len(self._waiting)

    def remember(self, entries: Iterable[bytes]) -> None:
        """Notes entries that are in the audit log already, so that they are not written again."""
        for raw in entries:
            try:
                entry = parse_entry(raw)
            except PeerError:
                continue
            content = entry.raw if isinstance(entry, ObjectEntry) else entry.result
            if content is not None:
                self._note(content)

    def take_evidence(self, payload: bytes, tag: Tag, now_s: float) -> list[Settled[Tag]]:
        """Lets an evidence message wait; returns the one that is dropped for it.

        Raises:
            PeerError: it is not evidence.
        """
        evidence = parse_evidence(cmw.unwrap(payload, media_types.EVIDENCE, Indicator.EVIDENCE))
        digest = hashlib.sha256(payload).digest()
        there = self._waiting.get(digest)
        if there is not None:
            there.tags.append(tag)
            return []
        body = evidence.body_digest
        self._waiting[digest] = _Candidate(payload, body, now_s + self._evidence_wait_s, [tag])
        same = [key for key, each in self._waiting.items() if each.body == body]
        if len(same) > MAX_CANDIDATES:
            return [self._drop(same[-2])]  # keep the first ones: forged copies arrive later
        return [self._drop(next(iter(self._waiting)))] if len(self._waiting) > self._waiting_max else []

    def take_result(self, verified: VerifiedResult, tag: Tag, now_s: float) -> list[Settled[Tag]]:
        """Takes a result; returns the messages that are settled at once because the audit log holds it already."""
        if self._is_known(verified.token):
            candidates = self._take_candidates(verified.result)
            tags = [tag, *(each for candidate in candidates for each in candidate.tags)]
            return [Settled(entry=None, tags=tuple(tags))]
        for each in self._results:
            if each.verified.token == verified.token:
                each.tags.append(tag)
                return []
        wait_s = self._result_wait_s if verified.result.evidence is not None else 0.0
        self._results.append(_Result(verified, now_s + wait_s, [tag]))
        return []

    def take_object(self, kind: str, raw: bytes, tag: Tag, received_us: int) -> list[Settled[Tag]]:
        """Takes a verified trust object."""
        if self._is_known(raw):
            return [Settled(entry=None, tags=(tag,))]
        self._note(raw)
        entry = encode_entry(ObjectEntry(received_us=received_us, kind=kind, raw=raw))
        return [Settled(entry=entry, tags=(tag,))]

    def due(self, now_s: float) -> list[Settled[Tag]]:
        """The entries to write now, in order; and the evidence whose result did not come in time."""
        ready: list[Settled[Tag]] = []
        later: deque[_Result[Tag]] = deque()
        for each in self._results:
            candidates = self._take_candidates(each.verified.result)
            if candidates or each.until_s <= now_s:
                self._note(each.verified.token)
                ready += _entries(each, candidates)
            else:
                later.append(each)
        self._results = later
        late = [key for key, each in self._waiting.items() if each.until_s <= now_s]
        return ready + [self._drop(key) for key in late]

    def _take_candidates(self, result: AttestationResult) -> list[_Candidate[Tag]]:
        """Removes the waiting evidence that a result is about, and returns it."""
        if result.evidence is None:
            return []
        keys = [key for key, each in self._waiting.items() if each.body == result.evidence]
        return [self._waiting.pop(key) for key in keys]

    def _drop(self, key: bytes) -> Settled[Tag]:
        self.dropped += 1
        return Settled(entry=None, tags=tuple(self._waiting.pop(key).tags))

    def _is_known(self, content: bytes) -> bool:
        key = hashlib.sha256(content).digest()
        if key in self._seen:
            self._seen.move_to_end(key)
            return True
        return False

    def _note(self, content: bytes) -> None:
        self._seen[hashlib.sha256(content).digest()] = None
        while len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)


def _entries(taken: _Result[Tag], candidates: Sequence[_Candidate[Tag]]) -> list[Settled[Tag]]:
    """An entry for each candidate, or one entry without evidence; the last one settles the result's messages."""
    payloads: list[tuple[bytes | None, list[Tag]]] = [(each.payload, each.tags) for each in candidates] or [(None, [])]
    payloads[-1] = (payloads[-1][0], [*payloads[-1][1], *taken.tags])
    result = taken.verified.result
    received_us = result.received_us if result.received_us is not None else result.issued_s * SECOND_US
    return [
        Settled(
            entry=encode_entry(
                EvidenceEntry(
                    received_us=received_us,
                    ueid=result.ueid,
                    reasons=tuple(result.reasons),
                    result=taken.verified.token,
                    digest=hashlib.sha256(payload).digest() if payload is not None else _NO_PAYLOAD,
                    payload=payload,
                )
            ),
            tags=tuple(tags),
        )
        for payload, tags in payloads
    ]
