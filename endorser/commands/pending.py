"""``endorser pending``: lists devices that wait for an operator."""

import argparse
from typing import TYPE_CHECKING

from endorser.commands.registry_options import add_parser, registrar_of, time_text
from endorser.registrar import request_label
from schemas.identifiers import ueid_text

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = add_parser(parsers, "pending", "list devices that have proven their key and wait for an operator")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints one line a device, the oldest request first."""
    with registrar_of(arguments) as (_, registry):
        lines = [
            f"{ueid_text(each.ueid)} --request {request_label(each.raw_request)}  since {time_text(each.since_s)}  "
            f"{each.summary}"
            for each in registry.pending()
        ]
    print("\n".join(lines) or "no device waits")
