"""``endorser serve``: enrols devices over the broker until stopped."""

import argparse
from typing import TYPE_CHECKING, Final

from endorser.commands.registry_options import add_parser, settings_of
from endorser.service import check_files, run_service
from runtime.service import Stop
from runtime.settings import naming

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_DESCRIPTION: Final = """Answer devices that ask to be enrolled, over the broker, and publish their endorsements.

A device sends its endorsement key with the manufacturer's certificate and its attesting key. The endorser answers with
a secret that only that TPM can open, and only while it holds that attesting key. If the device opens it, a rule in the
configuration or an operator decides: see `endorser pending` and `endorser approve`.
"""


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = add_parser(parsers, "serve", "enrol devices over the broker until stopped", _DESCRIPTION)
    parser.add_argument("--check-config", action="store_true", help="read settings, key and certificates, then stop")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Serves, or checks the configuration."""
    settings = settings_of(arguments)
    with naming(arguments.config):
        if arguments.check_config:
            check_files(settings)
            print("settings, key, certificates and revocation lists are fine")
        else:
            run_service(settings, Stop().on_signals())
            print("stopped")
