"""Opens the tracer that ``[tracing]`` asks for. Without that table nothing is imported, measured or sent.

Traces show where the time goes between a push and its result. They add nothing to the messages: each service derives
the ids from SHA-256 of the evidence body. The first 16 bytes are the trace id; the next 8 are the id of the agent's
span, which is the parent of all others. A trace is not evidence: it is unsigned, may be lost and changes no verdict.
"""

import importlib
import urllib.parse
from dataclasses import dataclass

from runtime.extras import needs_extra
from runtime.ports import Tracer
from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingSettings:
    """Table ``[tracing]``; without it nothing is traced.

    Attributes:
        endpoint: of an OpenTelemetry collector, OTLP over HTTP: ``http://127.0.0.1:4318/v1/traces``. Empty for no
            traces.
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
    """The tracer that the settings ask for; None if tracing is off.

    Args:
        settings: table ``[tracing]``.
        service: the role.
        instance: the name of this one.

    Raises:
        ConfigError: the extra ``tracing`` is not installed.
    """
    if not settings.endpoint:
        return None
    with needs_extra("tracing", "tracing.endpoint"):
        otlp = importlib.import_module("runtime.monitoring.otlp")
    tracer: Tracer = otlp.OtlpTracer(settings.endpoint, service, instance)
    return tracer
