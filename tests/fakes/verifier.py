"""The verifier's ports in memory, with faults to order."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from runtime.ports import Publisher
from schemas.errors import WorldError
from schemas.reasons import Reason
from verifier_worker.ports import AuditLog


@dataclass
class FakeAuditLog(AuditLog):
    """Entries in a list; ``fail_next`` raises once, after writing nothing."""

    entries: list[tuple[int, bytes]] = field(default_factory=list)
    fail_next: bool = False

    @override
    def last_number(self) -> int:
        return self.entries[-1][0] if self.entries else 0

    @override
    def append(self, entries: Sequence[tuple[int, bytes]]) -> None:
        if self.fail_next:
            self.fail_next = False
            raise WorldError(Reason.STORE_UNAVAILABLE, "ordered by the test")
        self.entries += [(number, entry) for number, entry in entries if number > self.last_number()]


@dataclass
class FakePublisher(Publisher):
    """Messages in a list while ``connected``."""

    connected: bool = True
    messages: list[tuple[str, bytes]] = field(default_factory=list)

    @override
    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None) -> int | None:
        if not self.connected:
            return None
        self.messages.append((topic, payload))
        return len(self.messages)

    def on(self, ueid_text: str, kind: str) -> list[bytes]:
        """Payloads published about one attester."""
        return [payload for topic, payload in self.messages if topic.endswith(f"/{kind}/{ueid_text}")]
