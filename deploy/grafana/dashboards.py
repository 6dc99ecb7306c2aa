"""The five dashboards, by the name of their file."""

from typing import Final

from deploy.grafana.records import RECORDS
from deploy.grafana.results import FLEET, VERIFIER
from deploy.grafana.sources import AGENTS, TIME

ALL: Final = {"fleet": FLEET, "verifier": VERIFIER, "time": TIME, "agents": AGENTS, "records": RECORDS}
