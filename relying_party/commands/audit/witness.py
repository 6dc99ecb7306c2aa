"""``relying-party audit witness``: adds cosignatures of witnesses to an audit log's checkpoints."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from relying_party.audit.cosigning import submit, take_cosignatures
from runtime.audit_log.log_reader import AuditLogReader
from runtime.audit_log.object_store import open_store
from runtime.audit_log.signer import load_note_key
from runtime.command_line import EXIT_OK
from runtime.keys import read_file
from runtime.settings import naming
from schemas.errors import ConfigError, PeerError
from schemas.tlog.checkpoint import verify_checkpoint
from schemas.tlog.signed_note import COSIGNATURE_V1, NoteSignature, parse_note, parse_signatures

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command and its two kinds."""
    witness = parsers.add_parser("witness", help="cosignatures of witnesses")
    what = witness.add_subparsers(dest="witness", required=True, metavar="KIND")
    add = what.add_parser("add", help="take a witness's cosignature of a checkpoint into the log")
    ask = what.add_parser("ask", help="submit the newest checkpoint to a witness, and take its cosignature")
    for command in (add, ask):
        command.add_argument("log", metavar="LOG", help="folder, or s3://bucket/prefix")
        command.add_argument("--log-key", required=True, metavar="VKEY", help="the log's verifier key, or its file")
        command.add_argument(
            *("--witness-key", "-w"),
            action="append",
            required=True,
            metavar="VKEY",
            help="a witness's verifier key (kind 4), or its file; others' cosignatures are not taken",
        )
    add.add_argument("cosignature", type=Path, metavar="FILE", help="signature lines, or a cosigned note")
    add.add_argument("--size", type=int, help="of the checkpoint; the default is the newest")
    ask.add_argument("url", metavar="URL", help="the witness's submission prefix")
    witness.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Adds cosignatures from a file or from a witness's answer; returns 0 when one was added.

    Raises:
        ConfigError: names the option and the file.
        PeerError: the log or the cosignature is invalid.
        WorldError: the store or the witness does not answer.
    """
    store = open_store(options.log)
    with naming("--log-key"):
        log_key = load_note_key(options.log_key)
    with naming("--witness-key"):
        witnesses = [load_note_key(each, COSIGNATURE_V1) for each in options.witness_key]
    reader = AuditLogReader(store)
    if options.witness == "add":
        signed = reader.checkpoint() if options.size is None else reader.checkpoint_at(options.size)
        lines = _lines(read_file(options.cosignature))
    else:
        signed = reader.checkpoint()
        lines = submit(reader, log_key, options.url)
    size = verify_checkpoint(signed, log_key).size
    names = take_cosignatures(store, log_key, witnesses, size, lines)
    print(f"checkpoint of {size} entries: cosigned by {', '.join(names)}")
    return EXIT_OK


def _lines(raw: bytes) -> tuple[NoteSignature, ...]:
    try:
        return parse_note(raw).signatures if b"\n\n" in raw else parse_signatures(raw.decode())
    except (PeerError, UnicodeDecodeError) as error:
        raise ConfigError(f"COSIGNATURE: no signature lines ({error})") from error
