"""``verifier-worker keygen``: makes the key that signs results, or the key of an audit log."""

import argparse
from pathlib import Path

from runtime.audit_log.signer import generate_audit_log_key
from runtime.command_line import Parsers
from runtime.keys import generate_key_pair, public_path
from schemas.errors import ConfigError
from verifier_worker.commands.jwks import write_key_set


def add_to(parsers: Parsers) -> None:
    """Adds ``keygen``."""
    command = parsers.add_parser("keygen", help="make the key that signs results and solicits, or an audit log's")
    command.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="private key; FILE.pub (PEM) and FILE.jwks beside it"
    )
    command.add_argument(
        "--audit", action="store_true", help="the key of an audit log: FILE (Ed25519), and FILE.vkey for its readers"
    )
    command.add_argument(
        "--origin", metavar="NAME", help="with --audit: the log's name, as audit.example/v1; the default is random"
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Makes the files and names them.

    Raises:
        ConfigError: a file cannot be written, or would overwrite a key.
    """
    if arguments.audit:
        log_key = generate_audit_log_key(arguments.out, arguments.origin)
        print(f"made {arguments.out} and {log_key}; give the latter to everyone who reads the log")
        return
    if arguments.origin:
        raise ConfigError("--origin: goes with --audit")
    generate_key_pair(arguments.out)
    public, key_set = public_path(arguments.out), arguments.out.with_suffix(".jwks")
    write_key_set(key_set, [public])
    print(f"made {arguments.out}, {public} and {key_set}; give one of the latter two to relying parties")
