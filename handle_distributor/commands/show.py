"""``handle-distributor show``: verifies a handle in a file and prints it."""

import argparse
from contextlib import nullcontext
from pathlib import Path

from handle_distributor.commands.options import read_settings, trusted_keys
from handle_distributor.handle_text import describe
from handle_distributor.settings import ROLE
from runtime.command_line import Parsers
from runtime.keys import read_file
from runtime.settings import naming
from runtime.telemetry import configure_logging
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas.errors import ConfigError
from schemas.messages.handle import verify_handle


def add_to(parsers: Parsers) -> None:
    """Adds ``show``."""
    command = parsers.add_parser("show", help="verify a handle in a file and print it for people")
    command.add_argument("file", type=Path, metavar="FILE", help="the COSE_Sign1, as issue-once writes it")
    command.add_argument("--config", type=Path, help="believe this distributor's own key and TSA roots")
    command.add_argument("--key", type=Path, action="append", default=[], help="public key of a distributor to believe")
    command.add_argument("--tsa-root", type=Path, action="append", default=[], help="PEM root of a TSA to believe")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Verifies the handle and prints it.

    Raises:
        ConfigError: no keys or no roots are given, or a file cannot be read.
        PeerError: the handle does not verify.
    """
    configure_logging(ROLE, "warning")
    settings = None if arguments.config is None else read_settings(arguments.config)
    with nullcontext() if settings is None else naming(arguments.config):
        keys = trusted_keys(settings, arguments.key)
        roots = [*arguments.tsa_root, *(settings.tsa.roots if settings else ())]
        if not keys or not roots:
            raise ConfigError("show: give --config, or --key and --tsa-root; an unverified handle says nothing")
        handle = verify_handle(read_file(arguments.file), keys, load_time_stamp_verifier(roots))
    print(describe(handle))
