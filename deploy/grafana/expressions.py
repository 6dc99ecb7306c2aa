"""The expressions that most panels have, and the row of panels that every dashboard ends with."""

from typing import Final

from deploy.grafana.panels import Panel

AT: Final = 'instance=~"$instance"'


def quantiles(metric: str, labels: str = "", by: str = "") -> dict[str, str]:
    """p50 and p99 of a histogram; ``by`` is one more label to tell apart."""
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
    """A counter's events a second, told apart by one label."""
    where = f"{AT}{', ' + labels if labels else ''}"
    return {f"{{{{{by}}}}}": f"sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))"}


def gauge(metric: str, legend: str = "instance", labels: str = "") -> dict[str, str]:
    """A gauge as it is."""
    return {f"{{{{{legend}}}}}": f"{metric}{{{AT}{', ' + labels if labels else ''}}}"}


HEALTH: Final = (
    "Are they well?",
    (
        Panel(
            title="Checks that do not hold",
            tells="Each row is a check of /readyz that fails. Ask that instance's /readyz what to do.",
            expressions={"": f"attestream_check_ok{{{AT}}} == 0"},
            kind="table",
        ),
        Panel(
            title="Broker connections",
            tells="1 while a connection is up.",
            expressions=gauge("attestream_mqtt_connected", "client"),
        ),
        Panel(
            title="Connections made in an hour",
            tells="More than a few: the network, the broker, or two processes with one client id.",
            expressions={
                "{{client}}": f"increase(attestream_mqtt_connects_total{{{AT}}}[1h])",
                "{{client}}: {{what}} refused": f"increase(attestream_mqtt_refusals_total{{{AT}}}[1h])",
            },
        ),
        Panel(
            title="Software",
            tells="Who runs which version.",
            expressions={"": f"attestream_build_info{{{AT}}}"},
            kind="table",
        ),
    ),
)
