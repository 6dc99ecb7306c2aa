"""Reads text and GUIDs that UEFI firmware wrote.

Source: UEFI 2.10, 2.3.1 (CHAR16 is UCS-2, little-endian) and appendix A (GUIDs).
"""

import uuid
from typing import Final

from schemas.codecs.reader import Reader
from schemas.errors import PeerError
from schemas.reasons import Reason

GUID_BYTES: Final = 16


def guid_text(raw: bytes) -> str:
    """A GUID as text, lower case.

    Args:
        raw: 16 bytes; the first three fields little-endian.
    """
    return str(uuid.UUID(bytes_le=raw))


def read_guid(reader: Reader, field: str) -> str:
    """The next 16 bytes as a GUID."""
    return guid_text(reader.take(GUID_BYTES, field))


def utf16_text(raw: bytes, field: str, *, whole: bool = False) -> str:
    """Decodes UTF-16LE text up to its terminator, or with ``whole`` all of it.

    Raises:
        PeerError: ``malformed`` for an odd length or lone surrogates.
    """
    try:
        text = raw.decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise PeerError(Reason.MALFORMED, f"{field}: not UTF-16: {error.reason}") from error
    return text if whole else text.partition("\0")[0]


def guess_text(raw: bytes) -> str | None:
    """Decodes text of unknown encoding: printable UTF-8 or UTF-16LE, with or without terminators. None for other bytes.

    Nearly any two bytes are some character in UTF-16, so UTF-16 text is accepted only if at least half of it is ASCII.
    """
    wide = b"\0" in raw.rstrip(b"\0")
    try:
        text = _cut_terminators(raw, "utf-16-le" if wide else "utf-8")
    except UnicodeDecodeError:
        return None
    if wide and 2 * sum(character.isascii() for character in text) < len(text):
        return None
    return text if all(character.isprintable() or character in "\t\r\n" for character in text) else None


def _cut_terminators(raw: bytes, encoding: str) -> str:
    if encoding == "utf-16-le" and len(raw) % 2:
        raw = raw.removesuffix(b"\0")  # systemd-boot before 251 logs half of the terminator
    return raw.decode(encoding).rstrip("\0")
