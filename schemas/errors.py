"""The one error tree, split by who must act.

``PeerError``: their bytes are wrong -- reject, count, go on.
``WorldError``: broker, TPM, TSA or disk -- retry with backoff, never a verdict.
``ConfigError``: the operator must change something -- exit 2 before any work.
Anything else that is raised is our own bug and must crash the process.
"""

from schemas.reasons import Reason

_MAX_DETAIL_CHARACTERS = 1000  # details quote what they refuse


class AttestreamError(Exception):
    """What all expected failures have in common: a stable code and a sentence for a person."""

    def __init__(self, reason: Reason, detail: str) -> None:
        detail = detail if len(detail) <= _MAX_DETAIL_CHARACTERS else detail[:_MAX_DETAIL_CHARACTERS] + "…"
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class PeerError(AttestreamError):
    """Bytes from outside are wrong. The input is rejected; nothing changes but a counter."""


class WorldError(AttestreamError):
    """Something we depend on did not answer. Retried; says nothing about any attester."""


class ConfigError(AttestreamError):
    """The configuration is wrong. ``detail`` names the file, the field and what would be right."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.CONFIGURATION_INVALID, detail)
