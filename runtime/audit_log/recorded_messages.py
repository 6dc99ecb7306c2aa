"""Reads recorded messages of a broker: an audit log, files of one message each, or a folder of both.

This module trusts and verifies nothing; callers verify signatures. A damaged audit log is read up to the damage, and
reading continues with the next file.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runtime.audit_log.any_log import is_tiled_log, read_entries
from runtime.keys import read_file
from schemas import media_types
from schemas.audit.entry import AuditEntry, EvidenceEntry, ObjectEntry, parse_entry
from schemas.codecs import cmw
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.limits import MAX_REFERENCE_VALUES_BYTES
from schemas.media_types import Indicator
from schemas.messages.evidence import parse_evidence
from schemas.messages.trust_objects import TRUST_OBJECTS

_NS_PER_US: Final = 1000


def read_captured(path: Path) -> Iterator[tuple[int, AuditEntry]]:
    """Yields numbered entries, in the order of the audit log, or of the file names in a folder.

    The receipt time of a file of one message is the file's modification time.

    Raises:
        ConfigError: the file cannot be read, or is neither a message nor an audit log. In a folder such files are
            skipped, unless it holds no other files.
    """
    if not path.is_dir() or is_tiled_log(path):
        yield from _of_file(path, 0)
        return
    number = 0
    for each in sorted(path.iterdir()):
        if not each.is_file():
            continue
        try:
            for _, entry in _of_file(each, number):
                number += 1
                yield number, entry
        except ConfigError:
            continue
    if number == 0:
        raise ConfigError(f"{path}: no message and no audit log in this folder")


def _of_file(path: Path, number: int) -> Iterator[tuple[int, AuditEntry]]:
    message = _message(read_file(path), path) if _can_be_message(path) else None
    if message is not None:
        yield number + 1, message
        return
    try:
        for entry_number, raw in read_entries(path):
            try:
                yield entry_number, parse_entry(raw)
            except PeerError:
                continue
    except WorldError:
        return  # a torn tail, or an entry that is being written


def _can_be_message(path: Path) -> bool:
    """Whether the file is short enough for a message. An audit log may not fit into memory."""
    if path.is_dir():
        return False
    try:
        return path.stat().st_size <= MAX_REFERENCE_VALUES_BYTES
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _message(raw: bytes, path: Path) -> AuditEntry | None:
    received_us = path.stat().st_mtime_ns // _NS_PER_US
    for kind in TRUST_OBJECTS.values():
        try:
            return ObjectEntry(received_us=received_us, kind=kind.name, raw=kind.unwrap(raw))
        except PeerError:
            continue
    try:
        evidence = parse_evidence(cmw.unwrap(raw, media_types.EVIDENCE, Indicator.EVIDENCE))
    except PeerError:
        return None
    return EvidenceEntry(
        received_us=received_us,
        ueid=evidence.body.ueid,
        reasons=(),
        result=None,
        digest=evidence.envelope,
        payload=raw,
    )
