"""The dashboards about the results for the fleet, and about the verifiers."""

from typing import Final

from deploy.grafana.expressions import AT, HEALTH, gauge, quantiles, rate
from deploy.grafana.panels import Dashboard, Panel

FLEET: Final = Dashboard(
    uid="attestream-fleet",
    title="attestream: fleet",
    metric="attestream_results_total",
    rows=(
        (
            "What the verifiers say",
            (
                Panel(
                    title="Contraindicated results in 5 minutes",
                    description=(
                        "If not 0: a device runs software that it should not, or its evidence contradicts itself."
                    ),
                    expressions={"": f'sum(increase(attestream_results_total{{{AT}, status="contraindicated"}}[5m]))'},
                    kind="stat",
                    limit=1,
                ),
                Panel(
                    title="Attesters endorsed",
                    description="Attesters whose endorsement is valid now.",
                    expressions={"": f"max(attestream_attesters_endorsed{{{AT}}})"},
                    kind="stat",
                ),
                Panel(
                    title="Stale results in 15 minutes",
                    description=(
                        "Devices that missed their deadline. If there are many at once, look at the broker and the "
                        "handles first."
                    ),
                    expressions={"": f'sum(increase(attestream_results_total{{{AT}, freshness="stale"}}[15m]))'},
                    kind="stat",
                ),
                Panel(
                    title="Evidence refused",
                    description="Share of messages that were refused before appraisal.",
                    expressions={"": "attestream:evidence_refused:ratio10m"},
                    unit="percentunit",
                    kind="stat",
                    limit=0.05,
                ),
            ),
        ),
        (
            "Over time",
            (
                Panel(
                    title="Results by status",
                    description="Results per second. One device with a heartbeat of 60 s gives 1/60.",
                    expressions=rate("attestream_results_total", "status"),
                    unit="ops",
                ),
                Panel(
                    title="Results by freshness",
                    description="A few late results are normal; many are not.",
                    expressions=rate("attestream_results_total", "freshness"),
                    unit="ops",
                ),
                Panel(
                    title="Findings by reason",
                    description="The reasons why results are not affirming. docs/threat-model.md explains the codes.",
                    expressions=rate("attestream_findings_total", "reason"),
                    unit="ops",
                ),
            ),
        ),
        (
            "Evidence",
            (
                Panel(
                    title="Evidence by outcome",
                    description="accepted, refused, or duplicate (the broker or an agent sent it again).",
                    expressions=rate("attestream_evidence_total", "outcome"),
                    unit="ops",
                ),
                Panel(
                    title="Refused by reason",
                    description="Includes trust objects, by kind.",
                    expressions={
                        "{{kind}} {{reason}}": (
                            f"sum by (kind, reason) (rate(attestream_refused_total{{{AT}}}[$__rate_interval]))"
                        )
                    },
                    unit="ops",
                ),
                Panel(
                    title="Age of evidence on receipt",
                    description="An upper bound. It grows when messages wait at the broker or in spools.",
                    expressions=quantiles("attestream_evidence_age_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Solicits sent, by reason",
                    description="Requests of verifiers to devices: for a missing part of a log, or for a baseline.",
                    expressions=rate("attestream_solicits_total", "reason"),
                    unit="ops",
                ),
            ),
        ),
        (
            "Enrolment",
            (
                Panel(
                    title="Devices by standing",
                    description="As recorded in the endorser's registry.",
                    expressions={"{{standing}}": "attestream_devices"},
                ),
                Panel(
                    title="Requests by outcome",
                    description="Requests and activations per second.",
                    expressions={
                        "{{outcome}}": "sum by (outcome) (rate(attestream_enrolments_total[$__rate_interval]))"
                    },
                    unit="ops",
                ),
                Panel(
                    title="Waiting",
                    description="Enrolments that wait for an operator, for the broker, or for the registrar.",
                    expressions={
                        "for an operator": "attestream_enrolments_pending",
                        "endorsements for the broker": "attestream_endorsements_unpublished",
                        "requests": "attestream_enrolment_queue_messages",
                    },
                ),
                Panel(
                    title="Age of the last statement of what is current",
                    description="Verifiers stop affirming when it is older than a policy's trust_max_age_s.",
                    expressions={"age": "time() - attestream_statement_issued_seconds"},
                    unit="s",
                ),
                Panel(
                    title="Time of one answer",
                    description="The registrar writes to disk before it answers.",
                    expressions={
                        "p99": (
                            "histogram_quantile(0.99, sum by (le) "
                            "(rate(attestream_enrolment_seconds_bucket[$__rate_interval])))"
                        )
                    },
                    unit="s",
                ),
            ),
        ),
    ),
)

VERIFIER: Final = Dashboard(
    uid="attestream-verifier",
    title="attestream: verifier",
    metric="attestream_queue_messages",
    rows=(
        (
            "From receipt to result",
            (
                Panel(
                    title="Result latency",
                    description=(
                        "handed-over is the time in the worker; confirmed minus handed-over is the time at the broker."
                    ),
                    expressions=quantiles("attestream_result_latency_seconds", by="stage"),
                    unit="s",
                    limit=5,
                ),
                Panel(
                    title="Lag by partition",
                    description=(
                        "Age of the oldest message that was received but not appraised; the ten worst partitions."
                    ),
                    expressions={"{{partition}}": f"topk(10, attestream_partition_lag_seconds{{{AT}}})"},
                    unit="s",
                    limit=30,
                ),
                Panel(
                    title="Throughput",
                    description="Evidence per second, by outcome.",
                    expressions=rate("attestream_evidence_total", "outcome"),
                    unit="ops",
                ),
            ),
        ),
        (
            "Where the time goes",
            (
                Panel(
                    title="Decode, step, sign",
                    description="Processor time for one push.",
                    expressions=quantiles("attestream_step_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Store commit",
                    description="One transaction per batch. If it is slow, look at the disk.",
                    expressions=quantiles("attestream_store_commit_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Audit fsync",
                    description="Once per batch. If it is slow, look at the disk.",
                    expressions=quantiles("attestream_audit_fsync_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Batch size",
                    description=(
                        "Grows with the load, because the worker then commits less often. Near batch_max the worker "
                        "is at its limit."
                    ),
                    expressions=quantiles("attestream_batch_messages"),
                ),
            ),
        ),
        (
            "What waits",
            (
                Panel(
                    title="Queue",
                    description="Messages received but not appraised; further messages wait at the broker.",
                    expressions=gauge("attestream_queue_messages")
                    | {"limit {{instance}}": f"attestream_queue_limit_messages{{{AT}}}"},
                ),
                Panel(
                    title="Results in the outbox",
                    description=(
                        "Results that are stored but not handed over, and results that are handed over but not "
                        "confirmed."
                    ),
                    expressions={
                        "outbox {{instance}}": f"attestream_outbox_messages{{{AT}}}",
                        "unconfirmed {{instance}}": f"attestream_results_unconfirmed_messages{{{AT}}}",
                    },
                ),
                Panel(
                    title="Audit log",
                    description="Bytes per second; multiply by 86,400 for the disk space of one day.",
                    expressions=rate("attestream_audit_bytes_total", "instance"),
                    unit="Bps",
                ),
                Panel(
                    title="Failures in an hour",
                    description=(
                        "Batches that the store did not accept (they are retried), and QoS 0 messages that were "
                        "dropped."
                    ),
                    expressions={
                        "store {{instance}}": f"increase(attestream_store_failures_total{{{AT}}}[1h])",
                        "dropped {{instance}}": f"increase(attestream_dropped_total{{{AT}}}[1h])",
                    },
                    limit=1,
                ),
            ),
        ),
        HEALTH,
        (
            "The process",
            (
                Panel(
                    title="Processor",
                    description="1 is one core, the most that one worker can use.",
                    expressions={
                        "{{instance}}": (
                            f'rate(process_cpu_seconds_total{{job="attestream-verifier", {AT}}}[$__rate_interval])'
                        )
                    },
                    limit=0.8,
                ),
                Panel(
                    title="Memory",
                    description="Resident memory, bounded by cached_states and queue_max.",
                    expressions={"{{instance}}": f'process_resident_memory_bytes{{job="attestream-verifier", {AT}}}'},
                    unit="bytes",
                ),
            ),
        ),
    ),
)
