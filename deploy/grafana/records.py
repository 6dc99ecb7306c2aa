"""The dashboard about what is kept and told: audit logs, recorders, alerts, the web page."""

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
                    tells="In the log, and in its newest checkpoint; what lies between waits for the next one.",
                    expressions={
                        "entries {{instance}}": f"attestream_audit_entries{{{AT}}}",
                        "checkpoint {{instance}}": f"attestream_audit_checkpoint_size{{{AT}}}",
                    },
                ),
                Panel(
                    title="Waiting for the tree",
                    tells="Safe in the journal, in no checkpoint yet. Grows for long: the store of the log is away.",
                    expressions=gauge("attestream_audit_unsequenced_entries"),
                ),
                Panel(
                    title="Age of the newest stamp",
                    tells="What happened since has no upper bound by a TSA yet.",
                    expressions=gauge("attestream_audit_stamp_age_seconds"),
                    unit="s",
                    limit=600,
                ),
                Panel(
                    title="Failures in an hour",
                    tells="Sequencing, stamping, pruning; each is tried again. Stopped: the log would fork.",
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
                    tells="Entries a second.",
                    expressions=rate("attestream_recorded_total", "instance"),
                    unit="ops",
                ),
                Panel(
                    title="Waiting for results",
                    tells="Evidence whose result has not come, and what was given up for want of one.",
                    expressions={
                        "waiting {{instance}}": f"attestream_recorder_waiting_messages{{{AT}}}",
                        "given up {{instance}}": f"increase(attestream_recorder_unanswered_total{{{AT}}}[1h])",
                    },
                ),
                Panel(
                    title="Not recorded, by reason",
                    tells="Messages that nobody believed signed.",
                    expressions=rate("attestream_recorder_refused_total", "reason"),
                    unit="ops",
                ),
            ),
        ),
        (
            "Alerts",
            (
                Panel(
                    title="Made, by kind",
                    tells="In an hour.",
                    expressions={"{{kind}}": f"sum by (kind) (increase(attestream_alerts_total{{{AT}}}[1h]))"},
                ),
                Panel(
                    title="Deliveries",
                    tells="Tries by outcome, for each receiver.",
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
                    tells="By receiver. What was given up is kept: relying-party alerts --failed, --retry.",
                    expressions={
                        "waiting {{receiver}}": f"attestream_alert_queue_depth{{{AT}}}",
                        "given up {{receiver}}": f"attestream_alert_failed{{{AT}}}",
                        "queue full {{receiver}}": f"increase(attestream_alert_queue_full_total{{{AT}}}[1h])",
                    },
                ),
                Panel(
                    title="Oldest that waits",
                    tells="A receiver that is away.",
                    expressions=gauge("attestream_alert_oldest_seconds", "receiver"),
                    unit="s",
                    limit=300,
                ),
            ),
        ),
        (
            "What the services listen to",
            (
                Panel(
                    title="Attesters known",
                    tells="To the alert service, and to the dashboard.",
                    expressions={
                        "alerts {{instance}}": f"attestream_alert_attesters{{{AT}}}",
                        "dashboard {{instance}}": f"attestream_dashboard_attesters{{{AT}}}",
                    },
                ),
                Panel(
                    title="Results that moved nothing, by reason",
                    tells="At the alert service: not signed by whom it believes, or older than what it holds.",
                    expressions=rate("attestream_alert_results_refused_total", "reason"),
                    unit="ops",
                ),
                Panel(
                    title="Dashboard: messages, by kind",
                    tells="Taken from the broker.",
                    expressions=rate("attestream_dashboard_messages_total", "kind"),
                    unit="ops",
                ),
                Panel(
                    title="Dashboard: pages and logins",
                    tells="Pages that follow now; tries to log in, in an hour.",
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
