"""``attester-agent claims``: prints the claims that this device makes."""

import argparse
from typing import TYPE_CHECKING

from attester_agent.claim_collection import ClaimCollection, collectors_of, is_selected
from attester_agent.commands.options import add_config, settings_of
from attester_agent.settings import Settings

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("claims", help="print the claims that this device makes")
    add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints the claims as they are now."""
    print(describe_claims(settings_of(arguments)))


def describe_claims(settings: Settings) -> str:
    """The claims of this device, one a line, each with the measurement log that also holds it, if one does.

    Collectors that the selection leaves out are named after them.
    """
    collectors, select = collectors_of(settings.claims), settings.claims.select
    lines = []
    for name, value in ClaimCollection(collectors, select, label=settings.name).current().items():
        collector = collectors.get(name.partition("/")[0])
        measured_in = collector.measured_in if collector is not None else ""
        lines.append(f"{name} = {value!r}" + (f"  (also in the {measured_in})" if measured_in else ""))
    left_out = [name for name, each in sorted(collectors.items()) if not is_selected(name, each, select)]
    return "\n".join([*lines, *(f"not selected: {name}" for name in left_out)])
