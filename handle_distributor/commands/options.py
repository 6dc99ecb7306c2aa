"""Options and checks that several commands share."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from handle_distributor.settings import ROLE, Settings
from runtime.keys import load_public_keys, load_signing_key
from runtime.settings import load, naming
from runtime.telemetry import configure_logging
from schemas.codecs import cose


def add_config(command: argparse.ArgumentParser) -> None:
    """Adds ``--config``."""
    command.add_argument("--config", type=Path, required=True, help="the TOML file")


def read_settings(path: Path) -> Settings:
    """Reads the TOML file and sets the log level that it names.

    Raises:
        ConfigError: names the file and the field.
    """
    configure_logging(ROLE, "warning")
    settings = load(path, Settings, ROLE)
    configure_logging(ROLE, settings.log_level)
    return settings


def trusted_keys(settings: Settings | None, paths: Sequence[Path]) -> Mapping[bytes, EllipticCurvePublicKey]:
    """The keys that handles may be signed with, by key id: those in files, and the configured distributor's own.

    Raises:
        ConfigError: a file is missing or is not such a key.
    """
    own = {}
    if settings is not None:
        with naming("signing_key"):
            public = load_signing_key(settings.signing_key).public_key()
        own[cose.key_id(public)] = public
    return load_public_keys(paths) | own
