"""Metrics of received messages, of results, and of endorsed attesters."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from schemas.instants import SECOND_US
from schemas.messages.result import AttestationResult
from schemas.verdicts import Freshness, Tier
from verifier_worker.core.finding import Finding

_PPM: Final = 1_000_000

EVIDENCE_TOTAL: Final = Counter("attestream_evidence_total", "Evidence received, by outcome", ["outcome"])
ACCEPTED: Final = EVIDENCE_TOTAL.labels("accepted")
DUPLICATES: Final = EVIDENCE_TOTAL.labels("duplicate")
REFUSED: Final = EVIDENCE_TOTAL.labels("refused")
REFUSED_TOTAL: Final = Counter(
    "attestream_refused_total", "Messages refused before any appraisal, by kind and reason code", ["kind", "reason"]
)
HANDLE_AGE: Final = Gauge(
    "attestream_newest_handle_age_seconds", "Time since the newest handle was stamped; NaN while there is none"
)
ATTESTERS: Final = Gauge(
    "attestream_attesters_endorsed", "Attesters with an endorsement that is valid now; revoked ones excluded"
)
FINDINGS_TOTAL: Final = Counter(
    "attestream_findings_total", "Findings of appraisals, by reason code (docs/threat-model.md)", ["reason"]
)
_FINDINGS: Final[dict[str, Counter]] = {}  # children by reason, since looking one up costs more than counting
RESULTS_TOTAL: Final = Counter(
    "attestream_results_total", "Results issued, by status and freshness", ["status", "freshness"]
)
_RESULTS: Final = {(tier, freshness): RESULTS_TOTAL.labels(tier, freshness) for tier in Tier for freshness in Freshness}
EVIDENCE_AGE: Final = Histogram(
    "attestream_evidence_age_seconds",
    "Greatest possible age of evidence on receipt",
    buckets=(0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 900, 3600, 86_400),
)
CLOCK_RATE_ERROR: Final = Histogram(
    "attestream_clock_rate_error_ratio",
    "The least rate error against the TSA that explains an attester's synchronisations; TPM 2.0 allows 0.15",
    buckets=(1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.1, 0.15, 0.3, 1),
)


def count_result(result: AttestationResult, findings: tuple[Finding, ...]) -> None:
    """Counts one result and its findings."""
    for finding in findings:
        counter = _FINDINGS.get(finding.reason)
        if counter is None:
            counter = _FINDINGS[finding.reason] = FINDINGS_TOTAL.labels(finding.reason)
        counter.inc()
    _RESULTS[result.status, result.freshness].inc()
    if result.made_after_us is not None and result.received_us is not None:
        EVIDENCE_AGE.observe(max(0, result.received_us - result.made_after_us) / SECOND_US)
    if result.clock_rate_ppm is not None:
        low, high = result.clock_rate_ppm
        CLOCK_RATE_ERROR.observe(max(0, low, -high) / _PPM)
