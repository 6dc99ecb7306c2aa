"""Bytes that were changed on their way."""


def flipped(raw: bytes, at: int = -1) -> bytes:
    """``raw`` with one bit of one byte changed: never the same bytes, whatever they were."""
    changed = bytearray(raw)
    changed[at] ^= 1
    return bytes(changed)
