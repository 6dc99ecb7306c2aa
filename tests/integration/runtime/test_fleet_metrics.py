"""Every role at work, looked at as an operator does: metrics, health, Prometheus with our rules, one trace."""

import contextlib
import functools
import http.client
import json
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # carries no types
from prometheus_client.parser import text_string_to_metric_families

from runtime.keys import load_public_keys, load_signing_key
from schemas import media_types
from schemas.codecs import cmw
from schemas.identifiers import parse_ueid_text
from schemas.media_types import Indicator
from schemas.messages import result_token
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.result import AttestationResult
from schemas.topics import Topics
from schemas.tpm.public import parse_public
from tests.builders.alert_cases import RULES, write_tests
from tests.programs.fleet_rig import COMMANDS, ROOT, FleetRig, fleet_rig
from tests.programs.mosquitto import free_port
from tests.programs.mqtt_client import listening
from tests.programs.otlp_collector import Collector, otlp_collector
from tests.programs.waiting import PATIENCE_S, stop_process
from tests.worlds.device import make_endorsement

pytestmark = pytest.mark.needs("mosquitto", "swtpm", "openssl")
ROLES = tuple(COMMANDS)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with otlp_collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[FleetRig]:
    with fleet_rig(tmp_path_factory.mktemp("fleet"), tracing=collector.url) as rig:
        for role in ROLES:
            rig.start(role)
        rig.wait_until_ready(*ROLES)
        rig.wait_for(lambda: value(rig, "verifier", "attestream_evidence_total", outcome="accepted") >= 5, "evidence")
        yield rig


def samples(rig: FleetRig, role: str) -> list[tuple[str, dict[str, str], float]]:
    _, body = rig.get(role, "/metrics")
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    ]


def value(rig: FleetRig, role: str, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    return sum(amount for found, its, amount in samples(rig, role) if found == name and labels.items() <= its.items())


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("role", ROLES)
def test_promtool_finds_nothing_wrong_with_any_roles_metrics(fleet: FleetRig, role: str) -> None:
    status, body = fleet.get(role, "/metrics")
    assert status == 200
    checked = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, text=True, check=False)
    assert checked.returncode in {0, 3}, checked.stderr  # 3: it has something to say, maybe of others' metrics
    complaints = [line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith("attestream")]
    assert complaints == []
    assert "attestream_build_info" in body


def test_what_is_measured_is_what_happens(fleet: FleetRig) -> None:
    assert value(fleet, "distributor", "attestream_tsa_latency_seconds_count", outcome="stamped") >= 2
    assert value(fleet, "distributor", "attestream_handles_confirmed_total") >= 1
    assert value(fleet, "distributor", "attestream_handle_interval_seconds") == 1
    fleet.wait_for(lambda: value(fleet, "verifier", "attestream_attesters_endorsed") == 1, "one attester endorsed")
    assert value(fleet, "verifier", "attestream_results_total", status="affirming", freshness="fresh") >= 1
    handed, confirmed = (
        value(fleet, "verifier", "attestream_result_latency_seconds_count", stage=stage)
        for stage in ("handed-over", "confirmed")
    )
    assert handed >= confirmed >= 1
    assert value(fleet, "verifier", "attestream_store_commit_seconds_count") >= 1
    assert value(fleet, "verifier", "attestream_audit_fsync_seconds_count") >= 1
    assert value(fleet, "verifier", "attestream_audit_bytes_total") > 5 * 1000
    partitions = {
        its["partition"] for name, its, _ in samples(fleet, "verifier") if name == "attestream_partition_lag_seconds"
    }
    assert len(partitions) <= 1, "one device is in one partition"
    assert value(fleet, "agent", "attestream_tpm_command_seconds_count", command="quote") >= 5
    assert value(fleet, "agent", "attestream_push_seconds_count") >= 5
    assert value(fleet, "agent", "attestream_tsa_latency_seconds_count", outcome="stamped") >= 1
    assert value(fleet, "agent", "attestream_spool_limit_bytes") > value(fleet, "agent", "attestream_spool_bytes")
    assert value(fleet, "agent", "attestream_mqtt_connected") == 1
    assert value(fleet, "endorser", "attestream_devices") == 0


