"""For each alert: what must make it fire and when, and the nearest that must not. Read by promtool."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

RULES: Final = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "attestream.rules.yml"
_WHERE: Final = 'instance="h:1",job="attestream-verifier"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One alert, and two worlds.

    Attributes:
        alert: its name.
        bad: series in promtool's notation, one sample a minute, of a world in which it fires at ``at``.
        good: of a world in which it does not, at any time up to ``at``.
        at: minutes.
        pending: minutes at which it must not fire yet, although the world is ``bad``.
        count: how many fire.
        quiet_from: minutes from which it must not in the ``good`` world.
        more: series of both worlds.
    """

    alert: str
    bad: Mapping[str, str]
    good: Mapping[str, str]
    at: int
    pending: int | None = None
    count: int = 1
    quiet_from: int = 0
    more: Mapping[str, str] = field(default_factory=dict)


def _one(name: str, labels: str = "") -> str:
    return f"attestream_{name}{{{_WHERE}{',' + labels if labels else ''}}}"


CASES: Final = (
    Case(
        alert="AttestreamContraindicated",
        bad={_one("results_total", 'status="contraindicated",freshness="fresh"'): "0x10 1+1x20"},
        good={
            _one("results_total", 'status="contraindicated",freshness="fresh"'): "7x30",
            _one("results_total", 'status="warning",freshness="fresh"'): "0+9x30",
        },
        at=14,
        pending=9,
    ),
    Case(
        alert="AttestreamDevicesSilent",
        bad={_one("results_total", 'status="none",freshness="stale"'): "0x10 6+1x40"},
        good={_one("results_total", 'status="none",freshness="stale"'): "0x10 4x40"},
        more={_one("attesters_endorsed"): "100x60"},
        at=20,
        pending=10,
    ),
    Case(
        alert="AttestreamEvidenceRefused",
        bad={_one("evidence_total", 'outcome="refused"'): "0+6x60"},
        good={_one("evidence_total", 'outcome="refused"'): "0+5x60"},
        more={_one("evidence_total", 'outcome="accepted"'): "0+100x60"},
        at=25,
        pending=5,
    ),
    Case(
        alert="AttestreamClockRate",
        bad={
            _one("clock_rate_error_ratio_bucket", 'le="0.15"'): "5+1x60",
            _one("clock_rate_error_ratio_count"): "5+2x60",
        },
        good={
            _one("clock_rate_error_ratio_bucket", 'le="0.15"'): "5+2x60",
            _one("clock_rate_error_ratio_count"): "8+2x60",
        },
        at=30,
        pending=3,
    ),
    Case(
        alert="AttestreamDown",
        bad={f"up{{{_WHERE}}}": "1x4 0x20", 'up{instance="h:2",job="attestream-agent"}': "0x30"},
        good={f"up{{{_WHERE}}}": "1x4 0 1x20", 'up{instance="h:1",job="node"}': "0x30"},
        at=12,
        pending=1,
        count=2,
    ),
    Case(
        alert="AttestreamNotReady",
        bad={_one("check_ok", 'check="store"'): "1 0x20", _one("check_ok", 'check="handle"'): "1x21"},
        good={_one("check_ok", 'check="store"'): "1 0x4 1 0x4 1x20"},
        at=10,
        pending=5,
    ),
    Case(
        alert="AttestreamBrokerFlapping",
        bad={_one("mqtt_connects_total", 'client="a"'): "1+1x30"},
        good={_one("mqtt_connects_total", 'client="a"'): "1x5 2x10 3x10 4x10"},
        at=20,
    ),
    Case(
        alert="AttestreamStoreFailing",
        bad={_one("store_failures_total"): "0x5 1+1x20"},
        good={_one("store_failures_total"): "9x30"},
        at=10,
        pending=5,
    ),
    Case(
        alert="AttestreamVerifierLag",
        bad={
            _one("partition_lag_seconds", 'partition="0a"'): "0 40x20",
            _one("partition_lag_seconds", 'partition="ff"'): "50x20",
        },
        good={
            _one("partition_lag_seconds", 'partition="0a"'): "30x20",
            _one("partition_lag_seconds", 'partition="ff"'): "0 31 0 31 0x20",
        },
        at=10,
        pending=1,
    ),
    Case(
        alert="AttestreamQueueFull",
        bad={_one("queue_messages"): "700x20"},
        good={_one("queue_messages"): "700 4000 700 600x20"},
        more={_one("queue_limit_messages"): "4096x30"},
        at=10,
        pending=4,
    ),
    Case(
        alert="AttestreamResultsSlow",
        bad={
            _one("result_latency_seconds_bucket", 'stage="confirmed",le="2.5"'): "0+10x60",
            _one("result_latency_seconds_bucket", 'stage="confirmed",le="10"'): "0+20x60",
            _one("result_latency_seconds_bucket", 'stage="confirmed",le="+Inf"'): "0+20x60",
        },
        good={
            _one("result_latency_seconds_bucket", 'stage="confirmed",le="2.5"'): "0+20x60",
            _one("result_latency_seconds_bucket", 'stage="confirmed",le="10"'): "0+20x60",
            _one("result_latency_seconds_bucket", 'stage="confirmed",le="+Inf"'): "0+20x60",
        },
        at=30,
        pending=8,
    ),
    Case(
        alert="AttestreamResultsStuck",
        bad={_one("outbox_messages"): "0 3x20"},
        good={_one("outbox_messages"): "0 3x4 0 3x4 0x20"},
        at=10,
        pending=5,
    ),
    Case(
        alert="AttestreamNoHandle",
        bad={_one("handle_alarm"): "0 1x20"},
        good={_one("handle_alarm"): "0 1 0 1 0x20"},
        at=10,
        pending=2,
    ),
    Case(
        alert="AttestreamHandleOld",
        bad={_one("handle_age_seconds"): "0+60x20"},
        good={_one("handle_age_seconds"): "0 60 120 180 0 60 120 180 0 60 120"},
        more={_one("handle_interval_seconds"): "60x30"},
        at=10,
        pending=4,
    ),
    Case(
        alert="AttestreamTsaFailing",
        bad={_one("tsa_latency_seconds_count", 'tsa="t",outcome="tsa-timeout"'): "0+3x60"},
        good={_one("tsa_latency_seconds_count", 'tsa="t",outcome="tsa-timeout"'): "0+2x60"},
        more={_one("tsa_latency_seconds_count", 'tsa="t",outcome="stamped"'): "0+2x60"},
        at=25,
        pending=4,
    ),
    Case(
        alert="AttestreamTsaClockOff",
        bad={_one("tsa_clock_offset_seconds", 'tsa="t"'): "0 -2.5x20"},
        good={_one("tsa_clock_offset_seconds", 'tsa="t"'): "0 -2x20"},
        at=10,
        pending=5,
    ),
    Case(
        alert="AttestreamClockBehind",
        bad={_one("clock_behind_seconds"): "0 1.5x20"},
        good={_one("clock_behind_seconds"): "0 1x20"},
        at=10,
        pending=2,
    ),
    Case(
        alert="AttestreamHandleChainForked",
        bad={_one("handle_chain_total", 'reason="handle-chain-forked",issuer="i"'): "_x10 1x20"},
        good={
            _one("handle_chain_total", 'reason="handle-chain-gap",issuer="i"'): "_x10 1+1x90",
        },
        at=12,
        pending=9,
    ),
    Case(  # one that Prometheus did not know when it began is told once, for an hour
        alert="AttestreamHandleChainForked",
        bad={_one("handle_chain_total", 'reason="handle-chain-forked",issuer="i"'): "1x70 2x20"},
        good={_one("handle_chain_total", 'reason="handle-chain-forked",issuer="i"'): "1x100"},
        at=75,
        pending=65,
        quiet_from=61,
    ),
    Case(
        alert="AttestreamSpoolFills",
        bad={_one("spool_bytes"): "0 81x20"},
        good={_one("spool_bytes"): "0 80x20"},
        more={_one("spool_limit_bytes"): "100x30"},
        at=10,
        pending=5,
    ),
    Case(
        alert="AttestreamPushesDropped",
        bad={_one("spool_dropped_total"): "0x5 12x20"},
        good={_one("spool_dropped_total"): "12x30"},
        at=7,
        pending=4,
    ),
    Case(
        alert="AttestreamQuotesNotReproduced",
        bad={_one("quotes_unreproduced_total"): "0+1x60"},
        good={_one("quotes_unreproduced_total"): "0 1x60"},
        at=30,
        pending=10,
    ),
    Case(
        alert="AttestreamTpmSlow",
        bad={
            _one("tpm_command_seconds_bucket", 'command="quote",le="5"'): "0+1x60",
            _one("tpm_command_seconds_bucket", 'command="quote",le="10"'): "0+2x60",
            _one("tpm_command_seconds_bucket", 'command="quote",le="+Inf"'): "0+2x60",
        },
        good={
            _one("tpm_command_seconds_bucket", 'command="quote",le="5"'): "0+2x60",
            _one("tpm_command_seconds_bucket", 'command="quote",le="10"'): "0+2x60",
            _one("tpm_command_seconds_bucket", 'command="quote",le="+Inf"'): "0+2x60",
            _one("tpm_command_seconds_bucket", 'command="create-primary",le="5"'): "0x60",
            _one("tpm_command_seconds_bucket", 'command="create-primary",le="+Inf"'): "0+1x60",
        },
        at=30,
        pending=10,
    ),
    Case(
        alert="AttestreamTpmFailing",
        bad={_one("tpm_failures_total", 'command="quote",reason="tpm-busy"'): "0+1x60"},
        good={_one("tpm_failures_total", 'command="quote",reason="tpm-busy"'): "0 1 2 3x60"},
        at=20,
        pending=2,
    ),
    Case(
        alert="AttestreamEnrolmentWaits",
        bad={_one("enrolments_pending"): "1x100"},
        good={_one("enrolments_pending"): "1x50 0 1x50"},
        at=65,
        pending=58,
    ),
    Case(
        alert="AttestreamEndorsementsUnpublished",
        bad={_one("endorsements_unpublished"): "1x20"},
        good={_one("endorsements_unpublished"): "1x4 0 1x4 0x20"},
        at=10,
        pending=4,
    ),
    Case(
        alert="AttestreamAuditStopped",
        bad={_one("audit_sequencing_stopped"): "0x5 1x10"},
        good={_one("audit_sequencing_stopped"): "0x15"},
        at=9,
        pending=5,
    ),
    Case(
        alert="AttestreamAuditBehind",
        bad={_one("audit_unsequenced_entries"): "5+5x30"},
        good={_one("audit_unsequenced_entries"): "5 0 5 0 5 0 5 0 5 0 5 0 5 0 5 0 5 0x20"},
        more={_one("audit_entries"): "100+5x60", _one("audit_checkpoint_size"): "95x60"},
        at=20,
        pending=10,
    ),
    Case(
        alert="AttestreamAuditUnstamped",
        bad={_one("audit_stamp_age_seconds"): "3500+60x20"},
        good={_one("audit_stamp_age_seconds"): "3000+60x8 10+60x12"},
        at=12,
        pending=4,
    ),
    Case(
        alert="AttestreamAlertsUndelivered",
        bad={_one("alert_oldest_seconds", 'receiver="pager"'): "0+60x20"},
        good={_one("alert_oldest_seconds", 'receiver="pager"'): "0+60x4 0+60x4 0+60x8"},
        more={_one("alert_failed", 'receiver="pager"'): "0x30"},
        at=14,
        pending=6,
    ),
)


def write_tests(path: Path) -> None:
    """A file for ``promtool test rules``, which takes JSON for YAML."""
    tests = [
        world for case in CASES for world in (_world(case, case.bad, fires=True), _world(case, case.good, fires=False))
    ]
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")


def _world(case: Case, series: Mapping[str, str], *, fires: bool) -> dict[str, object]:
    expected = [{"labels": f'{{alertname="{case.alert}"}}', "value": case.count}]
    times = range(case.quiet_from, case.at + 1) if not fires else [case.at]
    looks = [_look(case, minute, expected if fires else []) for minute in times]
    if fires and case.pending is not None:
        looks.append(_look(case, case.pending, []))
    return {
        "name": f"{case.alert}: {'fires' if fires else 'is silent'}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in ({**series, **case.more}).items()],
        "promql_expr_test": looks,
    }


def _look(case: Case, minute: int, expected: list[dict[str, object]]) -> dict[str, object]:
    firing = f'count by (alertname) (ALERTS{{alertname="{case.alert}",alertstate="firing"}})'
    return {"expr": firing, "eval_time": f"{minute}m", "exp_samples": expected}
