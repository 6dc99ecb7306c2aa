"""The distributor's configuration file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runtime.mqtt import MqttSettings
from runtime.settings import check_name_setting
from runtime.telemetry import check_metrics_address
from runtime.time_stamps.address import TsaAddress, parse_tsa_urls
from schemas.errors import ConfigError
from schemas.instants import SECOND_US
from schemas.messages.handle import MAX_ACCURACY_US, MAX_LIFETIME_S
from schemas.topics import Role

ROLE: Final = Role.HANDLE_DISTRIBUTOR
_MAX_TIMEOUT_S: Final = 25.0  # a handle allows 60 s between its marker and its stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class TsaSettings:
    """Table ``[tsa]``.

    Attributes:
        urls: Time Stamp Authorities (RFC 3161 over HTTP), in the order in which they are tried.
        roots: PEM files of their root certificates; attesters and verifiers trust the same files.
        intermediates: PEM files of intermediate certificates, if the TSAs do not send them.
        timeout_s: for one whole exchange with one TSA.
        max_clock_offset_s: how far a TSA's clock and this machine's may be apart; beyond it the TSA's time is refused.
        required_agreement: how many TSAs must agree on the time, including the one that stamps.
        tls_ca_file: PEM roots for https URLs; the operating system's if not given.
    """

    urls: tuple[str, ...]
    roots: tuple[Path, ...]
    intermediates: tuple[Path, ...] = ()
    timeout_s: float = 5.0
    max_clock_offset_s: float = 5.0
    required_agreement: int = 1
    tls_ca_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.urls:
            raise ConfigError("urls: empty; name at least one Time Stamp Authority")
        _ = self.addresses
        if not self.roots:
            raise ConfigError("roots: empty; no stamp could be verified")
        if not 0 < self.timeout_s <= _MAX_TIMEOUT_S:
            raise ConfigError(f"timeout_s: {self.timeout_s:g}, expected more than 0 and at most {_MAX_TIMEOUT_S:g}")
        if not 0 < self.max_clock_offset_s <= MAX_ACCURACY_US / SECOND_US:
            raise ConfigError(
                f"max_clock_offset_s: {self.max_clock_offset_s:g}, expected more than 0 and at most "
                f"{MAX_ACCURACY_US / SECOND_US:g}"
            )
        if not 1 <= self.required_agreement <= len(self.urls):
            raise ConfigError(
                f"required_agreement: {self.required_agreement}, expected 1 to {len(self.urls)} (the number of urls)"
            )

    @property
    def addresses(self) -> tuple[TsaAddress, ...]:
        """``urls``, parsed."""
        return parse_tsa_urls(self.urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One handle distributor.

    Attributes:
        name: the issuer in handles, and the last level of their topic.
        signing_key: PEM file of the P-256 key that signs handles (``handle-distributor keygen`` makes one).
        state_file: keeps the last handle, so that the chain continues after a restart; made if missing.
        tsa: the Time Stamp Authorities.
        interval_s: time between two handles.
        lifetime_s: how long a handle is accepted: the interval, plus the longest outage to bridge.
        metrics_port: serves metrics, ``/healthz`` and ``/readyz``; 0 for no port.
        metrics_host: the address on which that port listens; anyone who reaches it can read the service's health.
        log_level: debug, info, warning or error.
        mqtt: the broker.
    """

    name: str
    signing_key: Path
    state_file: Path
    tsa: TsaSettings
    interval_s: float = 60.0
    lifetime_s: int = 300
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    log_level: str = "info"
    mqtt: MqttSettings = field(default_factory=MqttSettings)

    def __post_init__(self) -> None:
        check_name_setting(self.name)
        check_metrics_address(self.metrics_port, self.metrics_host)
        if self.interval_s <= 0:
            raise ConfigError(f"interval_s: {self.interval_s:g}, expected more than 0")
        if not self.interval_s < self.lifetime_s <= MAX_LIFETIME_S:
            raise ConfigError(
                f"lifetime_s: {self.lifetime_s}, expected more than interval_s ({self.interval_s:g}) "
                f"and at most {MAX_LIFETIME_S}"
            )
