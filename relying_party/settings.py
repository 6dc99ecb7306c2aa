"""Settings of the relying party's tools: where the broker is, and whose results count."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runtime.mqtt import MqttSettings
from schemas.errors import ConfigError

ROLE: Final = "relying-party"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One TOML file, or the options of the command line.

    Attributes:
        verifier_keys: PEM or JWKS files with the public keys of the verifiers to believe.
        mqtt: the broker.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
    """

    verifier_keys: tuple[Path, ...]
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    log_level: str = "warning"

    def __post_init__(self) -> None:
        """Checks that somebody is believed at all."""
        if not self.verifier_keys:
            raise ConfigError("verifier_keys: empty; without a trusted verifier no result can be believed")
