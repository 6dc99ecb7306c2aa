"""Settings of the alert service: the trusted verifiers, the rules, the receivers."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from relying_party.alerts.rules import Rule
from relying_party.alerts.silence import SilenceSettings
from relying_party.alerts.storms import StormSettings
from relying_party.settings import check_verifier_keys
from runtime.mqtt import MqttSettings
from runtime.settings import check_name_setting
from runtime.telemetry import check_metrics_address
from schemas.errors import ConfigError
from schemas.messages.alert import Condition

ROLE: Final = "relying-party-alerts"
MQTT_RECEIVER: Final = "mqtt"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_ALL_BAD: Final = tuple(each.value for each in Condition if each is not Condition.AFFIRMING)
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """One of ``[[rules]]``; the first that matches an attester decides. The fields are those of :class:`Rule`."""

    name: str
    policies: tuple[str, ...] = ()
    attesters: tuple[str, ...] = ()
    to: tuple[str, ...] = _ALL_BAD
    recovery: bool = True
    reasons: bool = True
    hold_s: float = 30.0
    receivers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name_setting(self.name)
        for condition in self.to:
            if condition not in _ALL_BAD:
                raise ConfigError(f"to: {condition!r}, expected some of {', '.join(_ALL_BAD)}")
        if self.hold_s < 0:
            raise ConfigError(f"hold_s: {self.hold_s:g}, expected 0 or more")

    @property
    def rule(self) -> Rule:
        """The same as a :class:`Rule`."""
        return Rule(
            name=self.name,
            policies=self.policies,
            attesters=self.attesters,
            to=frozenset(map(Condition, self.to)),
            recovery=self.recovery,
            reasons=self.reasons,
            hold_s=self.hold_s,
            receivers=self.receivers,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """One of ``[[webhooks]]``: gets each alert once, signed according to Standard Webhooks.

    Attributes:
        name: for rules, metrics and log lines.
        url: of the receiver; https, or http on this machine.
        secret_file: ``whsec_`` and base64 of 24 to 64 bytes.
        ca_file: certificates to trust instead of the system's.
        plain_http: allow http to another machine: anyone in between can read and drop alerts, but not forge one.
        timeout_s: for each step of a delivery; three times as long for a whole delivery.
        retry_first_s, retry_last_s: shortest and longest pause between tries.
        give_up_after_s: age at which an undelivered alert is set aside.
    """

    name: str
    url: str
    secret_file: Path
    ca_file: Path | None = None
    plain_http: bool = False
    timeout_s: float = 10.0
    retry_first_s: float = 1.0
    retry_last_s: float = 300.0
    give_up_after_s: float = _DAY_S

    def __post_init__(self) -> None:
        check_name_setting(self.name)
        _check_url(self.url, plain_http=self.plain_http)
        _check_positive(self, "timeout_s", "retry_first_s", "retry_last_s", "give_up_after_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerSettings:
    """One of ``[[alertmanagers]]``: gets all open alerts, repeatedly, and the closed ones.

    Attributes:
        name: for rules, metrics and log lines.
        url: of Alertmanager, without ``/api/v2/alerts``; https, or http on this machine.
        ca_file: certificates to trust instead of the system's.
        bearer_token_file: for an Alertmanager behind a proxy that asks for one.
        plain_http: allow http to another machine; these alerts are not signed, so anyone in between can forge them.
        timeout_s: as for webhooks.
        resend_s: how often open alerts are sent again; well below Alertmanager's ``resolve_timeout``.
        stands_s: how long an open alert stays open there after the last resend, so that it outlives this service.
    """

    name: str
    url: str
    ca_file: Path | None = None
    bearer_token_file: Path | None = None
    plain_http: bool = False
    timeout_s: float = 10.0
    resend_s: float = 60.0
    stands_s: float = _DAY_S

    def __post_init__(self) -> None:
        check_name_setting(self.name)
        _check_url(self.url, plain_http=self.plain_http)
        _check_positive(self, "timeout_s", "resend_s")
        if self.stands_s < 2 * self.resend_s:
            raise ConfigError(f"stands_s: {self.stands_s:g}, expected twice resend_s or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """One TOML file.

    Attributes:
        verifier_keys: PEM or JWKS files with the public keys of the trusted verifiers.
        database: file for results, reports, open alerts and queues.
        mqtt: the broker.
        publish: also publish alerts on ``alerts/<ueid>`` and ``alerts/fleet``.
        rules: the changes to report; without rules, all.
        webhooks, alertmanagers: the receivers.
        storm: when changes of many attesters become one alert.
        silence: when to report a lost broker or a silent verifier.
        gather_s: seconds between ticks; changes within one tick are judged together.
        max_queued: alerts that may wait for one receiver; beyond that the oldest is set aside.
        metrics_port: port of ``/metrics``, ``/healthz`` and ``/readyz``; 0 for none.
        metrics_host: the address it listens on; no login protects it.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
    """

    verifier_keys: tuple[Path, ...]
    database: Path
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    publish: bool = True
    rules: tuple[RuleSettings, ...] = field(default_factory=lambda: (RuleSettings(name="all"),))
    webhooks: tuple[WebhookSettings, ...] = ()
    alertmanagers: tuple[AlertmanagerSettings, ...] = ()
    storm: StormSettings = field(default_factory=StormSettings)
    silence: SilenceSettings = field(default_factory=SilenceSettings)
    gather_s: float = 2.0
    max_queued: int = 10_000
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    log_level: str = "info"

    def __post_init__(self) -> None:
        """Checks the settings that depend on each other."""
        check_metrics_address(self.metrics_port, self.metrics_host)
        check_verifier_keys(self.verifier_keys)
        _check_positive(self, "gather_s", "max_queued")
        _check_positive(self.storm, "attesters", "window_s", where="storm.")
        if self.storm.window_s < self.gather_s:
            raise ConfigError(f"storm.window_s: {self.storm.window_s:g}, expected gather_s ({self.gather_s:g}) or more")
        names = self.receivers
        if not names:
            raise ConfigError("no receiver: name [[webhooks]] or [[alertmanagers]], or set publish = true")
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"receiver {name!r}: two have this name")
        for rule in self.rules:
            unknown = set(rule.receivers) - set(names)
            if unknown:
                raise ConfigError(f"rules: {rule.name}: receivers: {min(unknown)!r}, known are {', '.join(names)}")
        rules = [rule.name for rule in self.rules]
        if len(set(rules)) < len(rules):
            raise ConfigError("rules: two have the same name")

    @property
    def receivers(self) -> list[str]:
        """The names of all receivers."""
        named = [*(each.name for each in self.webhooks), *(each.name for each in self.alertmanagers)]
        return [*named, MQTT_RECEIVER] if self.publish else named


def _check_url(url: str, *, plain_http: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"url: {error}") from error
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url:
        raise ConfigError("url: expected https://host/path")
    if parts.username is not None or parts.fragment:
        raise ConfigError("url: expected neither a password nor a fragment in it")
    if parts.scheme == "http" and not plain_http and host not in _LOOPBACK:
        raise ConfigError("url: http to another machine; use https, or set plain_http = true if you accept the risk")


def _check_positive(settings: object, *fields: str, where: str = "") -> None:
    for name in fields:
        value = getattr(settings, name)
        if value <= 0:
            raise ConfigError(f"{where}{name}: {value:g}, expected more than 0")
