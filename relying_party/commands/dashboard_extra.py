"""Loads modules that need the extra ``dashboard``, so that other commands run without it."""

import importlib
from typing import Any

from schemas.errors import ConfigError


def loaded(module: str) -> Any:  # noqa: ANN401 a module
    """A module of ``relying_party.dashboard``.

    Raises:
        ConfigError: the extra is not installed; names the missing package.
    """
    try:
        return importlib.import_module(f"relying_party.dashboard.{module}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in {"relying_party", "runtime", "schemas"}:
            raise
        raise ConfigError(f"{error.name} is not installed: pip install 'attestream[dashboard]'") from error
