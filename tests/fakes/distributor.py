"""The distributor's world in memory: each class is the second implementation of a port."""

from collections.abc import Callable
from dataclasses import dataclass, field

from schemas.codecs.tst_info import Stamp
from schemas.errors import PeerError, WorldError
from schemas.messages.handle import Handle, StampVerifier
from schemas.reasons import Reason
from tests.builders.token_forge import ForgedAuthority


@dataclass
class ManualClock:
    """UTC and a monotonic clock that move only when told; randomness that counts."""

    now_us: int = 1_790_000_000_000_000
    elapsed_us: int = 0
    drawn: int = 0

    def utc_us(self) -> int:
        return self.now_us

    def monotonic_s(self) -> float:
        return self.elapsed_us / 1_000_000

    def random_bytes(self, count: int) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(count, "big")

    def advance(self, seconds: float) -> None:
        self.now_us += round(seconds * 1_000_000)
        self.elapsed_us += round(seconds * 1_000_000)


@dataclass
class FakeAuthority:
    """A TSA that stamps by the manual clock. ``failure`` makes it fail; ``offset_us`` puts its clock off."""

    name: str
    authority: ForgedAuthority
    stamps: StampVerifier
    clock: ManualClock
    offset_us: int = 0
    accuracy_us: int = 500_000
    latency_s: float = 0.01
    failure: Reason | None = None
    asked: list[tuple[bytes, int]] = field(default_factory=list)
    before_answer: Callable[[int], None] = lambda _count: None

    def stamp(self, imprint: bytes, nonce: int) -> Stamp:
        self.asked.append((imprint, nonce))
        self.before_answer(len(self.asked))
        self.clock.advance(self.latency_s)
        if self.failure is not None:
            raise WorldError(self.failure, f"{self.name} was told to fail")
        time_us = self.clock.now_us + self.offset_us
        token = self.authority.token(imprint, time_us, accuracy_us=self.accuracy_us, nonce=nonce)
        try:
            return Stamp(token=token, info=self.stamps.verify_stamp(token, imprint))
        except PeerError as error:
            raise WorldError(Reason.TSA_UNTRUSTED, error.detail) from error


class PowerCut(BaseException):
    """The process ends here."""


@dataclass
class MemoryStore:
    """A disk. ``broken`` makes it full; ``after_save`` may cut the power."""

    content: bytes | None = None
    broken: bool = False
    after_save: Callable[[], None] = lambda: None

    def load(self) -> bytes | None:
        return self.content

    def save(self, raw: bytes) -> None:
        if self.broken:
            raise WorldError(Reason.STORE_UNAVAILABLE, "no space left on device")
        self.content = raw
        self.after_save()


@dataclass
class RecordingPublisher:
    """A broker that keeps everything it was given, in order."""

    handles: list[Handle] = field(default_factory=list)

    def publish(self, handle: Handle) -> None:
        self.handles.append(handle)
