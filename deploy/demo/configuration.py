"""The configuration files of one run, as an operator would write them by hand for each service."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.demo.broker import HOST
from deploy.demo.embedded_tsa import ROOT_FILE
from deploy.demo.layout import RunDirectory
from deploy.demo.machine.device import Device
from deploy.demo.machine.kernel import BOOT_ID

DISTRIBUTOR: Final = "demo"
VERIFIER: Final = "verifier-1"
POLICY: Final = "demo"
FIRMWARE_VALUES: Final = "demo-firmware"
FILE_VALUES: Final = "demo-files"
HEARTBEAT_S: Final = 2.0
DEADLINE_S: Final = 8.0  # four missed heartbeats
HANDLE_EVERY_S: Final = 10
HANDLE_LIFETIME_S: Final = 30
CHECKPOINT_EVERY_S: Final = 5

_Value = str | int | float | bool | list[str] | list[int]


def toml(tables: Mapping[str, Mapping[str, _Value]]) -> str:
    """TOML of flat tables; the one named ``""`` comes first.

    JSON's texts, numbers and arrays are valid TOML.
    """
    lines: list[str] = []
    for name, values in sorted(tables.items()):
        if name:
            lines += ["", f"[{name}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def write_distributor(run: RunDirectory, port: int, tsa_url: str) -> Path:
    """Writes the handle distributor's configuration; returns its path."""
    tables: dict[str, dict[str, _Value]] = {
        "": {
            "name": DISTRIBUTOR,
            "signing_key": str(run.private_key("distributor")),
            "state_file": "handle.cose",
            "interval_s": HANDLE_EVERY_S,
            "lifetime_s": HANDLE_LIFETIME_S,
        },
        "tsa": {"urls": [tsa_url], "roots": [str(run.tsa / ROOT_FILE)]},
        "mqtt": {"host": HOST, "port": port},
    }
    return _write(run.distributor / "distributor.toml", tables)


def write_device(run: RunDirectory, device: Device, port: int) -> Path:
    """Writes the configuration of a device's agent; returns its path."""
    tables: dict[str, dict[str, _Value]] = {
        "": {"name": device.name, "state": "agent.db", "boot_id_file": BOOT_ID},
        "mqtt": {"host": HOST, "port": port},
        "tpm": {"tcti": device.tcti, "ak_algorithm": device.ak_algorithm},
        "evidence": {"pcrs": "sha256:0-10", "heartbeat_s": HEARTBEAT_S, "log_poll_s": 0.5},
        "logs": {"tcg2": "binary_bios_measurements", "ima": "binary_runtime_measurements"},
        "trust": {
            "distributor_keys": [str(run.public_key("distributor"))],
            "tsa_roots": [str(run.tsa / ROOT_FILE)],
            "verifier_keys": [str(run.public_key("verifier"))],
        },
    }
    return _write(device.configuration, tables)


def write_verifier(run: RunDirectory, port: int, tsa_url: str) -> Path:
    """Writes the verifier worker's configuration and its appraisal policy; returns the configuration's path."""
    policy: dict[str, dict[str, _Value]] = {
        "": {
            "id": POLICY,
            "version": 1,
            "pcrs": "sha256:0-10",
            "reference_values": [FIRMWARE_VALUES, FILE_VALUES],
            "deadline_s": DEADLINE_S,
            "result_lifetime_s": 60,
            "max_age_s": 30,
            "drift_ppm": 150_000,
        },
        "logs": {"tcg2": list(range(10)), "ima": [10]},
    }
    _write(run.verifier / "policy.toml", policy)
    tables: dict[str, dict[str, _Value]] = {
        "": {
            "name": VERIFIER,
            "signing_key": str(run.private_key("verifier")),
            "database": "state.db",
            "audit_log": "audit",
            "policy": "policy.toml",
        },
        "audit": {"signing_key": str(run.private_key("audit")), "checkpoint_interval_s": CHECKPOINT_EVERY_S},
        "audit.tsa": {"urls": [tsa_url]},
        "mqtt": {"host": HOST, "port": port},
        "trust": {
            "endorser_keys": [str(run.public_key("endorser"))],
            "distributor_keys": [str(run.public_key("distributor"))],
            "tsa_roots": [str(run.tsa / ROOT_FILE)],
        },
    }
    return _write(run.verifier / "verifier.toml", tables)


def write_dashboard(run: RunDirectory, port: int, web_port: int) -> Path:
    """Writes the dashboard's configuration; returns its path."""
    tables: dict[str, dict[str, _Value]] = {
        "": {"verifier_keys": [str(run.public_key("verifier"))]},
        "mqtt": {"host": HOST, "port": port},
        "trust": {
            "distributor_keys": [str(run.public_key("distributor"))],
            "tsa_roots": [str(run.tsa / ROOT_FILE)],
        },
        "web": {"listen": f"{HOST}:{web_port}"},
    }
    return _write(run.verifier / "dashboard.toml", tables)


def _write(path: Path, tables: Mapping[str, Mapping[str, _Value]]) -> Path:
    path.write_text(toml(tables), encoding="utf-8")
    return path
