"""The dashboards about handles and their time, and about the agents on the devices."""

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
                    description="Normally a sawtooth between 0 and the interval. Above lifetime, no handle is valid.",
                    expressions=gauge("attestream_handle_age_seconds")
                    | {
                        "interval": f"max(attestream_handle_interval_seconds{{{AT}}})",
                        "lifetime": f"max(attestream_handle_lifetime_seconds{{{AT}}})",
                    },
                    unit="s",
                ),
                Panel(
                    title="Alarm",
                    description="1 if the last round issued no handle.",
                    expressions=gauge("attestream_handle_alarm"),
                    limit=1,
                ),
                Panel(
                    title="Issued and confirmed in an hour",
                    description=(
                        "Confirmed may be higher, because the newest handle is published again after a reconnect."
                    ),
                    expressions={
                        "issued": f"sum(increase(attestream_handles_issued_total{{{AT}}}[1h]))",
                        "confirmed": f"sum(increase(attestream_handles_confirmed_total{{{AT}}}[1h]))",
                    },
                ),
                Panel(
                    title="Failed attempts in an hour",
                    description="Attempts to issue a handle that failed, by reason and TSA.",
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
                    description="By TSA. Each handle needs two exchanges.",
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
                    description="stamped, or the reason why the answer was rejected.",
                    expressions={
                        "{{tsa}} {{outcome}}": (
                            "sum by (tsa, outcome) (rate(attestream_tsa_latency_seconds_count[$__rate_interval]))"
                        )
                    },
                    unit="ops",
                ),
                Panel(
                    title="Offset to the distributor's clock",
                    description="A TSA whose offset exceeds max_clock_offset_s is not used.",
                    expressions=gauge("attestream_tsa_clock_offset_seconds", "tsa"),
                    unit="s",
                ),
            ),
        ),
        (
            "As seen by the verifiers",
            (
                Panel(
                    title="Transit time of handles",
                    description="From the stamp to the receipt by a verifier. Must stay below grace_s of the policies.",
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
                    description="For each verifier. If its clock is behind the handles, set the clock.",
                    expressions={
                        "age {{instance}}": "attestream_newest_handle_age_seconds",
                        "clock behind {{instance}}": "attestream_clock_behind_seconds",
                    },
                    unit="s",
                ),
                Panel(
                    title="Rate error of TPM clocks",
                    description=(
                        "The smallest error that explains the synchronisations. TPM 2.0 allows 15 %; good TPMs have "
                        "0.01 %."
                    ),
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
                    description=(
                        "A gap is normal after a verifier or a distributor was down. A fork is not: the distributor's "
                        "key is used twice."
                    ),
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
                    description="full are baselines: the first push of a boot, and pushes that a verifier requested.",
                    expressions=rate("attestream_pushes_total", "kind"),
                    unit="ops",
                ),
                Panel(
                    title="Time of one push",
                    description="Includes TPM commands, reading the logs, and the disk.",
                    expressions=quantiles("attestream_push_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Size of one push",
                    description="A heartbeat has about 700 bytes; a baseline contains the logs.",
                    expressions=quantiles("attestream_push_bytes"),
                    unit="bytes",
                ),
                Panel(
                    title="Failed attempts, by reason",
                    description="Failed attempts are retried.",
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
                    description="Grows while the broker is unreachable.",
                    expressions={
                        "{{instance}}": (f"attestream_spool_bytes{{{AT}}} / attestream_spool_limit_bytes{{{AT}}}")
                    },
                    unit="percentunit",
                    limit=0.8,
                ),
                Panel(
                    title="Messages",
                    description="Pushes that the broker has not acknowledged yet.",
                    expressions=gauge("attestream_spool_messages"),
                ),
                Panel(
                    title="Dropped in an hour",
                    description="When the spool overflows, all waiting pushes are dropped and a baseline follows.",
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
                    description="Includes retries. A quote takes 0.1 to 1 s on most discrete TPMs.",
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
                    description="Commands per second.",
                    expressions=rate("attestream_tpm_command_seconds_count", "command"),
                    unit="ops",
                ),
                Panel(
                    title="Failures in an hour",
                    description="Commands that failed after all retries, by command and reason.",
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
                    title="Age of the handle in use",
                    description="Grows if no new handle arrives; the agent continues to push.",
                    expressions=gauge("attestream_bound_handle_age_seconds"),
                    unit="s",
                ),
                Panel(
                    title="Handles in an hour",
                    description="Accepted handles, and refused handles by reason.",
                    expressions={
                        "accepted": f"sum(increase(attestream_handles_accepted_total{{{AT}}}[1h]))",
                        "{{reason}}": f"sum by (reason) (increase(attestream_handles_rejected_total{{{AT}}}[1h]))",
                        "overdue": f"sum(increase(attestream_handles_overdue_total{{{AT}}}[1h]))",
                    },
                ),
                Panel(
                    title="Solicits in an hour",
                    description="Solicits that were followed, and solicits that were not, by reason.",
                    expressions={
                        "followed": f"sum(increase(attestream_solicits_accepted_total{{{AT}}}[1h]))",
                        "{{reason}}": f"sum by (reason) (increase(attestream_solicits_rejected_total{{{AT}}}[1h]))",
                    },
                ),
                Panel(
                    title="Sync stamps and failed claims in an hour",
                    description="Successful stamps, failed stamps by reason, and failed claims by collector.",
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
