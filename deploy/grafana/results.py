"""The dashboards about results: the fleet, and the verifiers that judge it."""

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
                    tells="Anything but 0: a device runs what it should not, or contradicts itself.",
                    expressions={"": f'sum(increase(attestream_results_total{{{AT}, status="contraindicated"}}[5m]))'},
                    kind="stat",
                    limit=1,
                ),
                Panel(
                    title="Attesters endorsed",
                    tells="Whose endorsement is valid now.",
                    expressions={"": f"max(attestream_attesters_endorsed{{{AT}}})"},
                    kind="stat",
                ),
                Panel(
                    title="Stale results in 15 minutes",
                    tells="Devices that missed their deadline. Many at once: look at the broker and the handles first.",
                    expressions={"": f'sum(increase(attestream_results_total{{{AT}, freshness="stale"}}[15m]))'},
                    kind="stat",
                ),
                Panel(
                    title="Evidence refused",
                    tells="Share of messages that were refused before any appraisal.",
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
                    tells="Results a second. One device with a heartbeat of 60 s gives 1/60.",
                    expressions=rate("attestream_results_total", "status"),
                    unit="ops",
                ),
                Panel(
                    title="Results by freshness",
                    tells="Late is not bad, but many late ones are.",
                    expressions=rate("attestream_results_total", "freshness"),
                    unit="ops",
                ),
                Panel(
                    title="Findings by reason",
                    tells="Why results are not affirming. The codes are in docs/threat-model.md.",
                    expressions=rate("attestream_findings_total", "reason"),
                    unit="ops",
                ),
            ),
        ),
        (
            "Evidence",
            (
                Panel(
                    title="Evidence by what became of it",
                    tells="accepted, duplicate (the broker or an agent sent it again), refused.",
                    expressions=rate("attestream_evidence_total", "outcome"),
                    unit="ops",
                ),
                Panel(
                    title="Refused by reason",
                    tells="Trust objects are counted here too, by kind.",
                    expressions={
                        "{{kind}} {{reason}}": (
                            f"sum by (kind, reason) (rate(attestream_refused_total{{{AT}}}[$__rate_interval]))"
                        )
                    },
                    unit="ops",
                ),
                Panel(
                    title="Age of evidence on receipt",
                    tells="The most that it can have been old. Grows with what waits at the broker or in spools.",
                    expressions=quantiles("attestream_evidence_age_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Solicits sent, by reason",
                    tells="What verifiers ask devices for: a missing part of a log, a baseline.",
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
                    tells="In the endorser's registry.",
                    expressions={"{{standing}}": "attestream_devices"},
                ),
                Panel(
                    title="Requests by outcome",
                    tells="Requests and activations a second.",
                    expressions={
                        "{{outcome}}": "sum by (outcome) (rate(attestream_enrolments_total[$__rate_interval]))"
                    },
                    unit="ops",
                ),
                Panel(
                    title="Waiting",
                    tells="For an operator, for the broker, for the registrar.",
                    expressions={
                        "for an operator": "attestream_enrolments_pending",
                        "endorsements for the broker": "attestream_endorsements_unpublished",
                        "requests": "attestream_enrolment_queue_messages",
                    },
                ),
                Panel(
                    title="Time of one answer",
                    tells="The registrar writes to disk before it answers.",
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
                    tells="handed-over is the worker's part, confirmed less that is the broker's.",
                    expressions=quantiles("attestream_result_latency_seconds", by="stage"),
                    unit="s",
                    limit=5,
                ),
                Panel(
                    title="Lag by partition",
                    tells="Age of the oldest message received and not judged, the ten worst partitions.",
                    expressions={"{{partition}}": f"topk(10, attestream_partition_lag_seconds{{{AT}}})"},
                    unit="s",
                    limit=30,
                ),
                Panel(
                    title="Throughput",
                    tells="Evidence a second, by what became of it.",
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
                    tells="Processor time of one push.",
                    expressions=quantiles("attestream_step_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Store commit",
                    tells="One transaction a batch. Slow: the disk.",
                    expressions=quantiles("attestream_store_commit_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Audit fsync",
                    tells="Once a batch. Slow: the disk.",
                    expressions=quantiles("attestream_audit_fsync_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Batch size",
                    tells="Grows with the load: the worker then commits less often. Near batch_max it is at its limit.",
                    expressions=quantiles("attestream_batch_messages"),
                ),
            ),
        ),
        (
            "What waits",
            (
                Panel(
                    title="Queue",
                    tells="Messages received; the broker keeps the rest.",
                    expressions=gauge("attestream_queue_messages")
                    | {"limit {{instance}}": f"attestream_queue_limit_messages{{{AT}}}"},
                ),
                Panel(
                    title="Results under way",
                    tells="Stored and not handed over; handed over and not confirmed.",
                    expressions={
                        "outbox {{instance}}": f"attestream_outbox_messages{{{AT}}}",
                        "unconfirmed {{instance}}": f"attestream_results_unconfirmed_messages{{{AT}}}",
                    },
                ),
                Panel(
                    title="Audit log",
                    tells="Bytes a second; times 86,400 it is what a day takes of the disk.",
                    expressions=rate("attestream_audit_bytes_total", "instance"),
                    unit="Bps",
                ),
                Panel(
                    title="Failures in an hour",
                    tells="The store did not take a batch (it is tried again); QoS 0 messages dropped.",
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
                    tells="1 is one core, which is all that one worker can use.",
                    expressions={
                        "{{instance}}": (
                            f'rate(process_cpu_seconds_total{{job="attestream-verifier", {AT}}}[$__rate_interval])'
                        )
                    },
                    limit=0.8,
                ),
                Panel(
                    title="Memory",
                    tells="Resident. Bounded by cached_states and queue_max.",
                    expressions={"{{instance}}": f'process_resident_memory_bytes{{job="attestream-verifier", {AT}}}'},
                    unit="bytes",
                ),
            ),
        ),
    ),
)
