"""What Prometheus hears of each result."""

from typing import Final

from prometheus_client import Counter, Histogram

from schemas.result import AttestationResult
from verifier_worker.state import Finding

_US: Final = 1_000_000

FINDINGS_TOTAL: Final = Counter("attestream_findings_total", "Findings of appraisals, by reason", ["reason"])
RESULTS_TOTAL: Final = Counter("attestream_results_total", "Results issued, by status", ["status", "freshness"])
EVIDENCE_AGE: Final = Histogram(
    "attestream_evidence_age_seconds",
    "The most that evidence can have been old on receipt",
    buckets=(0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 900, 3600, 86_400),
)
CLOCK_RATE_ERROR: Final = Histogram(
    "attestream_clock_rate_error_ppm",
    "The least rate error against the TSA that explains an attester's synchronisations",
    buckets=(1, 10, 100, 1000, 10_000, 50_000, 100_000, 150_000, 300_000, 1_000_000),
)


def count_result(result: AttestationResult, findings: tuple[Finding, ...]) -> None:
    """Counts one result and what led there."""
    for finding in findings:
        FINDINGS_TOTAL.labels(finding.reason).inc()
    RESULTS_TOTAL.labels(result.status, result.freshness).inc()
    if result.made_after_us is not None and result.received_us is not None:
        EVIDENCE_AGE.observe(max(0, result.received_us - result.made_after_us) / _US)
    if result.clock_rate_ppm is not None:
        low, high = result.clock_rate_ppm
        CLOCK_RATE_ERROR.observe(max(0, low, -high))
