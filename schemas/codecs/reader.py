"""A cursor over untrusted bytes. Every read is bounded; if bytes are missing, the ``PeerError`` names the field."""

from typing import Literal

from schemas.errors import PeerError
from schemas.reasons import Reason


class Reader:
    """Reads fixed and length-prefixed fields from ``data``, front to back.

    Invariant: ``0 <= position <= len(data)``. A failed read does not move ``position``.
    """

    __slots__ = ("_byteorder", "data", "position")

    def __init__(self, data: bytes, byteorder: Literal["big", "little"], position: int = 0) -> None:
        self.data = data
        self.position = position
        self._byteorder: Literal["big", "little"] = byteorder

    @property
    def remaining(self) -> int:
        """The number of bytes that are not read yet."""
        return len(self.data) - self.position

    def take(self, size: int, field: str) -> bytes:
        """The next ``size`` bytes.

        Raises:
            PeerError: ``malformed`` when fewer than ``size`` bytes are left.
        """
        end = self.position + size
        if end > len(self.data):
            message = f"{field}: needs {size} bytes at offset {self.position}, {self.remaining} left"
            raise PeerError(Reason.MALFORMED, message)
        chunk = self.data[self.position : end]
        self.position = end
        return chunk

    def uint(self, size: int, field: str) -> int:
        """The next ``size`` bytes as an unsigned integer."""
        return int.from_bytes(self.take(size, field), self._byteorder)

    def sized(self, prefix: int, limit: int, field: str) -> bytes:
        """A byte string with a length prefix of ``prefix`` bytes and at most ``limit`` bytes of content."""
        start = self.position
        size = self.uint(prefix, f"{field} length")
        if size > limit:
            self.position = start
            raise PeerError(Reason.MALFORMED, f"{field}: {size} bytes, the limit is {limit}")
        try:
            return self.take(size, field)
        except PeerError:
            self.position = start
            raise

    def finish(self, field: str) -> None:
        """Checks that no byte is left.

        Raises:
            PeerError: ``malformed`` if bytes follow the structure.
        """
        if self.remaining:
            raise PeerError(Reason.MALFORMED, f"{field}: {self.remaining} bytes after its end")
