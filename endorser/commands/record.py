"""``endorser record``: prints every decision about devices."""

import argparse
from typing import TYPE_CHECKING, Final

from endorser.commands.registry_options import add_parser, registrar_of, time_text
from schemas.identifiers import ueid_text

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_HELP: Final = "print all decisions about devices, with operator and time; nothing is ever removed"


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = add_parser(parsers, "record", _HELP)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints one line a decision, the oldest first."""
    with registrar_of(arguments) as (_, registry):
        lines = [
            f"{time_text(each.at_s)}  {each.action:14} {ueid_text(each.ueid)}  by {each.who}  {each.detail}"
            for each in registry.records()
        ]
    print("\n".join(lines) or "nothing was decided yet")