@pytest.mark.parametrize("role", ROLES)
def test_every_check_of_a_fleet_that_works_holds(fleet: FleetRig, role: str) -> None:
    assert fleet.get(role, "/healthz")[0] == 200
    status, body = fleet.get(role, "/readyz")
    assert status == 200, body
    assert {name for name, each in json.loads(body)["checks"].items() if not each["ok"]} == set()
    assert value(fleet, role, "attestream_check_ok") == len(json.loads(body)["checks"])


def attestation(fleet: FleetRig) -> AttestationResult:
    """The next result that is published."""
    keys = result_token.result_keys(load_public_keys([fleet.folder / "verifier.pub"]))
    with listening(fleet.broker.port, Topics().all_results) as heard:
        (_, payload), *_ = heard.wait_for(lambda messages: len(messages) >= 2, "a result")[1:]
    return result_token.verify(result_token.unwrap(payload), keys)


def test_one_push_is_one_trace_from_the_tpm_to_the_published_result(fleet: FleetRig, collector: Collector) -> None:
    evidence = attestation(fleet).evidence
    assert evidence is not None

    def names() -> set[str]:
        return {span.name for span in collector.trace(evidence[:16])}

    fleet.wait_for(lambda: {"agent push", "agent publish", "verifier publish"} <= names(), f"the trace: {names()}")
    assert {
        "agent push", "agent tpm quote", "agent logs", "agent spool", "agent publish",
        "verifier queue", "verifier decode", "verifier step", "verifier store", "verifier audit", "verifier publish",
    } <= names()  # fmt: skip
    spans = collector.trace(evidence[:16])
    assert {span.service for span in spans} == {"attester-agent", "verifier-worker"}
    root = next(span for span in spans if span.name == "agent push")
    assert (root.id, root.parent) == (evidence[16:24], b"")
    assert {span.parent for span in spans if span is not root} == {root.id}
    assert all(span.start_ns <= span.end_ns for span in spans)
    starts = {span.name: span.start_ns for span in spans}
    order = ["agent push", "agent tpm quote", "verifier queue", "verifier step", "verifier store", "verifier publish"]
    assert [starts[name] for name in order] == sorted(starts[name] for name in order)


@contextlib.contextmanager
def prometheus(fleet: FleetRig) -> Iterator[int]:
    """A Prometheus that scrapes the fleet every second and has our rules; yields its port."""
    folder, port = fleet.folder / "prometheus", free_port()
    folder.mkdir()
    example = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    example["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    example["rule_files"] = [str(RULES)]
    jobs = {job["job_name"].removeprefix("attestream-"): job for job in example["scrape_configs"]}
    del jobs["relying-party"]  # none runs in this fleet
    for role, job in jobs.items():
        job["static_configs"] = [{"targets": [f"127.0.0.1:{fleet.ports[role]}"]}]
    example["scrape_configs"] = list(jobs.values())
    (folder / "prometheus.yml").write_text(yaml.safe_dump(example))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield port
    finally:
        stop_process(process, signal.SIGTERM, 20.0)


def ask(port: int, path: str, **query: str) -> Any:  # noqa: ANN401 what an API answers
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as asking:
        try:
            asking.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(query)}")
            answer = asking.getresponse()
            return json.load(answer)["data"] if answer.status == 200 else None
        except OSError:
            return None


@pytest.mark.needs("prometheus")
def test_a_real_prometheus_scrapes_all_roles_and_evaluates_every_rule(fleet: FleetRig) -> None:
    with prometheus(fleet) as port:

        def query(expression: str) -> list[Any]:
            found: list[Any] = (ask(port, "query", query=expression) or {}).get("result", [])
            return found

        fleet.wait_for(lambda: len(query("up == 1")) == len(ROLES), "four targets")
        fleet.wait_for(lambda: bool(query("attestream:result_latency_seconds:p99_5m > 0")), "recorded latency")
        fleet.wait_for(lambda: bool(query("attestream:results:rate5m > 0")), "recorded results")
        fleet.wait_for(
            lambda: bool(query("attestream:tsa_failures:ratio15m") or query("attestream_tsa_latency_seconds_count")),
            "TSA",
        )
        rules = [rule for group in ask(port, "rules")["groups"] for rule in group["rules"]]
        assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] == "err"} == {}
        firing = {rule["name"] for rule in rules if rule.get("state") == "firing"}
        assert firing == set()
        for name, expression in dashboard_expressions().items():
            answer = ask(port, "query", query=expression)
            assert answer is not None, f"{name}: {expression}"


