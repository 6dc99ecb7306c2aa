"""What somebody has kept of a broker's messages: a verifier's audit log, files of one message each, or folders of both.

Nothing here is trusted: whoever reads it verifies what is signed. Damage ends the reading of a log, and only of it.
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
    """Numbered entries, in the order of a log, or of the files' names in a folder.

    A file of one message was received when it was written last, as far as anyone can tell.

    Raises:
        ConfigError: the file cannot be read, or is neither a message nor an audit log. Such files in a folder are
            passed over, unless there is nothing else in it.
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
        return  # a torn end, or one that is being written


def _can_be_message(path: Path) -> bool:
    """Whether it is no longer than a message: a log can be longer than memory."""
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
