"""The signed objects that a verifier's database held, by its audit log: it loads them at its next start."""

from collections.abc import Sequence

from typing_extensions import override

from schemas.messages.trust_objects import TRUST_OBJECTS
from verifier_worker.ports import TrustObjects


class RememberedObjects(TrustObjects):
    """Keeps objects in memory, in the order in which the database returns them. Owned by one thread."""

    def __init__(self) -> None:
        """Starts empty."""
        self._objects: dict[tuple[str, bytes], tuple[bytes, int]] = {}

    def clear(self) -> None:
        """Forgets all objects, as a lost database did."""
        self._objects.clear()

    @property
    def lasting(self) -> int:
        """The number of objects, handles excluded."""
        return sum(not TRUST_OBJECTS[kind].expires for kind, _ in self._objects)

    @override
    def load_trust(self) -> Sequence[tuple[str, bytes]]:
        return [(kind, raw) for (kind, _), (raw, _) in sorted(self._objects.items())]

    @override
    def save_trust(self, kind: str, key: bytes, raw: bytes, keep_until_us: int) -> None:
        self._objects[kind, key] = raw, keep_until_us

    @override
    def prune_trust(self, now_us: int) -> None:
        self._objects = {each: kept for each, kept in self._objects.items() if kept[1] >= now_us}
