"""What is around the endorser: a transport in memory."""


class Wire:
    """A transport that remembers; ``up`` says whether it takes anything."""

    def __init__(self) -> None:
        self.up = True
        self.sent: list[tuple[str, bytes]] = []

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None) -> int | None:
        if not self.up:
            return None
        self.sent.append((topic, payload))
        return len(self.sent)
