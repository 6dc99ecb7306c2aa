"""The dashboards about what results stand on: handles and their time, and the agents on the devices."""

from typing import Final

from deploy.grafana.expressions import AT, HEALTH, gauge, quantiles, rate
from deploy.grafana.panels import Dashboard, Panel

TIME: Final = Dashboard(
    uid="attestream-time",
    title="attestream: handles and time",
    metric="attestream_handle_age_seconds",
    rows=(
        (
            "Handles",
            (
                Panel(
                    title="Age of the newest handle",
                    tells="A saw between 0 and the interval. Above lifetime there is none in force.",
                    expressions=gauge("attestream_handle_age_seconds")
                    | {
                        "interval": f"max(attestream_handle_interval_seconds{{{AT}}})",
                        "lifetime": f"max(attestream_handle_lifetime_seconds{{{AT}}})",
                    },
                    unit="s",
                ),
                Panel(
                    title="Alarm",
                    tells="1 while the last round made no handle.",
                    expressions=gauge("attestream_handle_alarm"),
                    limit=1,
                ),
                Panel(
                    title="Issued and confirmed in an hour",
                    tells="Confirmed may be more: after a reconnect the newest is published again.",
                    expressions={
                        "issued": f"sum(increase(attestream_handles_issued_total{{{AT}}}[1h]))",
                        "confirmed": f"sum(increase(attestream_handles_confirmed_total{{{AT}}}[1h]))",
                    },
                ),
                Panel(
                    title="Failed attempts in an hour",
                    tells="By reason and TSA.",
                    expressions={
                        "{{reason}} {{tsa}}": (
                            f"sum by (reason, tsa) (increase(attestream_handle_failures_total{{{AT}}}[1h]))"
                        )
                    },
                    limit=1,
                ),
            ),
        ),
        (
            "Time Stamp Authorities (distributors, and agents in two-sided mode)",
            (
                Panel(
                    title="Time of one exchange",
                    tells="By TSA. A handle takes two.",
                    expressions={
                        "p50 {{tsa}}": (
                            "histogram_quantile(0.5, sum by (le, tsa) "
                            "(rate(attestream_tsa_latency_seconds_bucket[$__rate_interval])))"
                        ),
                        "p99 {{tsa}}": (
                            "histogram_quantile(0.99, sum by (le, tsa) "
                            "(rate(attestream_tsa_latency_seconds_bucket[$__rate_interval])))"
                        ),
                    },
                    unit="s",
                ),
                Panel(
                    title="Exchanges by outcome",
                    tells="stamped, or the reason why an answer did not count.",
                    expressions={
                        "{{tsa}} {{outcome}}": (
                            "sum by (tsa, outcome) (rate(attestream_tsa_latency_seconds_count[$__rate_interval]))"
                        )
                    },
                    unit="ops",
                ),
                Panel(
                    title="Offset to the distributor's clock",
                    tells="Beyond max_clock_offset_s a TSA is not believed.",
                    expressions=gauge("attestream_tsa_clock_offset_seconds", "tsa"),
                    unit="s",
                ),
            ),
        ),
        (
            "As verifiers see it",
            (
                Panel(
                    title="Handles on their way",
                    tells="From stamp to receipt. Must stay below the policies' grace_s.",
                    expressions={
                        "p99": (
                            "histogram_quantile(0.99, sum by (le) "
                            "(rate(attestream_handle_propagation_seconds_bucket[$__rate_interval])))"
                        )
                    },
                    unit="s",
                ),
                Panel(
                    title="Newest handle, clock behind",
                    tells="Of each verifier. A clock that is behind the handles must be set.",
                    expressions={
                        "age {{instance}}": "attestream_newest_handle_age_seconds",
                        "clock behind {{instance}}": "attestream_clock_behind_seconds",
                    },
                    unit="s",
                ),
                Panel(
                    title="Rate error of TPM clocks",
                    tells="The least that explains what was synchronised. TPM 2.0 allows 15 %, good ones have 0.01 %.",
                    expressions={
                        "p50": (
                            "histogram_quantile(0.5, sum by (le) "
                            "(rate(attestream_clock_rate_error_ratio_bucket[$__rate_interval])))"
                        ),
                        "p99": (
                            "histogram_quantile(0.99, sum by (le) "
                            "(rate(attestream_clock_rate_error_ratio_bucket[$__rate_interval])))"
                        ),
                    },
                    unit="percentunit",
                    limit=0.15,
                ),
                Panel(
                    title="Broken chains in an hour",
                    tells="A gap is normal after an absence. A fork is not: the distributor's key is used twice.",
                    expressions={
                        "{{issuer}} {{reason}}": "sum by (issuer, reason) (increase(attestream_handle_chain_total[1h]))"
                    },
                    limit=1,
                ),
            ),
        ),
        HEALTH,
    ),
)

