"""The option ``--config``, which all commands but ``show`` have."""

import argparse
from pathlib import Path

from attester_agent.settings import COMMAND, Settings
from runtime.settings import load
from runtime.telemetry import configure_logging


def add_config(parser: argparse.ArgumentParser) -> None:
    """Adds ``--config``."""
    parser.add_argument("--config", type=Path, required=True, help="TOML file")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Reads the configuration file and sets up logging.

    Raises:
        ConfigError: names the file and the setting that is wrong.
    """
    settings = load(arguments.config, Settings, COMMAND)
    configure_logging(COMMAND, settings.log_level)
    return settings
