"""Traces of evidence from push to result, for whoever looks for where the time goes. Off unless ``[tracing]`` says so.

Nothing travels for it: everyone who has a piece of evidence knows its body, and the trace is named after that body's
SHA-256. The first 16 bytes are the trace id, the next 8 the id of the span that all others hang on: the agent's push.
So agent, verifier and relying party write into one trace without having spoken of it.

While it is off there is no tracer, nothing is imported and nothing is measured. A trace is no evidence: it is
unsigned, may be lost, and decides nothing.
"""

import importlib
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from schemas.errors import ConfigError

Attributes: TypeAlias = Mapping[str, str | int]
EXTRA = "tracing"


class Tracer(Protocol):
    """Takes spans that have ended. Thread-safe; never blocks, never raises; what is too much is dropped."""

    def record(
        self,
        body: bytes,
        name: str,
        started_s: float,
        ended_s: float,
        attributes: Attributes | None = None,
        *,
        root: bool = False,
    ) -> None:
        """One span.

        Args:
            body: SHA-256 of the evidence body.
            name: who, and what.
            started_s: by the monotonic clock of this process.
            ended_s: likewise.
            attributes: more about it; no payloads, no keys.
            root: it is the span that the others hang on.
        """

    def close(self) -> None:
        """Sends what is left, for a few seconds at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingSettings:
    """Table ``[tracing]``: leave it out, and nothing is traced.

    Attributes:
        endpoint: of an OpenTelemetry collector, OTLP over HTTP: ``http://127.0.0.1:4318/v1/traces``. Empty for none.
    """

    endpoint: str = ""

    def __post_init__(self) -> None:
        if not self.endpoint:
            return
        try:
            parts = urllib.parse.urlsplit(self.endpoint)
            fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fine = False
        if not fine:
            raise ConfigError(f"endpoint: {self.endpoint[:200]!r}, expected http://HOST:PORT/v1/traces")


def open_tracer(settings: TracingSettings, service: str, instance: str) -> Tracer | None:
    """The tracer that the settings ask for; None where they ask for none.

    Args:
        settings: where to.
        service: the role.
        instance: which one of them.

    Raises:
        ConfigError: the extra ``tracing`` is not installed.
    """
    if not settings.endpoint:
        return None
    try:
        otlp = importlib.import_module("runtime.otlp")
    except ImportError as error:
        raise ConfigError(f"tracing.endpoint: needs the extra {EXTRA}: pip install 'attestream[{EXTRA}]'") from error
    tracer: Tracer = otlp.OtlpTracer(settings.endpoint, service, instance)
    return tracer