AGENTS: Final = Dashboard(
    uid="attestream-agents",
    title="attestream: attester agents",
    metric="attestream_spool_messages",
    rows=(
        (
            "Pushes",
            (
                Panel(
                    title="Pushes by kind",
                    tells="full are baselines: the first of a boot, and when a verifier asks.",
                    expressions=rate("attestream_pushes_total", "kind"),
                    unit="ops",
                ),
                Panel(
                    title="Time of one push",
                    tells="TPM commands, logs, disk.",
                    expressions=quantiles("attestream_push_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Size of one push",
                    tells="A heartbeat is some 700 bytes; a baseline carries the logs.",
                    expressions=quantiles("attestream_push_bytes"),
                    unit="bytes",
                ),
                Panel(
                    title="Failed attempts, by reason",
                    tells="They are tried again.",
                    expressions=rate("attestream_push_failures_total", "reason")
                    | {"not reproduced": f"sum(rate(attestream_quotes_unreproduced_total{{{AT}}}[$__rate_interval]))"},
                    unit="ops",
                ),
            ),
        ),
        (
            "Spool",
            (
                Panel(
                    title="How full",
                    tells="Grows while the broker is away.",
                    expressions={
                        "{{instance}}": (f"attestream_spool_bytes{{{AT}}} / attestream_spool_limit_bytes{{{AT}}}")
                    },
                    unit="percentunit",
                    limit=0.8,
                ),
                Panel(
                    title="Messages",
                    tells="Pushes that wait for the broker's acknowledgement.",
                    expressions=gauge("attestream_spool_messages"),
                ),
                Panel(
                    title="Dropped in an hour",
                    tells="When the spool overflows, all that waits goes and a baseline follows.",
                    expressions={
                        "pushes {{instance}}": f"increase(attestream_spool_dropped_total{{{AT}}}[1h])",
                        "overflows {{instance}}": f"increase(attestream_spool_overflows_total{{{AT}}}[1h])",
                        "events {{instance}}": f"increase(attestream_events_dropped_total{{{AT}}}[1h])",
                    },
                    limit=1,
                ),
            ),
        ),
        (
            "TPM",
            (
                Panel(
                    title="Time by command (p99)",
                    tells="Retries included. A quote takes 0.1 to 1 s on most discrete TPMs.",
                    expressions={
                        "{{command}}": (
                            "histogram_quantile(0.99, sum by (le, command) "
                            f"(rate(attestream_tpm_command_seconds_bucket{{{AT}}}[$__rate_interval])))"
                        )
                    },
                    unit="s",
                ),
                Panel(
                    title="Commands",
                    tells="A second, by command.",
                    expressions=rate("attestream_tpm_command_seconds_count", "command"),
                    unit="ops",
                ),
                Panel(
                    title="Failures in an hour",
                    tells="By command and reason; after all retries.",
                    expressions={
                        "{{command}} {{reason}}": (
                            f"sum by (command, reason) (increase(attestream_tpm_failures_total{{{AT}}}[1h]))"
                        )
                    },
                    limit=1,
                ),
            ),
        ),
        (
            "Handles, solicits, claims",
            (
                Panel(
                    title="Age of the handle bound to",
                    tells="Grows where no handle arrives any more; the agent goes on pushing.",
                    expressions=gauge("attestream_bound_handle_age_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Handles in an hour",
                    tells="Accepted, and refused by reason.",
                    expressions={
                        "accepted": f"sum(increase(attestream_handles_accepted_total{{{AT}}}[1h]))",
                        "{{reason}}": f"sum by (reason) (increase(attestream_handles_rejected_total{{{AT}}}[1h]))",
                        "overdue": f"sum(increase(attestream_handles_overdue_total{{{AT}}}[1h]))",
                    },
                ),
                Panel(
                    title="Solicits in an hour",
                    tells="Followed, and not followed by reason.",
                    expressions={
                        "followed": f"sum(increase(attestream_solicits_accepted_total{{{AT}}}[1h]))",
                        "{{reason}}": f"sum by (reason) (increase(attestream_solicits_rejected_total{{{AT}}}[1h]))",
                    },
                ),
                Panel(
                    title="Stamps and claims that failed in an hour",
                    tells="By reason, and by collector.",
                    expressions={
                        "stamped": f"sum(increase(attestream_sync_stamps_total{{{AT}}}[1h]))",
                        "{{reason}}": f"sum by (reason) (increase(attestream_sync_stamp_failures_total{{{AT}}}[1h]))",
                        "claim {{collector}}": (
                            f"sum by (collector) (increase(attestream_claim_failures_total{{{AT}}}[1h]))"
                        ),
                    },
                ),
            ),
        ),
        HEALTH,
    ),
)