def dashboard_expressions() -> dict[str, str]:
    """Every expression of the dashboards' files, with Grafana's variables filled in."""
    return {
        f"{path.stem}: {panel['title']} {target['refId']}": target["expr"]
        .replace("$__rate_interval", "1m")
        .replace("$instance", ".+")
        for path in sorted((ROOT / "deploy" / "grafana").glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel.get("targets", ())
    }


@pytest.mark.needs("promtool")
def test_rules_and_configuration_are_what_promtool_takes() -> None:
    folder = ROOT / "deploy" / "prometheus"
    for command in (["check", "rules", str(RULES)], ["check", "config", str(folder / "prometheus.yml")]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
def test_every_alert_fires_when_it_should_and_is_silent_when_it_should_not(tmp_path: Path) -> None:
    write_tests(tmp_path / "tests.yml")
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "tests.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_revoked_endorsement_no_longer_counts(fleet: FleetRig) -> None:
    raw_public = (fleet.folder / "provisioned" / "ak.tpmt_public").read_bytes()
    ueid = parse_ueid_text((fleet.folder / "provisioned" / "attester.ueid").read_text().strip())
    over = replace(
        make_endorsement(ueid, parse_public(raw_public)), version=int(time.time()), not_before_s=0, not_after_s=1
    )
    signed = sign_endorsement(over, raw_public, load_signing_key(fleet.folder / "endorser.key"))
    with listening(fleet.broker.port) as client:
        payload = cmw.wrap(media_types.SIGNED_CORIM, signed, Indicator.ENDORSEMENTS)
        client.publish(Topics().endorsements(ueid), payload, retain=True)
    fleet.wait_for(lambda: value(fleet, "verifier", "attestream_attesters_endorsed") == 0, "nobody endorsed")


def test_without_its_broker_no_role_is_ready_all_live_and_all_recover(fleet: FleetRig) -> None:
    broker_checks = {
        "distributor": "broker", "endorser": "broker", "verifier": "broker-evidence", "agent": "broker",
    }  # fmt: skip
    fleet.broker.kill()
    for role, check in broker_checks.items():
        fleet.wait_for(functools.partial(fleet.answers, role, 503), f"{role} not ready")
        assert fleet.get(role, "/healthz")[0] == 200, "a restart would not bring the broker back"
        found = fleet.checks(role)[check]
        assert (found["ok"], bool(found["next"])) == (False, True)
    fleet.wait_for(lambda: value(fleet, "agent", "attestream_spool_messages") > 1, "pushes in the spool")
    assert value(fleet, "agent", "attestream_spool_bytes") > 500
    fleet.broker.start()
    fleet.wait_until_ready(*ROLES)
    fleet.wait_for(lambda: value(fleet, "agent", "attestream_spool_messages") <= 1, "an empty spool")
    assert value(fleet, "agent", "attestream_mqtt_connects_total") == 2


def test_an_agent_whose_tpm_is_gone_says_so(fleet: FleetRig) -> None:
    fleet.stop("agent")
    text = (fleet.folder / "agent.toml").read_text()
    broken = text.replace('tcti = "swtpm:path=', 'tcti = "swtpm:path=/no')
    assert broken != text
    (fleet.folder / "agent.toml").write_text(broken)
    fleet.start("agent")
    fleet.wait_for(lambda: "tpm" in fleet.checks("agent"), "the agent's page")
    fleet.wait_for(lambda: "tpm-unreachable" in str(fleet.checks("agent")["tpm"]["state"]), "what is wrong")
    assert "doctor" in str(fleet.checks("agent")["tpm"]["next"])
    fleet.stop("agent")
    (fleet.folder / "agent.toml").write_text(text)
    fleet.start("agent")
    fleet.wait_until_ready("agent")
