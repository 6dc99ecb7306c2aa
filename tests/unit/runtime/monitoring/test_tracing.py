"""Traces: off they are nothing; on, the ids come from the evidence; a collector that is away costs nobody anything."""

import hashlib
import importlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.monitoring.otlp import MAX_QUEUED_SPANS
from runtime.monitoring.tracing import TracingSettings, open_tracer
from runtime.settings import build
from schemas.errors import ConfigError
from tests.programs.mosquitto import free_port
from tests.programs.otlp_collector import otlp_collector
from tests.programs.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[4]
BODY = hashlib.sha256(b"a body").digest()
OFF = """
import sys
from runtime.monitoring.tracing import TracingSettings, open_tracer
import verifier_worker.service, attester_agent.service, relying_party.results
assert open_tracer(TracingSettings(), "test", "one") is None
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_off_there_is_no_tracer_and_nothing_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", OFF], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "endpoint",
    ["localhost:4318", "ftp://127.0.0.1/", "http://", "http://[::1/x", "http://127.0.0.1:0/", "http://h:99999/"],
)
def test_an_endpoint_that_is_none_is_named(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="endpoint"):
        build(f'endpoint = "{endpoint}"', TracingSettings, "service.toml")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name, name="opentelemetry")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(
        ConfigError, match=r"tracing\.endpoint: opentelemetry is not .*: pip install 'attestream\[tracing\]'"
    ):
        open_tracer(TracingSettings(endpoint="http://127.0.0.1:1/v1/traces"), "test", "one")


def test_the_ids_are_those_of_the_evidence() -> None:
    with otlp_collector() as collector:
        tracer = open_tracer(TracingSettings(endpoint=collector.url), "test", "one")
        assert tracer is not None
        now_s = time.monotonic()
        tracer.record(BODY, "part", now_s - 1, now_s, {"messages": 3})
        tracer.record(BODY, "whole", now_s - 2, now_s, root=True)
        tracer.record(BODY, "later", now_s, now_s)
        tracer.record(bytes(32), "of no hash", now_s, now_s)
        tracer.close()
    spans = {span.name: span for span in collector.spans}
    assert set(spans) == {"part", "whole", "later"}
    assert {span.trace for span in spans.values()} == {BODY[:16]}
    assert (spans["whole"].id, spans["whole"].parent) == (BODY[16:24], b"")
    assert spans["part"].parent == spans["later"].parent == BODY[16:24]
    assert len({span.id for span in spans.values()}) == 3
    assert abs(spans["part"].end_ns - time.time_ns()) < 60_000_000_000
    assert spans["part"].end_ns - spans["part"].start_ns == pytest.approx(1_000_000_000, abs=1000)


def test_a_collector_that_is_away_costs_spans_and_nothing_else() -> None:
    tracer = open_tracer(TracingSettings(endpoint=f"http://127.0.0.1:{free_port()}/v1/traces"), "test", "one")
    assert tracer is not None
    started_s = time.monotonic()
    for _ in range(MAX_QUEUED_SPANS + 1000):  # more than the queue holds, even if a batch of 512 leaves it meanwhile
        tracer.record(BODY, "lost", started_s, started_s)
    tracer.close()
    assert time.monotonic() - started_s < PATIENCE_S
