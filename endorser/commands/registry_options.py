"""Options of the commands that work on the registry, and how these commands open it."""

import argparse
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endorser.adapters.registry import Registry
from endorser.registrar import Registrar, open_registrar
from endorser.settings import ROLE, Settings
from runtime.durable import write_durable
from runtime.settings import load, naming
from runtime.telemetry import configure_logging
from schemas.errors import as_config_error
from schemas.identifiers import Ueid, parse_ueid_text

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_CONFIG: Final = """The configuration file:

  signing_key = "endorser.key"            # endorser keygen
  registry = "state/registry.db"          # the enrolled devices; back it up
  group = "plant-7"                       # optional
  [vendors.roots]
  example = "example-tpm-root.pem"        # of the TPMs' manufacturer
  [vendors]
  intermediates = ["example-tpm-ca.pem"]
  revocations = ["example-tpm-ca.crl"]
  [approve]                               # without it an operator approves each device
  roots = ["example"]                     # any TPM of this manufacturer
  certificates = ["4f2a"]                 # or these serial numbers
  [mqtt]
  host = "broker.example"
"""


def add_parser(parsers: "Parsers", name: str, help_text: str, description: str = "") -> argparse.ArgumentParser:
    """Adds a command with ``--config``, whose help explains the configuration file."""
    parser = parsers.add_parser(
        name,
        help=help_text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=description or help_text,
        epilog=_CONFIG,
    )
    parser.add_argument("--config", type=Path, required=True, help="TOML file; see below")
    return parser


def add_decision(parser: argparse.ArgumentParser, out_help: str) -> None:
    """Adds the options of a command that decides about one device."""
    parser.add_argument("ueid", metavar="UEID", help="base64url text, as `endorser pending` prints it")
    parser.add_argument("--by", help="operator's name, for the record (default: your user name)")
    parser.add_argument("--out", type=Path, metavar="FILE", help=out_help)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Reads the configuration file and sets up logging.

    Raises:
        ConfigError: names the file and the setting that is wrong.
    """
    settings = load(arguments.config, Settings, ROLE)
    configure_logging(ROLE, settings.log_level)
    return settings


@contextmanager
def registrar_of(arguments: argparse.Namespace) -> Iterator[tuple[Registrar, Registry]]:
    """The registrar and its registry; errors inside name the configuration file.

    Raises:
        ConfigError: names the file and the setting that is wrong.
    """
    settings = settings_of(arguments)
    with naming(arguments.config), open_registrar(settings) as opened:
        yield opened


def decided_by(by: str | None) -> str:
    """The name for the record: the name in ``--by``, or else the user who runs the command."""
    if by is not None:
        return by
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def device_of(text: str) -> Ueid:
    """The UEID in an option.

    Raises:
        ConfigError: it is not a UEID.
    """
    with as_config_error(f"UEID {text[:80]!r}"):
        return parse_ueid_text(text)


def write_endorsement(out: Path | None, signed: bytes | None, outcome: str) -> str:
    """Writes ``signed`` to ``out`` if there are both; returns ``outcome`` and the file's name, if one was written."""
    if out is None or signed is None:
        return outcome
    write_durable(out, signed)
    return f"{outcome}; written to {out}"


def time_text(seconds: int) -> str:
    """UTC seconds for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
