"""Signs webhooks according to Standard Webhooks: HMAC-SHA256 over id, time and body. Pure.

The secret is the text ``whsec_`` and base64 of 24 to 64 bytes. The headers are ``webhook-id``, ``webhook-timestamp``
and ``webhook-signature``; the last is ``v1,`` and base64 of the HMAC.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from schemas.errors import ConfigError

_PREFIX: Final = "whsec_"
_KEY_BYTES: Final = range(24, 65)


def parse_secret(text: str) -> bytes:
    """The key in a secret's text.

    Raises:
        ConfigError: it does not have that form; the error does not repeat the text.
    """
    try:
        key = base64.b64decode(text.strip().removeprefix(_PREFIX), validate=True)
    except ValueError as error:
        raise ConfigError("expected whsec_ and base64") from error
    if len(key) not in _KEY_BYTES:
        raise ConfigError(f"{len(key)} bytes, expected 24 to 64: whsec_ and the output of openssl rand -base64 32")
    return key


def signed_headers(key: bytes, identity: str, sent_s: int, body: bytes) -> Mapping[str, str]:
    """The headers of one delivery.

    Args:
        key: of :func:`parse_secret`.
        identity: the same at every delivery of the same alert; contains no dot.
        sent_s: when it is sent, UTC seconds.
        body: exactly as sent.
    """
    signed = f"{identity}.{sent_s}.".encode() + body
    code = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
    return {"webhook-id": identity, "webhook-timestamp": str(sent_s), "webhook-signature": f"v1,{code}"}
