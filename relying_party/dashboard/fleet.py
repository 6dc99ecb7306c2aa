"""The dashboard's knowledge about each attester: its standing, its history, and refused messages on its topic. Pure.

Every result that is shown was verified by :class:`ResultBoard` (invariant I28). A message that does not verify is shown
beside the result, with its code and time, and never changes the verdict. Until the next verified result it takes away
the affirmation in the view, because the newest message on that topic is not genuine. It never hides a warning or a
contraindication (invariant I32): otherwise anyone who can publish could clear a finding from the screen.

Bounded memory: attesters that a stranger invents take at most :data:`MAX_STRANGERS` places; then the oldest is dropped.
For each attester that a trusted verifier has named it keeps one token and a bounded history.
"""

import heapq
import math
import struct
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from relying_party.dashboard.series import Series
from relying_party.result_board import ResultBoard, Standing, standing_of
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.instants import SECOND_US
from schemas.messages import result_token
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.topics import Topics
from schemas.verdicts import Freshness, Tier

MAX_STRANGERS: Final = 256
MAX_CHANGES: Final = 48
MAX_REFUSED_TOKENS: Final = 256
MAX_REFUSED_TOKEN_BYTES: Final = 16 * 1024
MAX_GONE: Final = 4 * MAX_STRANGERS
SHOWN_LOGS: Final = 4
SAMPLE: Final = struct.Struct("<d8f")  # time, made after and before (s before receipt), rate (ppm), logs (entries)
RECENT_SAMPLES: Final = 60
EARLIER_SAMPLES: Final = 60
TIMELINE: Final = struct.Struct("<d6I")
TIMELINE_RECENT: Final = 360
TIMELINE_EARLIER: Final = 360
_DETAIL_CHARACTERS: Final = 300
_NAN: Final = math.nan


