"""``relying-party audit consistency``: proves that one checkpoint of an audit log extends another."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.audit_log.log_reader import AuditLogReader
from runtime.audit_log.object_store import open_store
from runtime.audit_log.signer import load_note_key
from runtime.command_line import EXIT_FAILED, EXIT_OK
from runtime.keys import read_file
from runtime.settings import naming
from schemas.codecs.printable import printable
from schemas.errors import ConfigError, PeerError, as_config_error
from schemas.tlog.checkpoint import verify_checkpoint
from schemas.tlog.consistency_proof import ConsistencyProof, parse_consistency_proof
from schemas.tlog.signed_note import NoteKey

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = parsers.add_parser(
        "consistency",
        help="prove that one checkpoint extends another",
        description="Exit status: 0 all holds, 1 something does not, 2 a wrong option or file.",
    )
    command.add_argument("log", metavar="LOG", nargs="?", help="folder, or s3://bucket/prefix")
    command.add_argument("--log-key", required=True, metavar="VKEY", help="the log's verifier key, or its file")
    command.add_argument("--from", dest="old", metavar="SIZE|NOTE", help="the smaller checkpoint")
    command.add_argument("--to", dest="new", metavar="SIZE|NOTE", help="the larger; the default is the newest")
    command.add_argument("--out", type=Path, metavar="FILE", help="write the proof")
    command.add_argument("--check", type=Path, metavar="FILE", help="verify such a proof instead; needs no log")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Makes a proof and verifies it, or verifies a given one; returns 0 when it holds.

    Raises:
        ConfigError: names the option and the file.
        WorldError: the store does not answer.
    """
    with naming("--log-key"):
        key = load_note_key(options.log_key)
    if options.check is not None:
        return _verified(_read_proof(options.check), key, options.check)
    if options.log is None or options.old is None:
        raise ConfigError("LOG and --from: missing; or --check a proof")
    reader = AuditLogReader(open_store(options.log))
    try:
        old = _note(reader, options.old)
        new = _note(reader, options.new) if options.new is not None else reader.checkpoint()
        sizes = verify_checkpoint(old, key).size, verify_checkpoint(new, key).size
        proof = ConsistencyProof(old=old, new=new, hashes=reader.consistency(*sizes))
    except PeerError as error:
        print(printable(f"no proof: {error.reason}: {error.detail}"), file=sys.stderr)
        return EXIT_FAILED
    status = _verified(proof, key, options.log)
    if status == EXIT_OK and options.out is not None:
        try:
            options.out.write_bytes(proof.encoded)
        except OSError as error:
            raise ConfigError(f"--out: {options.out}: {error.strerror}") from error
    return status


def _read_proof(path: Path) -> ConsistencyProof:
    with as_config_error(f"--check: {path}"):
        return parse_consistency_proof(read_file(path))


def _verified(proof: ConsistencyProof, key: NoteKey, where: object) -> int:
    try:
        old, new = proof.verify(key)
    except PeerError as error:
        print(printable(f"{where}: does not hold: {error.reason}: {error.detail}"), file=sys.stderr)
        return EXIT_FAILED
    print(f"holds: {old.origin}: {new.size} entries extend {old.size}, by {len(proof.hashes)} hashes")
    return EXIT_OK


def _note(reader: AuditLogReader, text: str) -> bytes:
    if text.isascii() and text.isdecimal():
        return reader.checkpoint_at(int(text))
    return read_file(Path(text))
