"""Metrics of an agent's pushes, handles and solicits."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

PUSHES: Final = Counter(
    "attestream_pushes_total", "Pushes made and in the spool, by kind: full (a baseline) or delta", ["kind"]
)
PUSH_BYTES: Final = Histogram(
    "attestream_push_bytes",
    "Size of one push as it travels",
    buckets=(600, 700, 1000, 2000, 4000, 16_000, 64_000, 128_000, 256_000),
)
SPOOLED: Final = Gauge("attestream_spool_messages", "Pushes that wait for the broker")
SPOOL_BYTES: Final = Gauge("attestream_spool_bytes", "Size of the pushes that wait for the broker")
SPOOL_LIMIT: Final = Gauge("attestream_spool_limit_bytes", "How much may wait for the broker (spool_max_bytes)")
DROPPED: Final = Counter("attestream_spool_dropped_total", "Waiting pushes dropped because the spool was full")
PUSH_SECONDS: Final = Histogram(
    "attestream_push_seconds",
    "Time to make and store one push: TPM commands, logs, disk",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
OVERFLOWS: Final = Counter("attestream_spool_overflows_total", "Times that all waiting pushes were dropped")
HANDLES: Final = Counter("attestream_handles_accepted_total", "Handles that were verified and bound to")
HANDLES_REJECTED: Final = Counter(
    "attestream_handles_rejected_total", "Handles that were refused, by reason", ["reason"]
)
HANDLES_OVERDUE: Final = Counter(
    "attestream_handles_overdue_total", "Times that the handle bound to had expired and no newer one came", ["reason"]
)
HANDLE_AGE: Final = Gauge(
    "attestream_bound_handle_age_seconds", "Time since the TSA's stamp of the handle bound to; NaN while not known"
)
SOLICITS: Final = Counter("attestream_solicits_accepted_total", "Solicits of a trusted verifier that were followed")
SOLICITS_REJECTED: Final = Counter(
    "attestream_solicits_rejected_total", "Solicits that were not followed, by reason", ["reason"]
)
FAILURES: Final = Counter(
    "attestream_push_failures_total", "Attempts at a push that failed and are tried again, by reason", ["reason"]
)
UNREPRODUCED: Final = Counter(
    "attestream_quotes_unreproduced_total", "Pushes whose logs do not reproduce their own quote"
)
