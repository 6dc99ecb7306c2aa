"""``relying-party audit witness``: cosignatures of witnesses for a log's checkpoints (C2SP tlog-witness).

A witness cosigns only what extends all that it has seen of a log. Who sees the same witness's cosignature sees the same
history. Cosignatures are kept in ``cosignatures/<size>``, and served in the newest ``checkpoint``; the stamped bytes of
``checkpoints/<size>`` stay as they are.
"""

import argparse
import contextlib
import http.client
import urllib.parse
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

from runtime.audit_log.object_store import open_store
from runtime.audit_log.signer import load_note_key
from runtime.audit_log.store import LogStore
from runtime.audit_log.tile_log import CHECKPOINT, LogReader, cosignatures_path
from runtime.keys import read_file
from runtime.settings import naming
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.reasons import Reason
from schemas.tlog.checkpoint import parse_size, verify_checkpoint, verify_cosignature
from schemas.tlog.signed_note import (
    COSIGNATURE_V1,
    MAX_NOTE_BYTES,
    Note,
    NoteKey,
    NoteSignature,
    encode_note,
    parse_note,
    parse_signatures,
)
from schemas.tlog.witness import AddCheckpoint

_TIMEOUT_S: Final = 10.0
_TRIES: Final = 3


def add_to(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its two kinds."""
    witness = kinds.add_parser("witness", help="cosignatures of witnesses")
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


def run(options: argparse.Namespace) -> int:
    """Runs one of the two; 0 when a cosignature was taken.

    Raises:
        ConfigError: names the option and the file.
        PeerError: the log or the cosignature is not what it should be.
        WorldError: the store or the witness does not answer.
    """
    store = open_store(options.log)
    with naming("--log-key"):
        log_key = load_note_key(options.log_key)
    with naming("--witness-key"):
        witnesses = [load_note_key(each, COSIGNATURE_V1) for each in options.witness_key]
    reader = LogReader(store)
    if options.witness == "add":
        signed = reader.checkpoint() if options.size is None else reader.checkpoint_at(options.size)
        lines = _lines(read_file(options.cosignature))
    else:
        signed = reader.checkpoint()
        lines = submit(reader, log_key, options.url)
    size = verify_checkpoint(signed, log_key).size
    names = take_cosignatures(store, log_key, witnesses, size, lines)
    print(f"checkpoint of {size} entries: cosigned by {', '.join(names)}")
    return 0


def take_cosignatures(
    store: LogStore, log_key: NoteKey, witnesses: Sequence[NoteKey], size: int, lines: Sequence[NoteSignature]
) -> list[str]:
    """Verifies cosignatures of a published checkpoint and adds them to the log; returns whose.

    Args:
        store: where the log lies.
        log_key: the log's key.
        witnesses: whose cosignatures are taken.
        size: of the checkpoint.
        lines: as a witness answered.

    Raises:
        PeerError: ``audit-checkpoint-invalid``: none of these witnesses has cosigned it.
        WorldError: ``store-unavailable``.
    """
    reader = LogReader(store)
    kept = parse_note(reader.checkpoint_at(size))
    verify_checkpoint(encode_note(kept), log_key)
    taken: list[NoteSignature] = []
    for witness in witnesses:
        mine = tuple(each for each in lines if (each.name, each.key_id) == (witness.name, witness.key_id))
        if mine:
            verify_cosignature(encode_note(Note(unverified_text=kept.unverified_text, signatures=mine)), witness)
            taken += mine
    if not taken:
        raise PeerError(Reason.AUDIT_CHECKPOINT_INVALID, "no cosignature of these witnesses")
    there = reader.cosignatures(size)
    before = parse_signatures(there.decode()) if there else ()
    both = tuple(dict.fromkeys((*before, *taken)))
    store.write(cosignatures_path(size), "".join(each.line for each in both).encode())
    _serve(store, Note(unverified_text=kept.unverified_text, signatures=(*kept.signatures, *both)))
    return [each.name for each in taken]


def _serve(store: LogStore, cosigned: Note) -> None:
    """Puts the cosignatures into the newest checkpoint, if it still is the newest."""
    for _ in range(_TRIES):
        there = store.read(CHECKPOINT, max_bytes=MAX_NOTE_BYTES)
        if there is None or parse_note(there).unverified_text != cosigned.unverified_text:
            return
        if store.swap(CHECKPOINT, encode_note(cosigned), there):
            return


def submit(reader: LogReader, log_key: NoteKey, url: str) -> tuple[NoteSignature, ...]:
    """Has a witness cosign the newest checkpoint; returns its lines, not verified.

    Args:
        reader: of the log.
        log_key: the log's key.
        url: the witness's submission prefix.

    Raises:
        PeerError: the log cannot prove that it extends what the witness has seen, or the answer is none.
        WorldError: ``store-unavailable``: the witness does not answer, or refuses; says its status.
    """
    size = verify_checkpoint(reader.checkpoint(), log_key).size
    note, old_size = reader.checkpoint_at(size), 0
    for _ in range(_TRIES):
        if old_size > size:
            problem = f"{url}: has seen {old_size} entries of this log, which has {size}"
            raise PeerError(Reason.AUDIT_LOG_TRUNCATED, problem)
        request = AddCheckpoint(old_size=old_size, hashes=reader.consistency(old_size, size), note=note)
        status, body = _post(f"{url.rstrip('/')}/add-checkpoint", request.encoded)
        if status == HTTPStatus.OK:
            return parse_signatures(body)
        if status != HTTPStatus.CONFLICT:
            raise WorldError(Reason.STORE_UNAVAILABLE, f"{url}: HTTP status {status}: {body[:200]!r}")
        old_size = parse_size(body.removesuffix("\n"))
    raise WorldError(Reason.STORE_UNAVAILABLE, f"{url}: the witness's size moves")


def _post(url: str, body: bytes) -> tuple[int, str]:
    """Standard library alone: one request, no redirects, no proxies."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"URL: {url!r}, expected http://HOST/PREFIX or https://…")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request("POST", parts.path, body)
            response = connection.getresponse()
            content = response.read(MAX_NOTE_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise WorldError(Reason.STORE_UNAVAILABLE, f"{url}: {error}") from error
    if len(content) > MAX_NOTE_BYTES:
        raise WorldError(Reason.STORE_UNAVAILABLE, f"{url}: an answer of more than {MAX_NOTE_BYTES} bytes")
    return response.status, content.decode("utf-8", "replace")


def _lines(raw: bytes) -> tuple[NoteSignature, ...]:
    try:
        return parse_note(raw).signatures if b"\n\n" in raw else parse_signatures(raw.decode())
    except (PeerError, UnicodeDecodeError) as error:
        raise ConfigError(f"COSIGNATURE: no signature lines ({error})") from error