class View(StrEnum):
    """How an attester is counted and coloured: by its result, or as unverified."""

    AFFIRMING = "affirming"
    WARNING = "warning"
    CONTRAINDICATED = "contraindicated"
    STALE = "stale"
    NONE = "none"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A new standing of an attester, and when it began (seconds, by this machine's clock)."""

    at_s: float
    status: str
    freshness: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Refused messages on an attester's topic; the members describe the newest one.

    Attributes:
        count: how many since this process started.
        at_s: when the newest one arrived.
        code: why it was refused.
        detail: the same for people; may quote a stranger's bytes.
        token: its token, if that is small.
        is_newest: no verified result came after it.
    """

    count: int
    at_s: float
    code: str
    detail: str
    token: bytes | None
    is_newest: bool


@dataclass(slots=True, kw_only=True)
class Device:
    """One attester. Owned by its :class:`Fleet`."""

    ueid: Ueid
    revision: int = 0
    token: bytes | None = None  # of the result in force
    refusal: Refusal | None = None
    changes: deque[Change] = field(default_factory=lambda: deque(maxlen=MAX_CHANGES))
    logs: tuple[str, ...] = ()
    samples: Series | None = None
    wakes: bool = False  # is in the heap of expiries
    row: str = ""  # owned by `rows`: the row as JSON, at `row_revision`
    row_revision: int = -1


class Fleet:
    """All attesters; every change of one increments the revision. Owned by the thread that calls it."""

    def __init__(self, keys: Mapping[str, EllipticCurvePublicKey]) -> None:
        """Starts empty.

        Args:
            keys: the trusted verifiers' keys by key id.
        """
        self.board: Final = ResultBoard(keys)
        self.revision = 0
        self.oldest_revision = 0  # a reader with an older revision may have missed a removal
        self.refused: Final[Counter[str]] = Counter()
        self.refused_why = ""
        self.results = 0
        self.timeline: Final = Series(TIMELINE, recent=TIMELINE_RECENT, earlier=TIMELINE_EARLIER)
        self._devices: OrderedDict[Ueid, Device] = OrderedDict()  # in the order of their last change
        self._strangers: OrderedDict[Ueid, None] = OrderedDict()
        self._gone: deque[tuple[int, Ueid]] = deque()
        self._refused_tokens: OrderedDict[Ueid, None] = OrderedDict()
        self._expiries: list[tuple[int, Ueid]] = []

    def take(self, topic: str, payload: bytes, now_us: int) -> None:
        """Takes one message of the results topic, valid or not.

        Args:
            topic: where it was published.
            payload: of the message.
            now_us: UTC microseconds.
        """
        try:
            verified = self.board.apply(topic, payload, now_us // SECOND_US)
        except PeerError as error:
            self._refuse(topic, payload, error, now_us / SECOND_US)
            return
        result = verified.result
        self.results += 1
        self._strangers.pop(result.ueid, None)
        device = self._devices.setdefault(result.ueid, Device(ueid=result.ueid))
        if device.refusal is not None:
            device.refusal = replace(device.refusal, is_newest=False)
        in_force = self.board.in_force(result.ueid, now_us // SECOND_US)
        if in_force is not None:
            device.token = in_force.token
            if in_force.result is result:  # else another verifier's is worse
                _sample(device, result, now_us / SECOND_US)
            self._note(device, standing_of(in_force.result, now_us // SECOND_US), now_us / SECOND_US)
            if not device.wakes:
                device.wakes = True
                heapq.heappush(self._expiries, (in_force.result.expires_s, device.ueid))
        self._touch(device)

    def expire(self, now_s: int) -> None:
        """Notes the results that have expired since the last call; no message announces that."""
        while self._expiries and self._expiries[0][0] <= now_s:
            _, ueid = heapq.heappop(self._expiries)
            device, in_force = self._devices[ueid], self.board.in_force(ueid, now_s)
            device.wakes = False
            if in_force is None:  # out of service
                self._forget(ueid)
                continue
            expires_s = in_force.result.expires_s
            if expires_s > now_s:  # a later result took its place, or another verifier's
                device.wakes = True
                heapq.heappush(self._expiries, (expires_s, ueid))
                if in_force.token == device.token:
                    continue
            device.token = in_force.token
            self._note(device, standing_of(in_force.result, now_s), min(expires_s, now_s))
            self._touch(device)

    def sample(self, now_s: float) -> None:
        """Adds a point to the fleet's time line."""
        counts = self.counts(now_s)
        self.timeline.append(now_s, *(counts[view] for view in View))

    def counts(self, now_s: float) -> Counter[View]:
        """The number of attesters in each view."""
        return Counter(self.view(device, now_s) for device in self._devices.values())

    def device(self, ueid: Ueid) -> Device | None:
        """The knowledge about one attester; None if no message about it was seen."""
        return self._devices.get(ueid)

    def devices(self) -> Iterable[Device]:
        """All attesters."""
        return self._devices.values()

    def __len__(self) -> int:
        return len(self._devices)

    def standing(self, device: Device, now_s: float) -> Standing | None:
        """The standing of an attester; None when only unverified messages were seen."""
        return self.board.standing(device.ueid, int(now_s))

    def view(self, device: Device, now_s: float) -> View:
        """How an attester is shown at ``now_s``, UTC seconds."""
        return view_of(self.standing(device, now_s), device.refusal)

    def since(self, revision: int) -> tuple[list[Device], list[Ueid]] | None:
        """Changed and removed attesters since a revision; None if that is too long ago."""
        if not self.oldest_revision <= revision <= self.revision:
            return None
        changed = list(_until(reversed(self._devices.values()), revision))
        return changed, [ueid for at, ueid in self._gone if at > revision]

    def _refuse(self, topic: str, payload: bytes, error: PeerError, now_s: float) -> None:
        self.refused[error.reason] += 1
        self.refused_why = error.detail[:_DETAIL_CHARACTERS]
        try:
            ueid = Topics().ueid_of(topic)
        except PeerError:
            return  # the topic names no attester
        device = self._devices.get(ueid)
        if device is None:
            device = self._devices[ueid] = Device(ueid=ueid)
            self._strangers[ueid] = None
            if len(self._strangers) > MAX_STRANGERS:
                self._forget(self._strangers.popitem(last=False)[0])
        before = device.refusal
        count = 1 if before is None else before.count + 1
        # An older genuine result that was repeated: the newer result is still in force. So it takes no affirmation
        # away, and must not replace the code of a refusal that does.
        repeated = error.reason is Reason.OBJECT_ROLLED_BACK
        if before is not None and before.is_newest and repeated:
            device.refusal = replace(before, count=count)
        else:
            device.refusal = Refusal(
                count=count,
                at_s=now_s,
                code=error.reason,
                detail=error.detail[:_DETAIL_CHARACTERS],
                token=self._kept(ueid, payload),
                is_newest=not repeated,
            )
        self._touch(device)

    def _kept(self, ueid: Ueid, payload: bytes) -> bytes | None:
        """The token of a refused message, to show it; kept for a limited number of attesters."""
        if len(payload) > MAX_REFUSED_TOKEN_BYTES:
            return None
        try:
            token = result_token.unwrap(payload)
        except PeerError:
            return None
        self._refused_tokens[ueid] = None
        self._refused_tokens.move_to_end(ueid)
        if len(self._refused_tokens) > MAX_REFUSED_TOKENS:
            dropped = self._devices.get(self._refused_tokens.popitem(last=False)[0])
            if dropped is not None and dropped.refusal is not None:
                dropped.refusal = replace(dropped.refusal, token=None)
        return token

    def _note(self, device: Device, standing: Standing, at_s: float) -> None:
        now = (standing.status.value, standing.freshness.value, standing.reasons)
        last = device.changes[-1] if device.changes else None
        if last is None or (last.status, last.freshness, last.reasons) != now:
            status, freshness, reasons = now
            device.changes.append(Change(at_s=at_s, status=status, freshness=freshness, reasons=reasons))

    def _touch(self, device: Device) -> None:
        self.revision += 1
        device.revision = self.revision
        self._devices.move_to_end(device.ueid)

    def _forget(self, ueid: Ueid) -> None:
        del self._devices[ueid]
        self._refused_tokens.pop(ueid, None)
        self.revision += 1
        self._gone.append((self.revision, ueid))
        if len(self._gone) > MAX_GONE:
            self.oldest_revision = self._gone.popleft()[0]


def view_of(standing: Standing | None, refusal: Refusal | None) -> View:
    """How an attester is shown, by its standing and its newest refused message."""
    if standing is None:
        return View.UNVERIFIED
    if standing.status in {Tier.WARNING, Tier.CONTRAINDICATED}:
        return View(standing.status.value)
    if refusal is not None and refusal.is_newest:
        return View.UNVERIFIED
    if standing.status is Tier.AFFIRMING:
        return View.AFFIRMING
    return View.STALE if standing.freshness is Freshness.STALE else View.NONE


def _sample(device: Device, result: AttestationResult, now_s: float) -> None:
    if device.samples is None:
        device.samples = Series(SAMPLE, recent=RECENT_SAMPLES, earlier=EARLIER_SAMPLES)
    if len(device.logs) < SHOWN_LOGS:
        new = sorted(result.logs.keys() - set(device.logs))
        device.logs = (*device.logs, *new)[:SHOWN_LOGS]
    received_us = result.received_us
    at_s = now_s if received_us is None else received_us / SECOND_US

    def before_receipt(time_us: int | None) -> float:
        return _NAN if time_us is None or received_us is None else (received_us - time_us) / SECOND_US

    low, high = result.clock_rate_ppm if result.clock_rate_ppm is not None else (_NAN, _NAN)
    entries = [float(result.logs[name]) if name in result.logs else _NAN for name in device.logs]
    entries += [_NAN] * (SHOWN_LOGS - len(entries))
    device.samples.append(
        at_s, before_receipt(result.made_after_us), before_receipt(result.made_before_us), low, high, *entries
    )


def _until(newest_first: Iterator[Device], revision: int) -> Iterator[Device]:
    for device in newest_first:
        if device.revision <= revision:
            return
        yield device
