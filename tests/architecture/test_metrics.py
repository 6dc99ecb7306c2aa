"""One list of metrics: the code, docs/metrics.md, the rules and the dashboards agree on names, types and labels."""

import importlib
import json
import pkgutil
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # carries no types
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from deploy.grafana.dashboards import ALL
from runtime.telemetry import LateGauge
from tests.builders.alert_cases import CASES, RULES

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("runtime", "handle_distributor", "attester_agent", "verifier_worker", "endorser", "relying_party")
GRAFANA = ROOT / "deploy" / "grafana"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
FOREIGN = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}
SCRAPED = {"instance", "job"}  # labels that Prometheus adds
WORDS = {"by", "without", "on", "ignoring", "and", "or", "unless", "offset", "le"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A metric in the code."""

    type: str
    labels: tuple[str, ...]
    help: str


def declared() -> dict[str, Declared]:
    """Every metric of ours that any module of the product declares."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for info in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not info.name.endswith("__main__"):
                importlib.import_module(info.name)
    found = {}
    for collector in set(REGISTRY._collector_to_names):
        if isinstance(collector, LateGauge):
            found[collector.name] = Declared(type="gauge", labels=(collector.label,), help=collector.documentation)
        elif isinstance(collector, MetricWrapperBase) and collector._name.startswith("attestream_"):
            name = f"{collector._name}_total" if collector._type == "counter" else collector._name
            found[name] = Declared(
                type=str(collector._type), labels=collector._labelnames, help=collector._documentation
            )
    return found


METRICS = declared()
SERIES = {
    f"{name}{suffix}": each.labels + (("le",) if suffix == "_bucket" else ())
    for name, each in METRICS.items()
    for suffix in SUFFIXES[each.type]
}
RULE_GROUPS = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
ALL_RULES = [rule for group in RULE_GROUPS for rule in group["rules"]]
RECORDED = {rule["record"]: rule["expr"] for rule in ALL_RULES if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in ALL_RULES if "alert" in rule}
EXPRESSIONS = {
    **{f"rule {rule.get('alert') or rule['record']}": rule["expr"] for rule in ALL_RULES},
    **{
        f"{dashboard.title}: {panel.title} {legend}": expression
        for dashboard in ALL.values()
        for _, row in dashboard.rows
        for panel in row
        for legend, expression in panel.expressions.items()
    },
    **{f"{dashboard.title}: its instances": dashboard.metric for dashboard in ALL.values()},
}


def names_in(expression: str) -> set[str]:
    """Names of series in an expression: each word before `{`, `[` or nothing that is no function."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring)\s*\([^)]*\)|offset \w+', " ", expression)
    return {name for name in re.findall(r"[a-z_][a-z0-9_:]*(?!\s*\()\b(?!\s*\()", bare) if name not in WORDS}


def labels_in(expression: str) -> set[str]:
    """Labels that an expression matches or groups by."""
    quoted = re.sub(r'"[^"]*"', '""', expression)
    matched = {
        label
        for matchers in re.findall(r"\{([^}]*)\}", quoted)
        for label in re.findall(r"([a-z_]+)\s*(?:=|!)", matchers)
    }
    grouped = {
        label.strip() for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", quoted) for label in group.split(",")
    }
    return matched | grouped


def labels_of(name: str) -> set[str]:
    """Labels that a series, or a recorded one, can have."""
    if name in RECORDED:
        return labels_in(RECORDED[name]) | SCRAPED
    return set(SERIES.get(name, ())) | SCRAPED


def test_the_page_lists_every_metric_as_the_code_declares_it() -> None:
    listed = {}
    for line in (ROOT / "docs" / "metrics.md").read_text("utf-8").splitlines():
        if line.startswith("| `attestream_"):
            name, kind, labels, says, odd = (cell.strip() for cell in line.strip("| ").split(" | "))
            listed[name.strip("`")] = Declared(type=kind, labels=tuple(re.findall(r"`(\w+)`", labels)), help=says)
            assert odd, f"{name}: say what to do when it is odd"
    assert listed == METRICS


def test_a_metric_says_what_it_is_in_base_units() -> None:
    for name, each in METRICS.items():
        assert re.fullmatch(r"attestream_[a-z_]+", name)
        assert not re.search(r"_(ms|us|ppm|minutes|milliseconds|kilobytes)(_|$)", name), name
        assert len(each.help) > 10, name


@pytest.mark.parametrize("where", sorted(EXPRESSIONS))
def test_rules_and_dashboards_name_only_what_exists(where: str) -> None:
    expression = EXPRESSIONS[where]
    names = names_in(expression)
    assert names, expression
    assert names - set(SERIES) - set(RECORDED) - FOREIGN == set(), expression
    possible = set().union(*map(labels_of, names))
    assert labels_in(expression) - possible == set(), expression


def test_the_look_at_expressions_sees_what_is_wrong() -> None:
    expression = 'sum by (le, stage) (rate(attestream_nothing_bucket{nolabel=~"$x", a!="b"}[5m])) > 3 * no_such_thing'
    assert names_in(expression) == {"attestream_nothing_bucket", "no_such_thing"}
    assert labels_in(expression) == {"le", "stage", "nolabel", "a"}


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_says_what_is_wrong_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert {"summary", "description", "runbook_url"} == set(rule["annotations"])
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == "docs/operations.md"
    assert f'<a id="{anchor}"></a>' in OPERATIONS


def test_every_alert_is_tested_and_no_other() -> None:
    assert {case.alert for case in CASES} == set(ALERTS)


def test_every_runbook_entry_belongs_to_an_alert() -> None:
    anchors = set(re.findall(r'<a id="(alert-[a-z-]+)"></a>', OPERATIONS))
    assert anchors == {rule["annotations"]["runbook_url"].partition("#")[2] for rule in ALERTS.values()}


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_dashboards_file_is_what_its_description_makes(name: str) -> None:
    assert (GRAFANA / f"{name}.json").read_text("utf-8") == ALL[name].json, "run: python -m deploy.grafana"


def test_no_dashboard_is_there_that_is_not_described() -> None:
    assert {path.stem for path in GRAFANA.glob("*.json")} == set(ALL)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_dashboard_is_one_that_grafana_can_show(name: str) -> None:
    document = json.loads((GRAFANA / f"{name}.json").read_text("utf-8"))
    assert document["uid"] == f"attestream-{name}"
    variables = {each["name"]: each["type"] for each in document["templating"]["list"]}
    assert variables == {"datasource": "datasource", "instance": "query"}
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another"
        taken |= cells
        assert panel["type"] in {"row", "timeseries", "stat", "table"}
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            references = [target["refId"] for target in panel["targets"]]
            assert len(set(references)) == len(references) > 0


def test_every_metric_can_be_seen_somewhere() -> None:
    used = set().union(*map(names_in, EXPRESSIONS.values()))
    unseen = {name for name, each in METRICS.items() if not {name + suffix for suffix in SUFFIXES[each.type]} & used}
    assert unseen == set()
