"""``endorser approve``: admits a device that waits for an operator."""

import argparse
from typing import TYPE_CHECKING

from endorser.commands.registry_options import (
    add_decision,
    add_parser,
    decided_by,
    device_of,
    registrar_of,
    write_endorsement,
)
from runtime import clock

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = add_parser(parsers, "approve", "admit a waiting device and endorse its key")
    add_decision(parser, "also write the endorsement here, for `endorser publish`")
    parser.add_argument(
        "--request", metavar="HEX", help="approve only the request that `endorser pending` shows with this label"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Endorses the device's key."""
    with registrar_of(arguments) as (registrar, _):
        endorsement, _, device = registrar.approve(
            device_of(arguments.ueid), clock.utc_s(), decided_by(arguments.by), request=arguments.request
        )
        outcome = f"approved: {device}; `endorser serve` publishes the endorsement"
        print(write_endorsement(arguments.out, endorsement, outcome))
