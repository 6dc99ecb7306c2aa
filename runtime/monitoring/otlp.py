"""Sends spans to an OpenTelemetry collector, OTLP over HTTP. The only importer of opentelemetry; loaded on demand.

The library has a bounded queue and a thread of its own. While the collector is unreachable, spans are lost; callers do
not notice.
"""

import logging
import threading
from collections.abc import Iterator
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from typing_extensions import override

from runtime.clock import monotonic_s, utc_us
from runtime.ports import Attributes, Tracer
from runtime.service import installed_version

MAX_QUEUED_SPANS: Final = 4096
EXPORT_TIMEOUT_S: Final = 5
CLOSE_S: Final = 3.0
_DELAY_MS: Final = 1000
_TRACE_BYTES, _SPAN_BYTES = 16, 8
_NS: Final = 1_000_000_000


class OtlpTracer(Tracer):
    """Implements :class:`runtime.ports.Tracer`."""

    def __init__(self, endpoint: str, service: str, instance: str) -> None:
        """Prepares; the first span connects.

        Args:
            endpoint: URL of the collector's traces.
            service: the role, as ``service.name``.
            instance: as ``service.instance.id``.
        """
        # The library would log a stack trace for every failed export while the collector is unreachable.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        names = {
            "service.namespace": "attestream",
            "service.name": service,
            "service.instance.id": instance,
            "service.version": installed_version(),
        }
        self._lock = threading.Lock()  # protects _ids
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource(names), sampler=ALWAYS_ON, id_generator=self._ids, shutdown_on_exit=False
        )
        self._exporter = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_S)
        self._provider.add_span_processor(
            BatchSpanProcessor(self._exporter, max_queue_size=MAX_QUEUED_SPANS, schedule_delay_millis=_DELAY_MS)
        )
        self._tracer = self._provider.get_tracer("attestream")

    @override
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
        trace_id = int.from_bytes(body[:_TRACE_BYTES], "big")
        root_id = int.from_bytes(body[_TRACE_BYTES : _TRACE_BYTES + _SPAN_BYTES], "big")
        if not trace_id or not root_id:  # OpenTelemetry forbids these ids; no real hash has them
            return
        with self._lock:
            self._record(trace_id, root_id, name, (started_s, ended_s), attributes, root=root)

    def _record(
        self,
        trace_id: int,
        root_id: int,
        name: str,
        times_s: tuple[float, float],
        attributes: Attributes | None,
        *,
        root: bool,
    ) -> None:
        if root:
            self._ids.next = iter((trace_id, root_id))
            context = trace.set_span_in_context(trace.INVALID_SPAN)
        else:
            parent = trace.SpanContext(trace_id, root_id, is_remote=True, trace_flags=trace.TraceFlags(1))
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        zero_ns = utc_us() * 1000 - round(monotonic_s() * _NS)
        started_ns, ended_ns = (zero_ns + round(at_s * _NS) for at_s in times_s)
        self._tracer.start_span(name, context, attributes=attributes, start_time=started_ns).end(ended_ns)

    @override
    def close(self) -> None:
        hurry = threading.Timer(CLOSE_S, self._exporter.shutdown)  # ends its retries, which would take half a minute
        hurry.start()
        self._provider.shutdown()
        hurry.cancel()


class _Ids(IdGenerator):
    """Random ids, except for a root: there the trace id and the span id that were set, in this order."""

    def __init__(self) -> None:
        self.next: Iterator[int] = iter(())
        self._random = RandomIdGenerator()

    @override
    def generate_trace_id(self) -> int:
        return next(self.next, 0) or self._random.generate_trace_id()

    @override
    def generate_span_id(self) -> int:
        return next(self.next, 0) or self._random.generate_span_id()
