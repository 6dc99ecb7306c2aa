"""``handle-distributor export``: copies the newest handle, verified, to a file. Works beside a running distributor."""

import argparse
from pathlib import Path

from handle_distributor.commands.options import add_config, read_settings, trusted_keys
from handle_distributor.handle_export import HandleExport
from handle_distributor.handle_text import describe
from handle_distributor.settings import Settings
from runtime.command_line import Parsers
from runtime.durable import check_folder_of
from runtime.service import Stop
from runtime.settings import naming
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas.errors import ConfigError
from schemas.messages.handle import verify_handle


def add_to(parsers: Parsers) -> None:
    """Adds ``export``."""
    command = parsers.add_parser("export", help="write the newest handle, verified, to a file; beside a running `run`")
    command.add_argument("out", type=Path, metavar="OUT", help="the raw COSE_Sign1, for `attester-agent --handle-file`")
    command.add_argument("--follow", action="store_true", help="write every later handle, too, until stopped")
    add_config(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Exports the newest handle; with ``--follow`` every later one too.

    Raises:
        ConfigError: OUT is the state file, or a key or root cannot be read.
        WorldError: there is no handle yet, or a file cannot be read or written; not with ``--follow``.
        PeerError: the state file does not hold a handle that verifies; not with ``--follow``.
    """
    settings = read_settings(arguments.config)
    check_folder_of(arguments.out, "OUT")
    with naming(arguments.config):
        export = _open(settings, arguments.out)
        if arguments.follow:
            export.follow(Stop().on_signals(), lambda handle: print(f"{describe(handle)}\n", flush=True))
        else:
            print(describe(export.once()))


def _open(settings: Settings, out: Path) -> HandleExport:
    if out.absolute().resolve() == settings.state_file.absolute().resolve():
        raise ConfigError(f"state_file: {out}: is the distributor's own; export to another file")
    with naming("tsa.roots, tsa.intermediates"):
        stamps = load_time_stamp_verifier(settings.tsa.roots, settings.tsa.intermediates)
    keys = trusted_keys(settings, [])
    return HandleExport(settings.state_file, out, lambda raw: verify_handle(raw, keys, stamps))
