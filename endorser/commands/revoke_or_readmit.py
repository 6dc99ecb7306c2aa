"""``endorser reject``, ``revoke``, ``decommission`` and ``readmit``: change a device's standing."""

import argparse
from functools import partial
from typing import TYPE_CHECKING, Final

from endorser.commands.registry_options import (
    add_decision,
    add_parser,
    decided_by,
    device_of,
    registrar_of,
    write_endorsement,
)
from endorser.core.enrolment import Standing
from runtime import clock

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_VERBS: Final = (
    ("reject", Standing.REJECTED, "refuse a device until it is readmitted"),
    ("revoke", Standing.REVOKED, "withdraw a device's endorsement: its key must no longer be trusted"),
    ("decommission", Standing.DECOMMISSIONED, "withdraw a device's endorsement: it is out of service"),
    ("readmit", Standing.ADMITTED, "let a rejected, revoked or decommissioned device enrol again"),
)


def add_to(parsers: "Parsers") -> None:
    """Adds the four commands."""
    for name, standing, help_text in _VERBS:
        parser = add_parser(parsers, name, help_text)
        add_decision(parser, "also write the version that ends the endorsement here")
        parser.add_argument("--why", default="", help="for the record")
        parser.set_defaults(run=partial(_change, standing))


def _change(standing: Standing, arguments: argparse.Namespace) -> None:
    with registrar_of(arguments) as (registrar, _):
        ended = registrar.change_standing(
            device_of(arguments.ueid), standing, clock.utc_s(), decided_by(arguments.by), arguments.why
        )
        outcome = f"{standing}; no endorsement made here was in force"
        if ended is not None:
            outcome = f"{standing}; `endorser serve` publishes the version that ends the endorsement"
        print(write_endorsement(arguments.out, ended, outcome))
