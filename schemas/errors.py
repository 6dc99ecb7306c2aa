"""The expected errors, by who must act.

``PeerError``: bytes from outside are wrong. Reject them, count, go on.
``WorldError``: broker, TPM, TSA or disk failed. Retry with backoff; it is never a verdict.
``ConfigError``: the operator must change something. Exit with 2 before any work.
Any other exception is a bug and must crash the process.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.reasons import Reason

_MAX_DETAIL_CHARACTERS = 1000  # details quote bytes from outside


class AttestreamError(Exception):
    """An expected failure: a stable code, and a sentence for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        detail = detail if len(detail) <= _MAX_DETAIL_CHARACTERS else detail[:_MAX_DETAIL_CHARACTERS] + "…"
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class PeerError(AttestreamError):
    """Bytes from outside are wrong. They are rejected and counted; nothing else changes."""


class WorldError(AttestreamError):
    """Broker, TPM, TSA or disk failed. The action is retried; no verdict changes."""


class ConfigError(AttestreamError):
    """The configuration is wrong. ``detail`` names the file, the field and the expected value."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.CONFIGURATION_INVALID, detail)


@contextmanager
def as_config_error(source: object) -> Iterator[None]:
    """Turns a ``PeerError`` into a ``ConfigError``; ``source`` is the setting, option or file that gave the bytes."""
    try:
        yield
    except PeerError as error:
        raise ConfigError(f"{source}: {error.detail}") from error
