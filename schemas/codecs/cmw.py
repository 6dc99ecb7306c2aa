"""CMW records (RFC 9999, section 3.1): ``[media type, bytes, indicator]``, the envelope of every payload.

The envelope itself is not protected. It only selects the parser.
"""

from collections.abc import Sequence

from schemas.codecs import cbor
from schemas.codecs.fields import as_array, as_bytes, as_text, as_uint
from schemas.errors import PeerError
from schemas.limits import MAX_MESSAGE_BYTES
from schemas.media_types import Indicator
from schemas.reasons import Reason

_MAX_TYPE_CHARACTERS = 128


def wrap(media_type: str, value: bytes, indicator: Indicator | None) -> bytes:
    """Encodes one record. Messages that are not conceptual messages of RATS have no indicator."""
    return cbor.encode([media_type, value] if indicator is None else [media_type, value, int(indicator)])


def unverified_type(raw: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> str:
    """The media type that a record claims, to select the function that unwraps it.

    Raises:
        PeerError: ``too-large``, ``malformed``.
    """
    record = as_array(cbor.decode(raw, "CMW record", max_bytes=max_bytes), "CMW record", limit=3)
    if not record:
        raise PeerError(Reason.MALFORMED, "CMW record: empty")
    return as_text(record[0], "CMW media type", limit=_MAX_TYPE_CHARACTERS)


def unwrap(raw: bytes, media_type: str, indicator: Indicator | None, *, max_bytes: int = MAX_MESSAGE_BYTES) -> bytes:
    """The value of a record of one media type. For arguments and errors see :func:`unwrap_any`.

    Returns:
        The record's value, not parsed, not trusted.
    """
    return unwrap_any(raw, (media_type,), indicator, max_bytes=max_bytes)[1]


def unwrap_any(
    raw: bytes, media_types: Sequence[str], indicator: Indicator | None, *, max_bytes: int = MAX_MESSAGE_BYTES
) -> tuple[str, bytes]:
    """The media type and value of a record of one of several media types.

    Args:
        raw: an MQTT payload.
        media_types: the accepted media types.
        indicator: the accepted indicator; None if the record must not have one.
        max_bytes: limit on the whole payload.

    Returns:
        The record's type and value, not parsed, not trusted.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``unknown-media-type``.
    """
    record = as_array(cbor.decode(raw, "CMW record", max_bytes=max_bytes), "CMW record", limit=3)
    expected_items = 2 if indicator is None else 3
    if len(record) != expected_items:
        raise PeerError(Reason.MALFORMED, f"CMW record: {len(record)} items, expected {expected_items}")
    media_type = record[0]
    if not isinstance(media_type, str) or media_type not in media_types:
        expected = " or ".join(map(repr, media_types))
        raise PeerError(Reason.UNKNOWN_MEDIA_TYPE, f"CMW record: {str(media_type)[:120]!r}, expected {expected}")
    if indicator is not None and as_uint(record[2], "CMW indicator") != indicator:
        raise PeerError(Reason.UNKNOWN_MEDIA_TYPE, f"CMW indicator {record[2]}, expected {int(indicator)}")
    return media_type, as_bytes(record[1], "CMW value")
