"""What agents and verifiers tell of themselves: each failure under its own check, with what to do, until it is over."""

from collections.abc import Mapping

import pytest
from prometheus_client import REGISTRY

from attester_agent.adapters.readiness import Readiness as AgentReadiness
from attester_agent.core.handle_gate import AcceptedHandle, ClockTrust
from runtime.monitoring.health import handle_condition
from runtime.mqtt import MqttConnection, MqttSettings, Session
from runtime.ports import Attributes
from schemas.errors import WorldError
from schemas.identifiers import HandleId
from schemas.reasons import Reason
from tests.programs.mosquitto import free_port
from verifier_worker.adapters.push_progress import PushProgress
from verifier_worker.adapters.readiness import Readiness as VerifierReadiness
from verifier_worker.ports import Arrival

S = 1_000_000


def not_ok(checks: Mapping[str, object]) -> set[str]:
    return {name for name, each in checks.items() if not each.ok}  # type: ignore[attr-defined]  # a Condition


def test_an_agent_is_ready_once_its_tpm_answered_and_it_has_a_handle() -> None:
    agent = AgentReadiness()
    assert not_ok(agent.health.ready().checks) == {"tpm", "handle"}
    agent.tpm_answered()
    agent.bound_to(AcceptedHandle(id=HandleId(b"h" * 32), time_us=0, expires_us=2**62), ClockTrust.TRUSTED)
    assert agent.health.ready().ok
    agent.failed(WorldError(Reason.TPM_BUSY, "quote: retry"))
    agent.failed(WorldError(Reason.STORE_UNAVAILABLE, "disk full"))
    report = agent.health.ready()
    assert not_ok(report.checks) == {"tpm", "store"}
    assert "tpm-busy: quote: retry" in report.checks["tpm"].state
    assert report.checks["store"].next
    agent.tpm_answered()
    agent.stored()
    assert agent.health.ready().ok


def test_an_expired_handle_is_told_where_the_clock_may_judge_it() -> None:
    agent = AgentReadiness()
    agent.tpm_answered()
    old = AcceptedHandle(id=HandleId(b"h" * 32), time_us=0, expires_us=1)
    agent.bound_to(old, ClockTrust.TRUSTED)
    assert "expired" in agent.health.ready().checks["handle"].state
    agent.bound_to(old, ClockTrust.UNTRUSTED)
    assert agent.health.ready().ok


@pytest.mark.parametrize(("now_us", "ok"), [(59 * S, True), (60 * S, False), (61 * S, False)])
def test_a_handle_is_in_force_until_it_expires(now_us: int, ok: bool) -> None:
    assert handle_condition((0, 60 * S), now_us).ok is ok


def test_a_verifier_tells_which_part_fails_until_it_works_again() -> None:
    away = MqttConnection(MqttSettings(port=free_port()), Session(client_id="x", subscriptions=("y",)))
    verifier = VerifierReadiness("verifier-worker", away, away)
    assert not_ok(verifier.health.ready().checks) == {"broker-trust", "broker-evidence", "handle"}
    verifier.failed(WorldError(Reason.STORE_UNAVAILABLE, "state database: disk is full"))
    store = verifier.health.ready().checks["store"]
    assert (store.ok, store.state) == (False, "state database: disk is full")
    verifier.stored()
    assert verifier.health.ready().checks["store"].ok


class Spans:
    """A tracer that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, str, Attributes | None]] = []

    def record(
        self,
        body: bytes,
        name: str,
        started_s: float,
        ended_s: float,
        attributes: Attributes | None = None,
        *,
        root: bool = False,
    ) -> None:
        assert started_s <= ended_s
        assert not root
        self.seen.append((body, name, attributes))

    def close(self) -> None:
        """Nothing."""


def latency(stage: str) -> tuple[float, float]:
    labels = {"stage": stage}
    name = "attestream_result_latency_seconds"
    return (
        REGISTRY.get_sample_value(f"{name}_count", labels) or 0.0,
        REGISTRY.get_sample_value(f"{name}_sum", labels) or 0.0,
    )


def test_latency_counts_from_the_networks_receipt() -> None:
    spans = Spans()
    progress, arrival = PushProgress(spans), Arrival(arrived_s=100.0, body=b"b" * 32)
    before = {stage: latency(stage) for stage in ("handed-over", "confirmed")}
    progress.handed_over(arrival, 100.25)
    progress.confirmed(arrival, 100.25, 101.0)
    for stage, seconds in (("handed-over", 0.25), ("confirmed", 1.0)):
        count, total = latency(stage)
        assert count - before[stage][0] == 1
        assert total - before[stage][1] == pytest.approx(seconds)
    assert spans.seen == [(b"b" * 32, "verifier publish", None)]


def test_what_is_no_evidence_has_no_trace() -> None:
    spans = Spans()
    progress = PushProgress(spans)
    progress.takes(b"garbage")
    progress.refused("malformed")
    progress.took(None)
    assert spans.seen == []
