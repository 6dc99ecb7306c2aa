"""``handle-distributor``: issues signed, TSA-stamped handles and publishes them."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from handle_distributor import commands
from handle_distributor.settings import ROLE, Settings
from runtime.durable import check_folder_of
from runtime.service import Stop, installed_version, run_command
from runtime.settings import load, naming
from runtime.telemetry import configure_logging
from schemas.errors import ConfigError


def main(arguments: list[str] | None = None) -> int:
    """Runs one sub-command; returns the exit status."""
    options = _parser().parse_args(arguments)
    configure_logging(ROLE, "warning")
    return run_command(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog=ROLE,
        description="Issues handles: signed claims with a Time Stamp Authority's stamp, published over MQTT. "
        "Needs a TOML file with name, signing_key, state_file, [tsa] urls and roots, and [mqtt].",
    )
    top.add_argument("--version", action="version", version=f"{ROLE} {installed_version()}")
    actions = top.add_subparsers(dest="command", required=True)
    run = actions.add_parser("run", help="issue and publish a handle every interval until stopped")
    run.add_argument("--check-config", action="store_true", help="read settings, keys and certificates, then stop")
    once = actions.add_parser("issue-once", help="make the chain's next handle, write it to a file, print it")
    once.add_argument("--out", type=Path, required=True, help="the file to write; `run` publishes the handle later")
    export = actions.add_parser("export", help="write the newest handle, verified, to a file; beside a running `run`")
    export.add_argument("out", type=Path, metavar="OUT", help="the raw COSE_Sign1, for `attester-agent --handle-file`")
    export.add_argument("--follow", action="store_true", help="write every later handle, too, until stopped")
    for command in (run, once, export):
        command.add_argument("--config", type=Path, required=True, help="the TOML file")
    show = actions.add_parser("show", help="verify a handle in a file and print it for people")
    show.add_argument("file", type=Path, metavar="FILE", help="the COSE_Sign1, as issue-once writes it")
    show.add_argument("--config", type=Path, help="believe this distributor's own key and TSA roots")
    show.add_argument("--key", type=Path, action="append", default=[], help="public key of a distributor to believe")
    show.add_argument("--tsa-root", type=Path, action="append", default=[], help="PEM root of a TSA to believe")
    keygen = actions.add_parser("keygen", help="make the key that signs handles")
    keygen.add_argument("--out", type=Path, required=True, help="private key file; the public key goes beside it, .pub")
    return top


def _run(options: argparse.Namespace) -> None:
    if options.command == "keygen":
        print(commands.make_key(options.out))
        return
    settings = None if options.config is None else load(options.config, Settings, ROLE)
    if settings is not None:
        configure_logging(ROLE, settings.log_level)
    if options.command == "show":
        roots = [*options.tsa_root, *(settings.tsa.roots if settings else ())]
        with naming(options.config) if settings is not None else nullcontext():
            keys = commands.trusted_keys(settings, options.key)
        if not keys or not roots:
            raise ConfigError("show: give --config, or --key and --tsa-root; an unverified handle says nothing")
        print(commands.show(options.file, keys, roots))
    elif settings is not None and options.command == "issue-once":
        check_folder_of(options.out, "--out")
        with naming(options.config):
            print(commands.issue_once(settings, options.out))
    elif settings is not None and options.command == "export":
        check_folder_of(options.out, "OUT")
        with naming(options.config):
            commands.export(settings, options.out, Stop().on_signals() if options.follow else None)
    elif settings is not None and options.check_config:
        with naming(options.config):
            commands.check(settings, installed_version())
        print(f"{options.config}: settings, keys and certificates are fine")
    elif settings is not None:
        with naming(options.config):
            commands.run(settings, installed_version(), Stop().on_signals())


if __name__ == "__main__":
    sys.exit(main())
