"""Settings of a worker: one TOML file."""

from dataclasses import dataclass, field
from pathlib import Path

from runtime.audit_log.settings import AuditSettings
from runtime.monitoring.tracing import TracingSettings
from runtime.mqtt import MqttSettings
from runtime.settings import check_name_setting
from runtime.telemetry import check_metrics_address
from schemas.errors import ConfigError
from schemas.messages.key_scope import KeyScope
from schemas.messages.result_token import ResultFormat
from schemas.messages.trust_objects import TRUST_OBJECTS
from schemas.topics import TopicKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopedKeys:
    """Endorsers' keys and what they may sign (table ``[[trust.endorsers]]``).

    Attributes:
        keys: public keys; PEM files.
        kinds: ``endorsements``, ``reference-values``, ``policies``, ``statements``; all by default.
        names: of sets and policies; ``*`` matches any characters. All by default.
        groups: of attesters; ``*`` is every group that no policy names. All by default.
    """

    keys: tuple[Path, ...]
    kinds: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        signed = [kind for kind in TRUST_OBJECTS if kind != TopicKind.HANDLES]
        for kind in self.kinds or ():
            if kind not in signed:
                raise ConfigError(f"trust.endorsers: kinds: {kind!r}, expected {', '.join(signed)}")
        if not self.keys:
            raise ConfigError("trust.endorsers: keys: empty; name at least one PEM file")

    @property
    def scope(self) -> KeyScope:
        """The scope."""
        return KeyScope(
            kinds=None if self.kinds is None else frozenset(map(TopicKind, self.kinds)),
            names=self.names,
            groups=None if self.groups is None else frozenset(self.groups),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettings:
    """The worker's trust anchors (table ``[trust]``); PEM files.

    Attributes:
        endorser_keys: public keys of endorsers that may sign everything.
        endorsers: public keys of endorsers with scopes.
        distributor_keys: public keys of handle distributors.
        tsa_roots: root certificates of Time Stamp Authorities.
    """

    endorser_keys: tuple[Path, ...] = ()
    distributor_keys: tuple[Path, ...]
    tsa_roots: tuple[Path, ...]
    endorsers: tuple[ScopedKeys, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One worker.

    Attributes:
        name: of this verifier, in results, topics and the client id.
        signing_key: PEM file of the key that signs results and solicits.
        database: SQLite file.
        audit_log: folder of the audit log; created if missing.
        audit: how the audit log is signed, stamped and kept.
        policy: TOML file of the appraisal policy; without one every result is ``none``.
        metrics_port: of metrics, ``/healthz`` and ``/readyz``; 0 to serve none.
        metrics_host: address on which that port listens; anyone who reaches it can read the state of the service.
        log_level: debug, info, warning or error.
        batch_max: messages in one transaction.
        queue_max: messages waiting in memory; more than the broker's ``receive_maximum``.
        solicit_interval_s: least time between two solicits to one attester; doubles with each that was not answered.
        cached_states: attesters whose state is kept in memory.
        result_format: ``jwt`` or ``cwt``.
    """

    name: str
    signing_key: Path
    database: Path
    audit_log: Path
    trust: TrustSettings
    policy: Path | None = None
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    log_level: str = "info"
    batch_max: int = 256
    queue_max: int = 4096
    solicit_interval_s: float = 5.0
    cached_states: int = 20_000
    result_format: str = ResultFormat.JWT
    audit: AuditSettings = field(default_factory=AuditSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)

    def __post_init__(self) -> None:
        check_name_setting(self.name)
        check_metrics_address(self.metrics_port, self.metrics_host)
        if self.result_format not in set(ResultFormat):
            raise ConfigError(f"result_format: {self.result_format!r}, expected {' or '.join(ResultFormat)}")
        if self.queue_max <= self.mqtt.receive_maximum:
            raise ConfigError(
                f"queue_max: {self.queue_max}, expected more than mqtt.receive_maximum ({self.mqtt.receive_maximum})"
            )
        for name, value in (("batch_max", self.batch_max), ("cached_states", self.cached_states)):
            if value < 1:
                raise ConfigError(f"{name}: {value}, expected 1 or more")
