"""Typed access to decoded CBOR. Each function returns the type in its name, or raises a ``PeerError`` for the field."""

from collections.abc import Collection, Mapping, Sequence

from schemas.codecs.cbor import Tag
from schemas.errors import PeerError
from schemas.reasons import Reason

UINT64_MAX = 2**64 - 1
_KEY_TYPES = frozenset({int, str})


def _malformed(field: str, expected: str) -> PeerError:
    return PeerError(Reason.MALFORMED, f"{field}: expected {expected}")


def as_map(
    value: object,
    field: str,
    *,
    required: Collection[object] = (),
    optional: Collection[object] | None = None,
    limit: int | None = None,
) -> Mapping[object, object]:
    """A map with all ``required`` keys. It has no other keys than ``optional`` ones, unless that is None."""
    if not isinstance(value, Mapping):
        raise _malformed(field, "a map")
    if not _KEY_TYPES.issuperset(map(type, value)):  # True and 1.0 would pass for the key 1
        raise PeerError(Reason.MALFORMED, f"{field}: a key that is neither an integer nor text")
    for key in required:
        if key not in value:
            raise PeerError(Reason.MALFORMED, f"{field}: key {key!r} is missing")
    if optional is not None and len(value) > len(required):
        for key in value:
            if key not in required and key not in optional:
                raise PeerError(Reason.MALFORMED, f"{field}: unknown key {key!r}")
    if limit is not None and len(value) > limit:
        raise PeerError(Reason.TOO_LARGE, f"{field}: {len(value)} items, the limit is {limit}")
    return value


def as_array(value: object, field: str, *, length: int | None = None, limit: int | None = None) -> Sequence[object]:
    """An array: if given, of exactly ``length`` items or at most ``limit``."""
    if not isinstance(value, list | tuple):
        raise _malformed(field, "an array")
    if length is not None and len(value) != length:
        raise PeerError(Reason.MALFORMED, f"{field}: {len(value)} items, expected {length}")
    if limit is not None and len(value) > limit:
        raise PeerError(Reason.TOO_LARGE, f"{field}: {len(value)} items, the limit is {limit}")
    return value


def as_bytes(value: object, field: str, *, size: int | None = None, limit: int | None = None) -> bytes:
    """A byte string: if given, of exactly ``size`` bytes or at most ``limit``."""
    if not isinstance(value, bytes):
        raise _malformed(field, "a byte string")
    if size is not None and len(value) != size:
        raise PeerError(Reason.MALFORMED, f"{field}: {len(value)} bytes, expected {size}")
    if limit is not None and len(value) > limit:
        raise PeerError(Reason.TOO_LARGE, f"{field}: {len(value)} bytes, the limit is {limit}")
    return value


def as_text(value: object, field: str, *, limit: int) -> str:
    """A text string of at most ``limit`` characters."""
    if not isinstance(value, str):
        raise _malformed(field, "a text string")
    if len(value) > limit:
        raise PeerError(Reason.TOO_LARGE, f"{field}: {len(value)} characters, the limit is {limit}")
    return value


def as_uint(value: object, field: str, *, maximum: int = UINT64_MAX) -> int:
    """An unsigned integer up to ``maximum``; a boolean is not one."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise _malformed(field, f"an unsigned integer up to {maximum}")
    return value


def as_bool(value: object, field: str) -> bool:
    """A boolean."""
    if not isinstance(value, bool):
        raise _malformed(field, "a boolean")
    return value


def as_tag(value: object, tag: int, field: str) -> object:
    """The content of the CBOR tag ``tag``."""
    if not isinstance(value, Tag) or value.tag != tag:
        raise _malformed(field, f"CBOR tag {tag}")
    content: object = value.value
    return content
