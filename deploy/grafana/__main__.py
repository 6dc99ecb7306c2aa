"""``python -m deploy.grafana`` writes the dashboards' JSON files beside it, where Grafana's provisioning finds them."""

from pathlib import Path

from deploy.grafana.dashboards import ALL

FOLDER = Path(__file__).resolve().parent

if __name__ == "__main__":
    for name, dashboard in ALL.items():
        (FOLDER / f"{name}.json").write_text(dashboard.json, encoding="utf-8")
        print(f"{name}.json: {dashboard.title}")
