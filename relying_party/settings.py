"""Settings of the relying party's commands: the broker, and the verifiers to trust."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from runtime.keys import load_public_keys
from runtime.mqtt import MqttSettings
from runtime.settings import naming
from schemas.errors import ConfigError

ROLE: Final = "relying-party"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One TOML file, or the options of the command line.

    Attributes:
        verifier_keys: PEM or JWKS files with the public keys of the trusted verifiers.
        mqtt: the broker.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
    """

    verifier_keys: tuple[Path, ...]
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    log_level: str = "warning"

    def __post_init__(self) -> None:
        """Checks that there is a trusted verifier."""
        check_verifier_keys(self.verifier_keys)


def load_verifier_keys(files: Sequence[Path]) -> Mapping[bytes, EllipticCurvePublicKey]:
    """The public keys of the trusted verifiers, by key id.

    Raises:
        ConfigError: a key file is missing or holds no key.
    """
    with naming("verifier_keys"):
        return load_public_keys(files)


def check_verifier_keys(files: Sequence[Path]) -> None:
    """Checks that the settings name a trusted verifier.

    Raises:
        ConfigError: they name no key file.
    """
    if not files:
        raise ConfigError("verifier_keys: empty; without a trusted verifier no result can be verified")
