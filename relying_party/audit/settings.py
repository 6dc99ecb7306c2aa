"""The settings file of ``relying-party audit record``."""

from dataclasses import dataclass, field
from pathlib import Path

from runtime.audit_log.settings import AuditSettings
from runtime.audit_log.writer import AuditPlace
from runtime.mqtt import MqttSettings
from runtime.settings import check_name_setting
from runtime.telemetry import check_metrics_address
from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderTrust:
    """The signers to trust (table ``[trust]``); messages signed by others are not recorded.

    Attributes:
        verifier_keys: public keys of verifiers, PEM or JWKS files.
        distributor_keys: public keys of handle distributors.
        endorser_keys: public keys of endorsers.
        tsa_roots: root certificates of Time Stamp Authorities.
    """

    verifier_keys: tuple[Path, ...]
    distributor_keys: tuple[Path, ...]
    endorser_keys: tuple[Path, ...]
    tsa_roots: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderSettings:
    """One recorder.

    Attributes:
        name: of this recorder; in the client ids, so it must stay the same.
        audit_log: folder of the audit log; created if missing.
        audit: how it is signed, stamped and kept.
        trust: the signers to trust.
        evidence_wait_s: how long evidence waits for a result.
        result_wait_s: how long a result waits for its evidence.
        waiting_max: evidence messages that may wait; less than the broker's ``receive_maximum``.
        metrics_port: port of ``/metrics``, ``/healthz`` and ``/readyz``; 0 for none.
        metrics_host: the address it listens on; no login protects it.
        log_level: debug, info, warning or error.
        mqtt: the broker.
    """

    name: str
    audit_log: Path
    trust: RecorderTrust
    audit: AuditSettings = field(default_factory=AuditSettings)
    evidence_wait_s: float = 60.0
    result_wait_s: float = 2.0
    waiting_max: int = 500
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    log_level: str = "info"
    mqtt: MqttSettings = field(default_factory=MqttSettings)

    def __post_init__(self) -> None:
        check_metrics_address(self.metrics_port, self.metrics_host)
        check_name_setting(self.name)
        if not 0 < self.waiting_max < self.mqtt.receive_maximum:
            limit = self.mqtt.receive_maximum - 1
            raise ConfigError(f"waiting_max: {self.waiting_max}, expected 1 to {limit} (below mqtt.receive_maximum)")
        if self.evidence_wait_s <= 0 or self.result_wait_s < 0:
            raise ConfigError("evidence_wait_s, result_wait_s: expected more than 0")

    @property
    def place(self) -> AuditPlace:
        """Where and how the audit log is written."""
        return AuditPlace(
            folder=self.audit_log,
            settings=self.audit,
            made_by="verifier-worker keygen --audit --out audit.key",
            tsa_roots=self.trust.tsa_roots,
        )
