"""Parses the URL of a Time Stamp Authority. Imports no client, so that settings stay light."""

import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class TsaAddress:
    """The address of a TSA, parsed once at start."""

    url: str
    tls: bool
    host: str
    port: int
    path: str


def parse_tsa_url(url: str) -> TsaAddress:
    """Parses ``http://host:port/path`` or ``https://…``.

    Raises:
        ConfigError: it has another scheme, no host, a bad port, or a password.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r}: not a URL ({error})") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"{url!r}: expected http://HOST[:PORT]/PATH or https://…")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"TSA at {parts.hostname}: user names and passwords in URLs are not supported")
    tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return TsaAddress(url=url, tls=tls, host=parts.hostname, port=port or (443 if tls else 80), path=path)


def parse_tsa_urls(urls: Sequence[str]) -> tuple[TsaAddress, ...]:
    """Parses a setting ``urls``.

    Raises:
        ConfigError: as :func:`parse_tsa_url`, or a URL occurs twice; names the field.
    """
    if len(set(urls)) != len(urls):
        raise ConfigError("urls: the same TSA twice")
    try:
        return tuple(parse_tsa_url(url) for url in urls)
    except ConfigError as error:
        raise ConfigError(f"urls: {error.detail}") from error
