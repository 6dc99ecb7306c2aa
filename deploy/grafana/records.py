"""The dashboard about audit logs, recorders, alerts and the web page."""

from typing import Final

from deploy.grafana.expressions import AT, HEALTH, gauge, rate
from deploy.grafana.panels import Dashboard, Panel

RECORDS: Final = Dashboard(
    uid="attestream-records",
    title="attestream: audit log and alerts",
    metric="attestream_build_info",
    rows=(
        (
            "Audit log",
            (
                Panel(
                    title="Entries",
                    description=(
                        "Entries in the log, and entries covered by its newest checkpoint. The difference waits for "
                        "the next checkpoint."
                    ),
                    expressions={
                        "entries {{instance}}": f"attestream_audit_entries{{{AT}}}",
                        "checkpoint {{instance}}": f"attestream_audit_checkpoint_size{{{AT}}}",
                    },
                ),
                Panel(
                    title="Not in a checkpoint yet",
                    description=(
                        "Stored in the journal, but in no checkpoint yet. If it keeps growing, the store of the log "
                        "is unreachable."
                    ),
                    expressions=gauge("attestream_audit_unsequenced_entries"),
                ),
                Panel(
                    title="Age of the newest stamp",
                    description="For entries recorded since then, no TSA has confirmed yet that they existed.",
                    expressions=gauge("attestream_audit_stamp_age_seconds"),
                    unit="s",
                    limit=600,
                ),
                Panel(
                    title="Failures in an hour",
                    description=(
                        "Failures of sequencing, stamping and pruning; each is retried. stopped is 1 when signing "
                        "would fork the log."
                    ),
                    expressions={
                        "{{step}} {{reason}}": f"increase(attestream_audit_failures_total{{{AT}}}[1h])",
                        "stopped {{instance}}": f"attestream_audit_sequencing_stopped{{{AT}}}",
                    },
                    limit=1,
                ),
            ),
        ),
        (
            "Recorders",
            (
                Panel(
                    title="Recorded",
                    description="Recorded messages per second.",
                    expressions=rate("attestream_recorded_total", "instance"),
                    unit="ops",
                ),
                Panel(
                    title="Waiting for results",
                    description=(
                        "Evidence whose result has not arrived, and evidence that was given up because no result "
                        "arrived."
                    ),
                    expressions={
                        "waiting {{instance}}": f"attestream_recorder_waiting_messages{{{AT}}}",
                        "given up {{instance}}": f"increase(attestream_recorder_unanswered_total{{{AT}}}[1h])",
                    },
                ),
                Panel(
                    title="Not recorded, by reason",
                    description="Messages that are not signed by a key the recorder trusts.",
                    expressions=rate("attestream_recorder_refused_total", "reason"),
                    unit="ops",
                ),
            ),
        ),
        (
            "Alerts",
            (
                Panel(
                    title="Alerts by kind",
                    description="Alerts per hour.",
                    expressions={"{{kind}}": f"sum by (kind) (increase(attestream_alerts_total{{{AT}}}[1h]))"},
                ),
                Panel(
                    title="Deliveries",
                    description="Delivery attempts per second, by receiver and outcome.",
                    expressions={
                        "{{receiver}} {{outcome}}": (
                            f"sum by (receiver, outcome) (rate(attestream_alert_deliveries_total{{{AT}}}"
                            "[$__rate_interval]))"
                        )
                    },
                    unit="ops",
                ),
                Panel(
                    title="Waiting and given up",
                    description=(
                        "By receiver. Alerts that were given up are kept: relying-party alerts --failed lists them, "
                        "--retry sends them again."
                    ),
                    expressions={
                        "waiting {{receiver}}": f"attestream_alert_queue_depth{{{AT}}}",
                        "given up {{receiver}}": f"attestream_alert_failed{{{AT}}}",
                        "queue full {{receiver}}": f"increase(attestream_alert_queue_full_total{{{AT}}}[1h])",
                    },
                ),
                Panel(
                    title="Age of the oldest waiting alert",
                    description="High if a receiver is unreachable.",
                    expressions=gauge("attestream_alert_oldest_seconds", "receiver"),
                    unit="s",
                    limit=300,
                ),
            ),
        ),
        (
            "Messages received by alerts and dashboard",
            (
                Panel(
                    title="Attesters known",
                    description="Attesters that the alert service and the dashboard know.",
                    expressions={
                        "alerts {{instance}}": f"attestream_alert_attesters{{{AT}}}",
                        "dashboard {{instance}}": f"attestream_dashboard_attesters{{{AT}}}",
                    },
                ),
                Panel(
                    title="Refused results, by reason",
                    description=(
                        "At the alert service: not signed by a trusted verifier, or older than the result it already "
                        "has."
                    ),
                    expressions=rate("attestream_alert_results_refused_total", "reason"),
                    unit="ops",
                ),
                Panel(
                    title="Dashboard: messages, by kind",
                    description="Messages received from the broker, per second.",
                    expressions=rate("attestream_dashboard_messages_total", "kind"),
                    unit="ops",
                ),
                Panel(
                    title="Dashboard: pages and logins",
                    description="Pages that receive updates now, and login attempts per hour.",
                    expressions={
                        "pages {{instance}}": f"attestream_dashboard_viewers{{{AT}}}",
                        "{{outcome}}": f"sum by (outcome) (increase(attestream_dashboard_logins_total{{{AT}}}[1h]))",
                    },
                ),
            ),
        ),
        HEALTH,
    ),
)
