"""Options that several commands share: the verifiers to trust, and the broker; they override the settings file."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from relying_party.settings import ROLE, Settings
from runtime import settings as settings_files
from runtime.mqtt import MqttSettings
from runtime.settings import naming
from runtime.telemetry import LEVELS, configure_logging
from schemas.errors import ConfigError

_DEFAULT: Final = MqttSettings()
_BROKER_FIELDS: Final = ("host", "port", "root", "username", "password_file", "ca_file")


def add_trust_options(command: argparse.ArgumentParser, *, broker: bool) -> None:
    """Adds the settings file and the options that override it: the keys and, where ``broker``, the broker."""
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML: verifier_keys, [mqtt]; the options here override it"
    )
    command.add_argument(
        "--verifier-key", type=Path, action="append", default=[], help="public keys to trust: a PEM or JWKS file"
    )
    if broker:
        command.add_argument("--host", help=f"the broker (default: {_DEFAULT.host})")
        command.add_argument("--port", type=int, help=f"its port (default: {_DEFAULT.port})")
        command.add_argument("--root", help=f"first levels of all topics (default: {_DEFAULT.root})")
        command.add_argument("--username", help="for a broker that asks for one")
        command.add_argument("--password-file", type=Path, metavar="FILE", help="its password")
        command.add_argument("--ca-file", type=Path, metavar="PEM", help="TLS, with a broker under these certificates")
    command.add_argument("--log-level", choices=LEVELS, help="on standard error (default: warning)")


@contextmanager
def trust_settings(options: argparse.Namespace) -> Iterator[Settings]:
    """The settings of one command, with logging configured; a :class:`ConfigError` inside names the settings file.

    Raises:
        ConfigError: no key is named, or the file or an option is wrong.
    """
    if options.config is not None:
        settings = settings_files.load(options.config, Settings, ROLE)
    elif options.verifier_key:
        settings = Settings(verifier_keys=tuple(options.verifier_key))
    else:
        raise missing_key()
    settings = replace(settings, **changes_by(options, settings.mqtt))
    configure_logging(ROLE, settings.log_level)
    with naming(options.config or "command line"):
        yield settings


def changes_by(options: argparse.Namespace, mqtt: MqttSettings) -> dict[str, Any]:
    """The fields of settings that the options of :func:`add_trust_options` change.

    Args:
        options: of the command line.
        mqtt: the broker before the change.

    Raises:
        ConfigError: an option is wrong.
    """
    changes: dict[str, Any] = {}
    if options.verifier_key:
        changes["verifier_keys"] = tuple(options.verifier_key)
    if options.log_level is not None:
        changes["log_level"] = options.log_level
    given = {name: value for name in _BROKER_FIELDS if (value := getattr(options, name, None)) is not None}
    if given:
        changes["mqtt"] = replace(mqtt, **given)
    return changes


def missing_key() -> ConfigError:
    """The error when neither a settings file nor an option names a trusted verifier."""
    return ConfigError("--verifier-key: missing (or --config); without it no result can be verified")
