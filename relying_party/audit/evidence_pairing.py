"""What a recorder writes down of what it hears, and when: pure, messages and time are arguments.

A result names the SHA-256 of the body of the evidence it is about. Evidence waits, a bounded time and number, until
such a result comes; a result waits a moment for its evidence, since the two come on two connections. Somebody who
copies a body and forges the rest makes a second candidate: a recorder does not judge, so each candidate (a few) is
written down with the result, and one of them leads to it. The same message again is written once.

Promises: every entry handed out by :meth:`Recording.due` comes with the messages that may be acknowledged when it is
on disk; evidence that is dropped comes with its messages, too.
"""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

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
class Recorded(Generic[Tag]):
    """One entry, and the messages that it settles.

    Attributes:
        entry: encoded; None where messages are given up.
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
    token: bytes
    result: AttestationResult
    until_s: float
    tags: list[Tag] = field(default_factory=list)


class Recording(Generic[Tag]):
    """Owned by one thread. ``Tag`` is whatever the shell acknowledges a message by."""

    def __init__(self, *, evidence_wait_s: float, result_wait_s: float, waiting_max: int) -> None:
        """Starts empty.

        Args:
            evidence_wait_s: how long evidence waits for a result.
            result_wait_s: how long a result waits for its evidence.
            waiting_max: messages of evidence that wait at once; the oldest give way.
        """
        self._evidence_wait_s, self._result_wait_s, self._waiting_max = evidence_wait_s, result_wait_s, waiting_max
        self._waiting: OrderedDict[bytes, _Candidate[Tag]] = OrderedDict()  # by digest of the payload
        self._results: deque[_Result[Tag]] = deque()
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Messages of evidence that wait."""
        return len(self._waiting)

    def remember(self, entries: Iterable[bytes]) -> None:
        """Notes what the log has already, so that it is not written again."""
        for raw in entries:
            try:
                entry = parse_entry(raw)
            except PeerError:
                continue
            content = entry.raw if isinstance(entry, ObjectEntry) else entry.result
            if content is not None:
                self._note(content)

    def take_evidence(self, payload: bytes, tag: Tag, now_s: float) -> list[Recorded[Tag]]:
        """Lets evidence wait; returns what gives way for it.

        Raises:
            PeerError: it is none.
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
            return [self._drop(same[-2])]  # the first ones stay: a flood comes later
        return [self._drop(next(iter(self._waiting)))] if len(self._waiting) > self._waiting_max else []

    def take_result(self, token: bytes, result: AttestationResult, tag: Tag, now_s: float) -> list[Recorded[Tag]]:
        """Takes a result that was verified; returns what is settled at once, because it is in the log already."""
        if self._is_known(token):
            tags = [tag, *(each for candidate in self._answered(result) for each in candidate.tags)]
            return [Recorded(entry=None, tags=tuple(tags))]
        for each in self._results:
            if each.token == token:
                each.tags.append(tag)
                return []
        wait_s = self._result_wait_s if result.evidence is not None else 0.0
        self._results.append(_Result(token, result, now_s + wait_s, [tag]))
        return []

    def take_object(self, kind: str, raw: bytes, tag: Tag, received_us: int) -> list[Recorded[Tag]]:
        """Takes an object that was verified."""
        if self._is_known(raw):
            return [Recorded(entry=None, tags=(tag,))]
        self._note(raw)
        entry = encode_entry(ObjectEntry(received_us=received_us, kind=kind, raw=raw))
        return [Recorded(entry=entry, tags=(tag,))]

    def due(self, now_s: float) -> list[Recorded[Tag]]:
        """What is to be written now, in order; and evidence that no result has answered in time."""
        ready: list[Recorded[Tag]] = []
        later: deque[_Result[Tag]] = deque()
        for each in self._results:
            candidates = self._answered(each.result)
            if candidates or each.until_s <= now_s:
                self._note(each.token)
                ready += _entries(each, candidates)
            else:
                later.append(each)
        self._results = later
        late = [key for key, each in self._waiting.items() if each.until_s <= now_s]
        return ready + [self._drop(key) for key in late]

    def _answered(self, result: AttestationResult) -> list[_Candidate[Tag]]:
        """Takes the evidence that a result is about out of the waiting room."""
        if result.evidence is None:
            return []
        keys = [key for key, each in self._waiting.items() if each.body == result.evidence]
        return [self._waiting.pop(key) for key in keys]

    def _drop(self, key: bytes) -> Recorded[Tag]:
        self.dropped += 1
        return Recorded(entry=None, tags=tuple(self._waiting.pop(key).tags))

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


def _entries(taken: _Result[Tag], candidates: Sequence[_Candidate[Tag]]) -> list[Recorded[Tag]]:
    """An entry for each candidate, or one without evidence; the last settles the result's messages."""
    payloads: list[tuple[bytes | None, list[Tag]]] = [(each.payload, each.tags) for each in candidates] or [(None, [])]
    payloads[-1] = (payloads[-1][0], [*payloads[-1][1], *taken.tags])
    result = taken.result
    received_us = result.received_us if result.received_us is not None else result.issued_s * SECOND_US
    return [
        Recorded(
            entry=encode_entry(
                EvidenceEntry(
                    received_us=received_us,
                    ueid=result.ueid,
                    reasons=tuple(result.reasons),
                    result=taken.token,
                    digest=hashlib.sha256(payload).digest() if payload is not None else _NO_PAYLOAD,
                    payload=payload,
                )
            ),
            tags=tuple(tags),
        )
        for payload, tags in payloads
    ]
