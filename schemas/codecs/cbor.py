"""CBOR: deterministic encoding, strict bounded decoding. The only importer of cbor2.

cbor2's canonical form orders map keys by length first (RFC 7049, 3.9); RFC 8949, 4.2.1 orders them bytewise. Both give
the same order for every map of this project (small non-negative integers or text, and one long negative key); the tests
compare the vectors with both. ``decode`` accepts exactly the bytes that ``encode`` makes, so a value has one encoding.
"""

from collections.abc import Callable
from typing import Final, NoReturn

import cbor2

from schemas.codecs.cbor_items import check_items
from schemas.errors import PeerError
from schemas.limits import MAX_CBOR_DEPTH, MAX_MESSAGE_BYTES
from schemas.reasons import Reason

Tag = cbor2.CBORTag
TAG_EPOCH_TIME: Final = 1  # RFC 8949, 3.4.2


_SCANNED_FROM_BYTES: Final = 1024  # smaller inputs cannot hold enough keys to matter


def _refuse(_value: object, _immutable: bool) -> NoReturn:  # noqa: FBT001 cbor2's signature
    message = "a tag that no message uses"
    raise ValueError(message)


def _keep_time(value: object, _immutable: bool) -> Tag:  # noqa: FBT001 cbor2's signature
    return Tag(TAG_EPOCH_TIME, value)


# cbor2 would turn these tags into dates, decimals, regular expressions, shared references …; they are refused first.
_INTERPRETED_TAGS: Final = (
    *(0, 2, 3, 4, 5),
    *(25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799),
)
_TAG_DECODERS: Final = {**dict.fromkeys(_INTERPRETED_TAGS, _refuse), TAG_EPOCH_TIME: _keep_time}


def _keeping(tag: int) -> Callable[[object, bool], Tag]:
    return lambda value, _immutable: Tag(tag, value)


_FOREIGN_DECODERS: Final = {tag: _keeping(tag) for tag in (*_INTERPRETED_TAGS, TAG_EPOCH_TIME)}


def encode(value: object) -> bytes:
    """Deterministic CBOR of maps, arrays, integers, text, bytes, booleans, null and tags."""
    return cbor2.dumps(value, canonical=True)


def decode_foreign(raw: bytes, field: str, *, max_bytes: int = MAX_MESSAGE_BYTES) -> object:
    """Decodes one item of another tool, to show it: any encoding, indefinite lengths, tags not interpreted.

    Args:
        raw: the bytes; those after the first item are ignored.
        field: name of the bytes, for the error message.
        max_bytes: limit on ``len(raw)``.

    Raises:
        PeerError: ``too-large``; ``malformed`` for bytes that are not CBOR, duplicate keys, depth.
    """
    if len(raw) > max_bytes:
        raise PeerError(Reason.TOO_LARGE, f"{field}: {len(raw)} bytes, the limit is {max_bytes}")
    try:
        value: object = cbor2.loads(
            raw, max_depth=MAX_CBOR_DEPTH, allow_duplicate_keys=False, semantic_decoders=_FOREIGN_DECODERS
        )
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise PeerError(Reason.MALFORMED, f"{field}: not valid CBOR ({error})") from error
    return value


def decode(raw: bytes, field: str, *, max_bytes: int = MAX_MESSAGE_BYTES, authenticated: bool = False) -> object:
    """Decodes one deterministic item, strictly.

    Args:
        raw: all bytes of the item.
        field: name of the bytes, for the error message.
        max_bytes: limit on ``len(raw)``, checked before anything is parsed.
        authenticated: a trusted key signed these bytes, so the limits on the number of items do not apply.

    Returns:
        dict, list, int, str, bytes, bool, None or :data:`Tag`; inside a tag maps and arrays are immutable
        (``Mapping``, ``tuple``). Tags are never interpreted.

    Raises:
        PeerError: ``too-large`` in bytes or items; ``malformed`` for duplicate keys, indefinite lengths, bytes after
            the item, depth, or any encoding other than the deterministic one.
    """
    if len(raw) > max_bytes:
        raise PeerError(Reason.TOO_LARGE, f"{field}: {len(raw)} bytes, the limit is {max_bytes}")
    if len(raw) > _SCANNED_FROM_BYTES and not authenticated:
        check_items(raw, field)
    try:
        value: object = cbor2.loads(
            raw,
            max_depth=MAX_CBOR_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_TAG_DECODERS,
        )
        canonical = cbor2.dumps(value, canonical=True)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise PeerError(Reason.MALFORMED, f"{field}: not valid CBOR ({error})") from error
    if canonical != raw:
        raise PeerError(Reason.MALFORMED, f"{field}: not deterministic CBOR, or bytes after its end")
    return value
