"""``endorser devices``: lists every device."""

import argparse
from typing import TYPE_CHECKING, Final

from endorser.commands.registry_options import add_parser, registrar_of
from schemas.identifiers import ueid_text

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_HELP: Final = "list every device with its standing, endorsement version, name and group"


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = add_parser(parsers, "devices", _HELP)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints one line a device."""
    with registrar_of(arguments) as (_, registry):
        lines = [
            f"{ueid_text(each.ueid)}  {each.standing:14} version {each.version}  {each.name or '-'}"
            + ("" if each.group is None else f"  group {each.group}")
            for each in registry.devices()
        ]
    print("\n".join(lines) or "no device")
