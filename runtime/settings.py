"""Reads a service's TOML file into one frozen dataclass. The only module that reads the environment.

:func:`load` converts a table by the types of the dataclass's fields; a nested table becomes a nested dataclass. A
variable ``ATTESTREAM_<COMMAND>_<TABLE>_<FIELD>`` overrides a field (upper case, ``_`` for ``-``, list items separated
by commas), except in tables by name. An unknown key, a missing key or a wrong type is a ``ConfigError`` that names the
file and the field. Relative paths start at the file's folder. Secrets are never values, but paths of files.
"""

import dataclasses
import math
import os
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from schemas.errors import ConfigError, as_config_error
from schemas.topics import check_name

ENVIRONMENT_PREFIX = "ATTESTREAM"

S = TypeVar("S")


def load(path: Path, settings_type: type[S], role: str) -> S:
    """Reads ``path`` into ``settings_type``.

    Args:
        path: the TOML file.
        settings_type: a dataclass whose fields are str, int, float, bool, Path, tuples of these, optional ones of
            these, tables by name (``Mapping[str, ...]``) of these, or further dataclasses. A field of one of these or
            a dataclass takes either a value or a table.
        role: the command's name, for the prefix of its environment variables.

    Raises:
        ConfigError: names the file, the field and what was expected.
    """
    try:
        table = _parse(path.read_text("utf-8"), path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error
    prefix = f"{ENVIRONMENT_PREFIX}_{role}".upper().replace("-", "_")
    overrides = {name: value for name, value in os.environ.items() if name.startswith(prefix + "_")}
    settings = _build(settings_type, table, _Context(path=path, overrides=overrides), "", prefix)
    if overrides:
        raise ConfigError(f"environment variable {min(overrides)}: {role} has no such setting")
    return settings


def build(text: str, settings_type: type[S], name: str) -> S:
    """Reads TOML text into ``settings_type``; ignores the environment.

    Args:
        text: TOML.
        settings_type: as for :func:`load`, without paths.
        name: of the text, for error messages.

    Raises:
        ConfigError: names the text, the field and what was expected.
    """
    path = Path(name)
    return _build(settings_type, _parse(text, path), _Context(path=path, overrides={}), "", "")


def _parse(text: str, path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not readable TOML: nested too deeply") from error


@contextmanager
def naming(source: object) -> Iterator[None]:
    """Puts ``source``, a file or a setting, in front of the text of a ``ConfigError``."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{source}: {error.detail}") from error


def check_name_setting(name: str, setting: str = "name") -> None:
    """Checks a setting that is a name in topics.

    Raises:
        ConfigError: names the setting.
    """
    with as_config_error(setting):
        check_name(name)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    path: Path
    overrides: dict[str, str]  # each is removed when its field uses it
    used: dict[str, str] = dataclasses.field(
        default_factory=dict
    )  # the variable that set a field, by the field's full name

    def sources(self, where: str, detail: str) -> str:
        """The variables that an error in the table ``where`` names; all variables of that table if it names none."""
        here = {name: variable for name, variable in self.used.items() if name.startswith(where)}
        words = set(re.findall(r"\w+", detail))
        named = {name: variable for name, variable in here.items() if name.rpartition(".")[2] in words} or here
        return "".join(f" ({name} from {variable})" for name, variable in named.items())


def _build(settings_type: type[S], table: Mapping[str, object], context: _Context, where: str, prefix: str) -> S:
    hints = typing.get_type_hints(settings_type)
    values: dict[str, Any] = {}
    remaining = dict(table)
    for item in dataclasses.fields(settings_type):  # type: ignore[arg-type]  # checked by every caller's type
        name, variable = f"{where}{item.name}", f"{prefix}_{item.name}".upper()
        hint = hints[item.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            inner = remaining.pop(item.name, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{context.path}: {name}: expected a table")
            values[item.name] = _build(hint, inner, context, f"{name}.", variable)
        elif variable in context.overrides:
            remaining.pop(item.name, None)
            context.used[name] = variable
            values[item.name] = _from_text(context.overrides.pop(variable), hint, context, f"{name} (from {variable})")
        elif item.name in remaining:
            values[item.name] = _convert(remaining.pop(item.name), hint, context, name)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{context.path}: {name}: missing, expected {_describe(hint)}")
    if remaining:
        known = ", ".join(item.name for item in dataclasses.fields(settings_type))  # type: ignore[arg-type]  # as above
        raise ConfigError(f"{context.path}: {where}{min(remaining)}: unknown key; known here: {known}")
    try:
        return settings_type(**values)
    except ConfigError as error:
        sources = context.sources(where, error.detail)
        raise ConfigError(f"{context.path}: {where}{error.detail}{sources}") from error


def _convert(value: object, hint: Any, context: _Context, name: str) -> object:  # noqa: ANN401 a type hint
    inner = _alternative(hint, table=isinstance(value, dict))
    if dataclasses.is_dataclass(inner) and isinstance(inner, type):  # in a list: an array of tables
        if not isinstance(value, dict):
            raise ConfigError(f"{context.path}: {name}: expected a table")
        return _build(inner, value, dataclasses.replace(context, overrides={}), f"{name}.", "")
    if typing.get_origin(inner) in {tuple, Mapping}:
        return _convert_all(value, inner, context, name)
    if inner is Path and isinstance(value, str) and value:
        return (context.path.parent / value).absolute()
    if inner is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{context.path}: {name}: {value!r}, expected a finite number")
    if isinstance(inner, type) and isinstance(value, inner) and isinstance(value, bool) == (inner is bool):
        return value
    raise ConfigError(f"{context.path}: {name}: {value!r}, expected {_describe(hint)}")


def _convert_all(value: object, hint: Any, context: _Context, name: str) -> object:  # noqa: ANN401 as above
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{context.path}: {name}: expected a list")
        element = typing.get_args(hint)[0]
        return tuple(_convert(item, element, context, f"{name}[{index}]") for index, item in enumerate(value))
    if not isinstance(value, dict):
        raise ConfigError(f"{context.path}: {name}: expected a table")
    element = typing.get_args(hint)[1]
    return {key: _convert(item, element, context, f"{name}.{key}") for key, item in value.items()}


def _from_text(text: str, hint: Any, context: _Context, name: str) -> object:  # noqa: ANN401 a type hint
    inner = _without_none(hint)
    if typing.get_origin(inner) is tuple:
        element = typing.get_args(inner)[0]
        return tuple(_from_text(part, element, context, name) for part in text.split(",") if part)
    if inner is bool:
        if text.lower() not in {"true", "false"}:
            raise ConfigError(f"{name}: {text!r}, expected true or false")
        return text.lower() == "true"
    if inner in {int, float}:
        try:
            number = inner(text)
        except ValueError as error:
            raise ConfigError(f"{name}: {text!r}, expected {_describe(hint)}") from error
        if not math.isfinite(number):
            raise ConfigError(f"{name}: {text!r}, expected a finite number")
        return number
    return _convert(text, hint, context, name)


def _without_none(hint: Any) -> Any:  # noqa: ANN401 a type hint
    return _alternative(hint, table=False)


def _alternative(hint: Any, *, table: bool) -> Any:  # noqa: ANN401 type hints
    """The part of a union that a value is of: its dataclass for a table, its only other part for anything else."""
    if typing.get_origin(hint) not in {types.UnionType, typing.Union}:
        return hint
    parts = [part for part in typing.get_args(hint) if part is not types.NoneType]
    tables = [part for part in parts if dataclasses.is_dataclass(part)]
    (inner,) = tables if tables and (table or len(parts) == 1) else [part for part in parts if part not in tables]
    return inner


def _describe(hint: Any) -> str:  # noqa: ANN401 a type hint
    inner = _without_none(hint)
    if typing.get_origin(inner) is tuple:
        return f"a list of {_describe(typing.get_args(inner)[0])}"
    if typing.get_origin(inner) is Mapping:
        return f"a table of {_describe(typing.get_args(inner)[1])}"
    names = {str: "text", int: "an integer", float: "a number", bool: "true or false", Path: "a path"}
    return names.get(inner, str(inner))
