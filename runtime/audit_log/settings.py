"""Settings of an audit log's writer: the table ``[audit]``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.time_stamps.address import parse_tsa_urls
from schemas.errors import ConfigError, as_config_error
from schemas.tlog.signed_note import check_key_name

_MIN_INTERVAL_S = 0.05
_MAX_RETENTION_DAYS = 36_500


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTsaSettings:
    """The TSAs that stamp checkpoints (table ``[audit.tsa]``).

    Attributes:
        urls: Time Stamp Authorities (RFC 3161 over HTTP), in the order in which they are asked; empty for no stamps.
        roots: PEM files of their root certificates; empty for the roots that the service trusts for other stamps.
        timeout_s: for one exchange with one TSA.
        tls_ca_file: PEM roots for https URLs; the operating system's if not given.
    """

    urls: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    timeout_s: float = 5.0
    tls_ca_file: Path | None = None

    def __post_init__(self) -> None:
        parse_tsa_urls(self.urls)
        if self.timeout_s <= 0:
            raise ConfigError(f"timeout_s: {self.timeout_s:g}, expected more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """How an audit log is written (table ``[audit]``).

    Attributes:
        signing_key: PEM file of the Ed25519 key that signs checkpoints.
        origin: the audit log's name, which is part of its verifier key; by default the name in the file ``KEY.vkey``
            that was made with the key.
        memory: file that remembers the last signed tree head; by default beside the key.
        store: URL of an S3-compatible store (``s3://bucket/prefix``) for the audit log; then only its journal is in
            ``audit_log``. By default everything is there.
        store_options: of that store, such as ``endpoint`` and ``region``; credentials come from the environment.
        checkpoint_interval_s: how often new entries are sequenced and a checkpoint is published and stamped.
        retention_days: evidence older than this is deleted; 0 keeps it for ever.
        tsa: the TSAs that stamp checkpoints.
    """

    signing_key: Path | None = None
    origin: str | None = None
    memory: Path | None = None
    store: str | None = None
    store_options: Mapping[str, str] = field(default_factory=dict)
    checkpoint_interval_s: float = 10.0
    retention_days: int = 0
    tsa: AuditTsaSettings = field(default_factory=AuditTsaSettings)

    def __post_init__(self) -> None:
        if self.checkpoint_interval_s < _MIN_INTERVAL_S:
            raise ConfigError(
                f"checkpoint_interval_s: {self.checkpoint_interval_s:g}, expected {_MIN_INTERVAL_S:g} or more"
            )
        if not 0 <= self.retention_days <= _MAX_RETENTION_DAYS:
            raise ConfigError(f"retention_days: {self.retention_days}, expected 0 to {_MAX_RETENTION_DAYS}")
        if self.origin is not None:
            with as_config_error("origin"):
                check_key_name(self.origin)

    def key_path(self, made_by: str) -> Path:
        """The signing key's file.

        Raises:
            ConfigError: it is not set; the message explains how to make one.
        """
        if self.signing_key is None:
            problem = "audit.signing_key: missing; an audit log is signed by a key of its own, make it with"
            raise ConfigError(f'{problem} {made_by}, and write [audit] signing_key = "audit.key"')
        return self.signing_key

    def memory_path(self, made_by: str) -> Path:
        """The file that remembers the last signed tree head."""
        return self.memory or self.key_path(made_by).with_suffix(".signed")
