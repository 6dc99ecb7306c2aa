"""The verifier's keys for its relying parties: ``keygen`` makes a pair, ``jwks`` writes a set of several."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.audit_log.signer import generate_log_key
from runtime.durable import write_durable
from runtime.keys import generate_key_pair, load_public_keys, public_path
from schemas.codecs.jwks import encode_jwks
from schemas.errors import ConfigError, WorldError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 argparse has no public name for it


def add_key_commands(commands: "Commands") -> None:
    """Describes both commands."""
    keygen = commands.add_parser("keygen", help="make the key that signs results and solicits, or an audit log's")
    keygen.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="private key; FILE.pub (PEM) and FILE.jwks beside it"
    )
    keygen.add_argument(
        "--audit", action="store_true", help="the key of an audit log: FILE (Ed25519), and FILE.vkey for its readers"
    )
    keygen.add_argument(
        "--origin", metavar="NAME", help="with --audit: the log's name, as audit.example/v1; the default is random"
    )
    jwks = commands.add_parser("jwks", help="write one key set of several verifiers, or of the old and the new key")
    jwks.add_argument("keys", type=Path, nargs="+", metavar="KEYS", help="public keys: PEM or JWKS files")
    jwks.add_argument("--out", type=Path, required=True, metavar="FILE", help="the JWKS file, replaced in one step")


def run_key_command(arguments: argparse.Namespace) -> str:
    """Does what one of the two says; returns what to tell the operator.

    Raises:
        ConfigError: a file cannot be read or written, or would overwrite a key.
    """
    if arguments.command == "keygen" and (arguments.audit or arguments.origin):
        if not arguments.audit:
            raise ConfigError("--origin: goes with --audit")
        log_key = generate_log_key(arguments.out, arguments.origin)
        return f"made {arguments.out} and {log_key}; give the latter to whoever reads the log"
    if arguments.command == "keygen":
        generate_key_pair(arguments.out)
        public, key_set = public_path(arguments.out), arguments.out.with_suffix(".jwks")
        _write(key_set, [public])
        return f"made {arguments.out}, {public} and {key_set}; give one of the latter two to relying parties"
    count = _write(arguments.out, arguments.keys)
    return f"made {arguments.out} with {count} {'key' if count == 1 else 'keys'}; give it to relying parties"


def _write(path: Path, sources: list[Path]) -> int:
    keys = load_public_keys(sources)
    try:
        write_durable(path, encode_jwks(keys.values()))
    except WorldError as error:
        raise ConfigError(error.detail) from error
    return len(keys)
