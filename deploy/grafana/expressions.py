"""Builders for the expressions that most panels use, and the row of health panels at the end of every dashboard."""

from typing import Final

from deploy.grafana.panels import Panel

AT: Final = 'instance=~"$instance"'


def quantiles(metric: str, labels: str = "", by: str = "") -> dict[str, str]:
    """p50 and p99 of a histogram; ``by`` is one more label to split by."""
    where, group, legend = (
        f"{AT}{', ' + labels if labels else ''}",
        f", {by}" if by else "",
        f" {{{{{by}}}}}" if by else "",
    )
    return {
        f"p{quantile}{legend}": (
            f"histogram_quantile({int(quantile) / 100}, sum by (le{group}) "
            f"(rate({metric}_bucket{{{where}}}[$__rate_interval])))"
        )
        for quantile in ("50", "99")
    }


def rate(metric: str, by: str, labels: str = "") -> dict[str, str]:
    """A counter's events per second, split by one label."""
    where = f"{AT}{', ' + labels if labels else ''}"
    return {f"{{{{{by}}}}}": f"sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))"}


def gauge(metric: str, legend: str = "instance", labels: str = "") -> dict[str, str]:
    """The current value of a gauge."""
    return {f"{{{{{legend}}}}}": f"{metric}{{{AT}{', ' + labels if labels else ''}}}"}


HEALTH: Final = (
    "Health",
    (
        Panel(
            title="Failing checks",
            description=(
                "Each row is a check of /readyz that fails. The answer of that instance's /readyz says what to do."
            ),
            expressions={"": f"attestream_check_ok{{{AT}}} == 0"},
            kind="table",
        ),
        Panel(
            title="Broker connections",
            description="1 while the connection is up.",
            expressions=gauge("attestream_mqtt_connected", "client"),
        ),
        Panel(
            title="Connections made in an hour",
            description=(
                "More than a few per hour: look at the network and the broker, and for two processes with the same "
                "client id."
            ),
            expressions={
                "{{client}}": f"increase(attestream_mqtt_connects_total{{{AT}}}[1h])",
                "{{client}}: {{what}} refused": f"increase(attestream_mqtt_refusals_total{{{AT}}}[1h])",
                "{{client}}: unreadable messages": f"increase(attestream_mqtt_unreadable_total{{{AT}}}[1h])",
            },
        ),
        Panel(
            title="Software",
            description="The version that each process runs.",
            expressions={"": f"attestream_build_info{{{AT}}}"},
            kind="table",
        ),
    ),
)
