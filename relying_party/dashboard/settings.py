"""Settings of the dashboard: the trusted signers, the broker, the web server, the login."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from relying_party.settings import check_verifier_keys
from runtime.mqtt import MqttSettings
from runtime.telemetry import check_metrics_address
from schemas.errors import ConfigError

MAX_PORT: Final = 65_535
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandleTrust:
    """The signers of handles that are shown as verified (table ``[trust]``); without both, no handle is.

    Attributes:
        distributor_keys: PEM or JWKS files of the handle distributors.
        tsa_roots: PEM files with the root certificates of the TSAs.
    """

    distributor_keys: tuple[Path, ...] = ()
    tsa_roots: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.distributor_keys) != bool(self.tsa_roots):
            raise ConfigError("distributor_keys, tsa_roots: each needs the other")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Where the page is served (table ``[web]``).

    Attributes:
        listen: ``ADDRESS:PORT``; port 0 takes a free one. Any address but the loopback needs a login.
        hosts: further names by which browsers may call this server, for example behind a reverse proxy.
        certificate_file, key_file: PEM, for HTTPS.
        https_in_front: a reverse proxy speaks HTTPS for this server: cookies are marked secure.
        trusted_proxies: addresses of reverse proxies that are trusted to state the client's address.
        max_viewers: pages that may follow at the same time.
    """

    listen: str = "127.0.0.1:8080"
    hosts: tuple[str, ...] = ()
    certificate_file: Path | None = None
    key_file: Path | None = None
    https_in_front: bool = False
    trusted_proxies: tuple[str, ...] = ()
    max_viewers: int = 64

    def __post_init__(self) -> None:
        _ = self.address
        if (self.certificate_file is None) != (self.key_file is None):
            raise ConfigError("certificate_file, key_file: each needs the other")
        if self.max_viewers < 1:
            raise ConfigError(f"max_viewers: {self.max_viewers}, expected at least 1")

    @property
    def address(self) -> tuple[str, int]:
        """Address and port of ``listen``."""
        host, colon, port = self.listen.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not port.isdecimal() or int(port) > MAX_PORT:
            raise ConfigError(f"listen: {self.listen!r}, expected ADDRESS:PORT")
        return host, int(port)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        host = self.address[0]
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def is_https(self) -> bool:
        """Whether browsers reach it only by HTTPS."""
        return self.certificate_file is not None or self.https_in_front


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """Login by an OpenID Connect provider, authorization code with PKCE (table ``[oidc]``).

    Attributes:
        issuer: its URL; ``/.well-known/openid-configuration`` is read below it.
        client_id: of this dashboard at the provider.
        client_secret_file: its secret; a public client has none.
        redirect_uri: our ``/login/oidc/callback`` as the provider knows it; needed behind a reverse proxy.
        role_claim: the claim of the ID token that holds roles or groups.
        auditors, viewers: the values of that claim that make a person an auditor or a viewer.
        scope: the requested scope.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret_file: Path | None = None
    redirect_uri: str = ""
    role_claim: str = "roles"
    auditors: tuple[str, ...] = ()
    viewers: tuple[str, ...] = ()
    scope: str = "openid profile"

    def __post_init__(self) -> None:
        if not self.is_on:
            return
        local = any(self.issuer.startswith(f"http://{name}") for name in ("127.0.0.1", "localhost", "[::1]"))
        if not self.issuer.startswith("https://") and not local:
            raise ConfigError(f"issuer: {self.issuer!r}, expected an https URL")
        if not self.client_id:
            raise ConfigError("client_id: missing")
        if not self.auditors and not self.viewers:
            raise ConfigError("auditors, viewers: both empty, so nobody could log in")

    @property
    def is_on(self) -> bool:
        """Whether there is a provider."""
        return bool(self.issuer)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSettings:
    """Passwords and sessions (table ``[login]``).

    Attributes:
        users_file: made by ``relying-party dashboard-user add``.
        session_key_file: at least 32 random bytes that sign sessions; without it sessions end with the process.
        session_hours: maximum length of a session.
    """

    users_file: Path | None = None
    session_key_file: Path | None = None
    session_hours: float = 12.0

    def __post_init__(self) -> None:
        if not 0 < self.session_hours <= 24 * 31:
            raise ConfigError(f"session_hours: {self.session_hours:g}, expected more than 0, at most 744")


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardSettings:
    """One TOML file, or the options of the command line.

    Attributes:
        verifier_keys: PEM or JWKS files with the public keys of the trusted verifiers.
        mqtt: the broker.
        trust: the trusted signers of handles.
        web: the web server.
        login: passwords and sessions.
        oidc: login by an identity provider.
        metrics_port: port of ``/metrics``, ``/healthz`` and ``/readyz``; 0 for none.
        metrics_host: the address it listens on; no login protects it.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
    """

    verifier_keys: tuple[Path, ...]
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    trust: HandleTrust = field(default_factory=HandleTrust)
    web: WebSettings = field(default_factory=WebSettings)
    login: LoginSettings = field(default_factory=LoginSettings)
    oidc: OidcSettings = field(default_factory=OidcSettings)
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    log_level: str = "warning"

    def __post_init__(self) -> None:
        check_metrics_address(self.metrics_port, self.metrics_host)
        check_verifier_keys(self.verifier_keys)
        if not self.web.is_local and not self.has_login:
            raise ConfigError(
                f"web.listen: {self.web.listen} can be reached from other machines, and there is no login; "
                "add a login: users_file in [login] (relying-party dashboard-user add NAME --role viewer --file FILE), "
                "or an identity provider in [oidc]; or listen on 127.0.0.1"
            )

    @property
    def has_login(self) -> bool:
        """Whether people have to log in."""
        return self.login.users_file is not None or self.oidc.is_on
