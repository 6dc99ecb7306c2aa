"""Cosignatures of witnesses for an audit log's checkpoints (C2SP tlog-witness).

A witness cosigns a checkpoint only if it extends every checkpoint of the log that the witness has seen. Two people who
see cosignatures of the same witness therefore see the same history. Cosignatures are kept in ``cosignatures/<size>``
and served in the newest ``checkpoint``; the stamped bytes of ``checkpoints/<size>`` stay as they are.
"""

import contextlib
import http.client
import urllib.parse
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from runtime.audit_log.log_reader import CHECKPOINT, AuditLogReader, cosignatures_path
from runtime.audit_log.store import AuditLogStore
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.reasons import Reason
from schemas.tlog.checkpoint import parse_size, verify_checkpoint, verify_cosignature
from schemas.tlog.signed_note import (
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


def take_cosignatures(
    store: AuditLogStore, log_key: NoteKey, witnesses: Sequence[NoteKey], size: int, lines: Sequence[NoteSignature]
) -> list[str]:
    """Verifies cosignatures of a published checkpoint and adds them to the log; returns the witnesses' names.

    Args:
        store: holds the log.
        log_key: the log's key.
        witnesses: keys; cosignatures by other keys are ignored.
        size: of the checkpoint.
        lines: the witness's answer.

    Raises:
        PeerError: ``audit-checkpoint-invalid``: no cosignature is by one of these witnesses.
        WorldError: ``store-unavailable``.
    """
    reader = AuditLogReader(store)
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


def _serve(store: AuditLogStore, cosigned: Note) -> None:
    """Puts the cosignatures into ``checkpoint``, if this is still the newest one."""
    for _ in range(_TRIES):
        there = store.read(CHECKPOINT, max_bytes=MAX_NOTE_BYTES)
        if there is None or parse_note(there).unverified_text != cosigned.unverified_text:
            return
        if store.swap(CHECKPOINT, encode_note(cosigned), there):
            return


def submit(reader: AuditLogReader, log_key: NoteKey, url: str) -> tuple[NoteSignature, ...]:
    """Has a witness cosign the newest checkpoint; returns its signature lines, unverified.

    Args:
        reader: of the log.
        log_key: the log's key.
        url: the witness's submission prefix.

    Raises:
        PeerError: the log cannot prove that it extends the checkpoint that the witness saw, or the answer is malformed.
        WorldError: ``store-unavailable``: the witness does not answer, or refuses; names its HTTP status.
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
    """One request, without redirects and proxies."""
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
