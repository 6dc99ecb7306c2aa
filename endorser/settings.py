"""The configuration file of the enrolment service and of the commands that work on its registry."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from endorser.core.endorsements import DAY_S
from endorser.core.enrolment import ApprovalRule
from runtime.mqtt import MqttSettings
from runtime.settings import check_name_setting
from runtime.telemetry import check_metrics_address
from schemas.errors import ConfigError
from schemas.messages.endorsement import MAX_GROUP_BYTES
from schemas.topics import Role

ROLE: Final = Role.ENDORSER
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]+")
_MAX_CHALLENGE_LIFETIME_S: Final = 7 * 86_400  # carrying files between device and endorser takes time


def statement_path(key: Path) -> Path:
    """The file of the statement that a key signs: beside the key."""
    return key.with_suffix(".statement")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalSettings:
    """Table ``[approve]``: the devices to endorse without asking. Without it an operator approves each device.

    Attributes:
        roots: names of ``[vendors.roots]``: any genuine TPM under them.
        certificates: serial numbers of EK certificates, hexadecimal.
        keys: SHA-256 of endorsement keys' SubjectPublicKeyInfo, hexadecimal.
    """

    roots: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, values in (("certificates", self.certificates), ("keys", self.keys)):
            for each in values:
                if not _HEXADECIMAL.fullmatch(_plain(each)):
                    raise ConfigError(f"{name}: {each!r}, expected hexadecimal")

    @property
    def rule(self) -> ApprovalRule:
        """The rule, with numbers and digests in the form that the core compares."""
        return ApprovalRule(
            roots=frozenset(self.roots),
            certificates=frozenset(_plain(each).lstrip("0") for each in self.certificates),
            keys=frozenset(map(_plain, self.keys)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorSettings:
    """Table ``[vendors]``: the TPM vendors whose certificates are trusted.

    Attributes:
        roots: PEM or DER files of root certificates, by name.
        iak_roots: likewise, for initial attestation keys (IDevID); if empty, no such key is accepted.
        intermediates: files of intermediate certificates, PEM (several a file) or DER.
        revocations: files of certificate revocation lists, PEM or DER. Read when the service starts.
        require_revocation: refuse certificates whose issuer has no list here.
    """

    roots: Mapping[str, Path] = field(default_factory=dict)
    iak_roots: Mapping[str, Path] = field(default_factory=dict)
    intermediates: tuple[Path, ...] = ()
    revocations: tuple[Path, ...] = ()
    require_revocation: bool = False

    def __post_init__(self) -> None:
        twice = sorted(set(self.roots) & set(self.iak_roots))
        if twice:
            raise ConfigError(f"iak_roots: {twice[0]!r} is a name in roots, too; each root needs a name of its own")
        if not self.roots and not self.iak_roots:
            raise ConfigError("roots: empty; name at least one: example = 'example-root.pem'")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """Table ``[limits]``: limits for requests, because anyone may publish on their topics.

    Attributes:
        requests_per_minute, burst: for all devices together.
        device_requests_per_minute, device_burst: for one topic.
        open_challenges: largest number.
        challenge_lifetime_s: time for a device to answer.
    """

    requests_per_minute: float = 600.0
    burst: int = 100
    device_requests_per_minute: float = 30.0
    device_burst: int = 10
    open_challenges: int = 1000
    challenge_lifetime_s: int = 300

    def __post_init__(self) -> None:
        if min(self.requests_per_minute, self.device_requests_per_minute) <= 0:
            raise ConfigError("requests_per_minute, device_requests_per_minute: expected more than 0")
        if min(self.burst, self.device_burst, self.open_challenges) < 1:
            raise ConfigError("burst, device_burst, open_challenges: expected at least 1")
        if not 1 <= self.challenge_lifetime_s <= _MAX_CHALLENGE_LIFETIME_S:
            raise ConfigError(
                f"challenge_lifetime_s: {self.challenge_lifetime_s}, expected 1 to {_MAX_CHALLENGE_LIFETIME_S}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of an endorser.

    Attributes:
        signing_key: PEM file of the P-256 key that signs endorsements (``endorser keygen`` makes one).
        registry: SQLite file with the enrolled devices; made if missing. Keep backups of it.
        vendors: TPM vendors whose certificates are trusted.
        approve: devices to endorse without asking.
        name: the signer's name in endorsements.
        days: validity of endorsements; a device that enrols again gets a new one.
        statement: file of the statement of what is current, which `endorser publish` uses, too; None for the one beside
            the signing key.
        statement_every_s: a new statement is signed after so many seconds, and at once when a device is revoked.
        group: for new devices' endorsements; None for no group.
        metrics_port: for metrics, ``/healthz`` and ``/readyz``; 0 for none.
        metrics_host: address to listen on; anyone who can reach it can read the metrics.
        log_level: debug, info, warning or error.
    """

    signing_key: Path
    registry: Path
    vendors: VendorSettings
    approve: ApprovalSettings = field(default_factory=ApprovalSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    name: str = ROLE.value
    days: int = 365
    statement: Path | None = None
    statement_every_s: float = 600.0
    group: str | None = None
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    log_level: str = "info"
    mqtt: MqttSettings = field(default_factory=MqttSettings)

    def __post_init__(self) -> None:
        check_name_setting(self.name)
        check_metrics_address(self.metrics_port, self.metrics_host)
        if not 1 <= self.statement_every_s <= DAY_S:
            raise ConfigError(f"statement_every_s: {self.statement_every_s}, expected 1 to {DAY_S}")
        if self.days < 1:
            raise ConfigError(f"days: {self.days}, expected at least 1")
        if self.group is not None and not 0 < len(self.group.encode()) <= MAX_GROUP_BYTES:
            raise ConfigError(f"group: expected 1 to {MAX_GROUP_BYTES} bytes of text")
        unknown = sorted(set(self.approve.roots) - set(self.vendors.roots) - set(self.vendors.iak_roots))
        if unknown:
            raise ConfigError(f"approve.roots: {unknown[0]!r} is not in [vendors.roots] or [vendors.iak_roots]")

    @property
    def statement_file(self) -> Path:
        """The file of the statement."""
        return self.statement or statement_path(self.signing_key)


def _plain(hexadecimal: str) -> str:
    """Hexadecimal digits without colons and in small letters; openssl prints them with colons and in capitals."""
    return hexadecimal.replace(":", "").removeprefix("0x").lower()
