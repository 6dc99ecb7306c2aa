"""Attesters whose last push names a handle that has not arrived yet."""

from collections import OrderedDict

from schemas.identifiers import HandleId, Ueid


class AwaitedHandles:
    """Which attester waits for which handle. In memory and bounded; a forgotten attester resolves by its next push."""

    def __init__(self, limit: int) -> None:
        """Keeps at most ``limit`` attesters, the latest ones."""
        self._limit = limit
        self._handle_of: OrderedDict[Ueid, HandleId] = OrderedDict()
        self._waiting: dict[HandleId, set[Ueid]] = {}

    def add(self, ueid: Ueid, handle: HandleId) -> None:
        """Notes that the attester's last push names ``handle``."""
        self.remove(ueid)
        self._handle_of[ueid] = handle
        self._waiting.setdefault(handle, set()).add(ueid)
        if len(self._handle_of) > self._limit:
            self.remove(next(iter(self._handle_of)))

    def remove(self, ueid: Ueid) -> None:
        """Notes that the attester waits for no handle."""
        handle = self._handle_of.pop(ueid, None)
        if handle is not None:
            others = self._waiting[handle]
            others.discard(ueid)
            if not others:
                del self._waiting[handle]

    def take(self, handle: HandleId) -> list[Ueid]:
        """Returns and removes the attesters that wait for ``handle``."""
        ueids = sorted(self._waiting.get(handle, ()))
        for ueid in ueids:
            self.remove(ueid)
        return ueids
