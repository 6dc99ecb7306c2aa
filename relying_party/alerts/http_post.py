"""Sends one HTTP POST with a time limit. The only importer of httpx in this package.

A POST goes to the address in the settings and to no other: it follows no redirect, takes no proxy from the environment,
keeps no cookie and does not read the body of the answer.
"""

import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx

from relying_party.alerts.alert_text import plain
from schemas.errors import ConfigError

_MAX_RETRY_AFTER_S: Final = 3600.0
_TOTAL: Final = 3  # timeouts for a whole delivery, in case the receiver drips its answer
_OK: Final = range(200, 300)
_REDIRECT: Final = range(300, 400)
_GONE: Final = 410
_BUSY: Final = frozenset({408, 425, 429})
_ITS_FAULT: Final = range(500, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outcome of a delivery.

    Attributes:
        delivered: the receiver has it.
        outcome: for metrics: ``delivered``, ``refused``, ``redirected``, ``busy``, ``failed`` or ``unreachable``.
        why: the cause of a failure, for people.
        is_down: the receiver would not accept any other alert either.
        never: the receiver asks not to try again.
        retry_after_s: the receiver asks to wait this long.
    """

    delivered: bool
    outcome: str
    why: str = ""
    is_down: bool = False
    never: bool = False
    retry_after_s: float | None = None


class Poster:
    """POSTs to one address. Owned by one thread."""

    def __init__(self, url: str, *, timeout_s: float, ca_file: Path | None) -> None:
        """Connects to nothing yet.

        Raises:
            ConfigError: ``ca_file`` holds no certificates.
        """
        self._url, self._timeout_s = url, timeout_s
        try:
            self._tls = ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"ca_file: {ca_file}: {error}") from error

    def post(self, body: bytes, headers: Mapping[str, str], now_s: int) -> Answer:
        """Sends a body of JSON; never raises for the receiver's behaviour.

        Args:
            body: JSON.
            headers: in addition to the content type.
            now_s: UTC seconds, for a date in ``Retry-After``.
        """
        sent = {"content-type": "application/json", "user-agent": "attestream-alerts", **headers}
        client = httpx.Client(verify=self._tls, timeout=self._timeout_s, follow_redirects=False, trust_env=False)
        late = threading.Event()

        def cut() -> None:
            late.set()
            client.close()

        deadline = threading.Timer(_TOTAL * self._timeout_s, cut)
        deadline.daemon = True
        deadline.start()
        try:
            with client, client.stream("POST", self._url, content=body, headers=sent) as response:
                return _answer_of(response, now_s)
        except (httpx.HTTPError, httpx.StreamError, OSError, ValueError, RuntimeError) as error:
            if not late.is_set() and isinstance(error, RuntimeError):
                raise
            why = "took too long" if late.is_set() else f"{type(error).__name__}: {error}"
            return Answer(delivered=False, outcome="unreachable", why=plain(why, 200), is_down=True)
        finally:
            deadline.cancel()


def _answer_of(response: httpx.Response, now_s: int) -> Answer:
    status = response.status_code
    why = f"HTTP {status} {plain(response.reason_phrase, 40)}".strip()
    if status in _OK:
        return Answer(delivered=True, outcome="delivered")
    if status in _REDIRECT:
        return Answer(delivered=False, outcome="redirected", why=f"{why}: redirects are not followed")
    wait_s = _retry_after_s(response.headers.get("retry-after", ""), now_s)
    if status in _BUSY or status in _ITS_FAULT:
        outcome = "busy" if status in _BUSY else "failed"
        return Answer(delivered=False, outcome=outcome, why=why, is_down=True, retry_after_s=wait_s)
    return Answer(delivered=False, outcome="refused", why=why, never=status == _GONE, retry_after_s=wait_s)


def _retry_after_s(text: str, now_s: int) -> float | None:
    """RFC 9110, 10.2.3: seconds or a date; None for other text; at most an hour."""
    if text.isascii() and text.isdigit() and len(text) < 10:  # noqa: PLR2004 digits of any sensible number of seconds
        return min(float(text), _MAX_RETRY_AFTER_S)
    try:
        date = parsedate_to_datetime(text)
        seconds = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp() - now_s
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER_S)
