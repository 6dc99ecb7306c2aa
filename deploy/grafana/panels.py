"""What a dashboard is made of: rows of panels, each with a title, a description and its expressions.

Only what Grafana's schema requires is written; everything else is Grafana's default. The data source and the instances
are variables, so a dashboard works with any Prometheus.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SCHEMA_VERSION: Final = 39  # Grafana 10 and later
WIDTH: Final = 24  # of a row, in Grafana's columns
HEIGHT: Final = 8
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        title: what it shows.
        description: how to read it; Grafana shows it when the pointer is on the panel's info mark.
        expressions: PromQL by legend.
        unit: Grafana's name of the unit.
        kind: ``timeseries``, ``stat``, ``table`` or ``heatmap``.
        limit: value from which the panel is red; None if it has no such value.
    """

    title: str
    description: str
    expressions: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard.

    Attributes:
        uid: must never change, because links contain it.
        title: the name shown in Grafana.
        metric: a metric that every process on this dashboard exports; its ``instance`` values fill the instance menu.
        rows: panels side by side, row by row, each row with its title.
    """

    uid: str
    title: str
    metric: str
    rows: Sequence[tuple[str, Sequence[Panel]]]

    @property
    def json(self) -> str:
        """The document that Grafana loads."""
        return json.dumps(self._document(), indent=2, ensure_ascii=False) + "\n"

    def _document(self) -> dict[str, object]:
        panels: list[dict[str, object]] = []
        y = 0
        for title, row in self.rows:
            panels.append(_row(len(panels) + 1, title, y))
            y += 1
            width = WIDTH // len(row)
            for column, panel in enumerate(row):
                place = {"x": column * width, "y": y, "w": width, "h": HEIGHT}
                panels.append(_panel(len(panels) + 1, panel, place))
            y += HEIGHT
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": ["attestream"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timezone": "",
            "links": [
                {
                    "type": "dashboards",
                    "tags": ["attestream"],
                    "title": "attestream",
                    "asDropdown": True,
                    "keepTime": True,
                }
            ],
            "annotations": {"list": []},
            "templating": {"list": _variables(self.metric)},
            "panels": panels,
        }


def _variables(metric: str) -> list[dict[str, object]]:
    query = f"label_values({metric}, instance)"
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0},
        {
            "name": "instance",
            "label": "Instance",
            "type": "query",
            "datasource": _DATASOURCE,
            "query": {"query": query, "refId": "instance"},
            "definition": query,
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "allValue": ".+",
            "sort": 1,
        },
    ]


def _row(number: int, title: str, y: int) -> dict[str, object]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
        "panels": [],
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, object]:
    steps: list[dict[str, object]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    defaults: dict[str, object] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries" and panel.limit is not None:
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _DATASOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": panel.kind == "table",
                "range": panel.kind != "table",
                "format": "table" if panel.kind == "table" else "time_series",
            }
            for index, (legend, expression) in enumerate(panel.expressions.items())
        ],
    }
