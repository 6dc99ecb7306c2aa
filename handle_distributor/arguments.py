"""The command line of the handle distributor, as text for people and for argparse."""

import argparse
from pathlib import Path

from handle_distributor.settings import ROLE
from runtime.service import installed_version


def parser() -> argparse.ArgumentParser:
    """What ``handle-distributor`` understands."""
    top = argparse.ArgumentParser(
        prog=ROLE,
        description="Issues handles: signed claims with a TSA's stamp, published over MQTT. Needs a TOML file "
        "with name, signing_key, state_file, [tsa] urls and roots, and [mqtt].",
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
