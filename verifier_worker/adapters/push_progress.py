"""Measures how long a push takes in each stage of the worker, for Prometheus and, if enabled, for traces.

Times are of the monotonic clock, since the message came off the network. Nothing here influences a verdict. Owned by
the worker's loop thread.
"""

from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter, Histogram

from runtime.clock import monotonic_s
from runtime.ports import Tracer
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import PeerError
from schemas.media_types import Indicator
from schemas.messages.evidence import parse_evidence
from verifier_worker.ports import Arrival, Pending

BATCH_MESSAGES: Final = Histogram(
    "attestream_batch_messages",
    "Evidence messages in one transaction; near batch_max the worker is at its limit",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)
STEP_SECONDS: Final = Histogram(
    "attestream_step_seconds",
    "Time to decode, step and sign for one push",
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1),
)
RESULT_LATENCY: Final = Histogram(
    "attestream_result_latency_seconds",
    "From receipt of evidence to its result: handed to the broker connection, and confirmed by the broker",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
FSYNC_SECONDS: Final = Histogram(
    "attestream_audit_fsync_seconds",
    "Time to append to the audit log and sync it, once a batch",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
AUDIT_BYTES: Final = Counter("attestream_audit_bytes_total", "Bytes of the entries appended to the audit log")
_HANDED_OVER: Final = RESULT_LATENCY.labels("handed-over")
_CONFIRMED: Final = RESULT_LATENCY.labels("confirmed")


class PushProgress:
    """One method for each stage, in the order in which the worker calls them."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        """Without a tracer, only the metrics are updated."""
        self._tracer = tracer
        self._started_s = self._decoded_s = 0.0
        self._body: bytes | None = None
        self._refused: str | None = None

    def begins(self, batch: int) -> None:
        """A batch of ``batch`` messages begins."""
        BATCH_MESSAGES.observe(batch)

    def takes(self, payload: bytes) -> None:
        """The next message of the batch is decoded."""
        self._started_s, self._body, self._refused = monotonic_s(), None, None
        if self._tracer is not None:  # decoded an extra time, for the trace's name and duration
            self._body = _body_of(payload)
            self._decoded_s = monotonic_s()

    def refused(self, reason: str) -> None:
        """The message was refused."""
        self._refused = reason

    def took(self, arrived_s: float | None) -> None:
        """The message was decided, and its result signed unless it was refused."""
        now_s = monotonic_s()
        STEP_SECONDS.observe(now_s - self._started_s)
        if self._tracer is None or self._body is None:
            return
        attributes = {} if self._refused is None else {"reason": self._refused}
        if arrived_s is not None:
            self._tracer.record(self._body, "verifier queue", arrived_s, self._started_s)
        self._tracer.record(self._body, "verifier decode", self._started_s, self._decoded_s)
        self._tracer.record(self._body, "verifier step", self._decoded_s, now_s, attributes)

    def stored(self, pending: Sequence[Pending], started_s: float) -> None:
        """A transaction that began at ``started_s`` stored these."""
        self._record("verifier store", pending, started_s)

    def recorded(self, pending: Sequence[Pending], started_s: float) -> None:
        """The audit log wrote these to disk, beginning at ``started_s``."""
        written = [len(item.audit) for item in pending if item.audit is not None]
        if written:
            FSYNC_SECONDS.observe(monotonic_s() - started_s)
            AUDIT_BYTES.inc(sum(written))
        self._record("verifier audit", pending, started_s)

    def handed_over(self, arrival: Arrival, at_s: float) -> None:
        """The broker connection took the result at ``at_s``."""
        _HANDED_OVER.observe(at_s - arrival.arrived_s)

    def confirmed(self, arrival: Arrival, handed_over_s: float, at_s: float) -> None:
        """The broker confirmed the result at ``at_s``."""
        _CONFIRMED.observe(at_s - arrival.arrived_s)
        if self._tracer is not None:
            self._tracer.record(arrival.body, "verifier publish", handed_over_s, at_s)

    def _record(self, name: str, pending: Sequence[Pending], started_s: float) -> None:
        if self._tracer is None:
            return
        now_s = monotonic_s()
        for item in pending:
            if item.arrival is not None:
                self._tracer.record(item.arrival.body, name, started_s, now_s, {"messages": len(pending)})


def _body_of(payload: bytes) -> bytes | None:
    """SHA-256 of the body; None if the payload is no evidence."""
    try:
        return parse_evidence(cmw.unwrap(payload, media_types.EVIDENCE, Indicator.EVIDENCE)).body_digest
    except PeerError:
        return None
