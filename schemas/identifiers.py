"""Identifiers in messages: UEIDs, handle ids, names of measurement logs."""

import base64
import hashlib
import re
from typing import Final, NewType

from schemas.errors import PeerError
from schemas.reasons import Reason

Ueid = NewType("Ueid", bytes)
"""Universal Entity ID (RFC 9711, 4.2.1): a type byte and 16, 24 or 32 bytes. Ours is ``0x01 || SHA-256(EK SPKI)``."""

HandleId = NewType("HandleId", bytes)
"""SHA-256 of a handle's bytes (the COSE_Sign1, time-stamp token included)."""

UEID_TYPE_RAND: Final = 0x01
MIN_UEID_BYTES: Final = 7
MAX_UEID_BYTES: Final = 33
HANDLE_ID_BYTES: Final = 32

_LOG_NAME = re.compile(r"(tcg2|ima|cel)(/[a-z0-9][a-z0-9._-]{0,31})?")


def ueid_from_key(spki_der: bytes) -> Ueid:
    """The UEID of a device from its endorsement key.

    Args:
        spki_der: DER of the EK's SubjectPublicKeyInfo.

    Returns:
        33 bytes: type RAND (RFC 9711, table 1) and the key's SHA-256.
    """
    return Ueid(bytes([UEID_TYPE_RAND]) + hashlib.sha256(spki_der).digest())


def parse_ueid(raw: bytes) -> Ueid:
    """Checks the length of a UEID (RFC 9711, 4.2.1.1).

    Raises:
        PeerError: ``malformed`` unless it is 7 to 33 bytes long.
    """
    if not MIN_UEID_BYTES <= len(raw) <= MAX_UEID_BYTES:
        raise PeerError(Reason.MALFORMED, f"ueid: {len(raw)} bytes, expected {MIN_UEID_BYTES} to {MAX_UEID_BYTES}")
    return Ueid(raw)


def ueid_text(ueid: Ueid) -> str:
    """The text of a UEID in topics, results and on screens: base64url without padding (RFC 9711, 7.2.2)."""
    return b64url(ueid)


def parse_ueid_text(text: str) -> Ueid:
    """The inverse of :func:`ueid_text`. It accepts one text for each UEID.

    Raises:
        PeerError: ``malformed``.
    """
    return parse_ueid(parse_b64url(text, "ueid"))


def b64url(raw: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def parse_b64url(text: str, field: str) -> bytes:
    """The inverse of :func:`b64url`. It accepts one text for each byte string.

    Raises:
        PeerError: ``malformed``.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise PeerError(Reason.MALFORMED, f"{field}: not base64url") from error
    if b64url(raw) != text:
        raise PeerError(Reason.MALFORMED, f"{field}: not canonical base64url")
    return raw


def parse_log_name(text: str) -> str:
    """Checks the name of a measurement log: its format, and a name if there can be several (``cel/app``).

    Raises:
        PeerError: ``malformed``.
    """
    if not _LOG_NAME.fullmatch(text):
        raise PeerError(Reason.MALFORMED, f"log name {text[:64]!r}: expected tcg2, ima or cel, optionally /name")
    return text
