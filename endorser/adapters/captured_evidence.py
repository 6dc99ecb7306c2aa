"""Reads captured files: messages from the broker, signed objects, a verifier's audit log.

Verifies nothing: ``learning`` verifies quotes and notices missing entries, and the callers of :func:`read_signed`
verify the signature.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from runtime.audit_log.recorded_messages import read_captured
from runtime.keys import read_file
from schemas import media_types
from schemas.audit.entry import EvidenceEntry
from schemas.codecs import cmw
from schemas.errors import ConfigError, PeerError
from schemas.media_types import Indicator
from schemas.messages.evidence import Evidence, parse_evidence
from schemas.messages.trust_objects import TRUST_OBJECTS

_RECORD_OF_THREE: Final = b"\x83"  # the head of a CMW record with an indicator; a signed object begins with its tag


def read_evidence(paths: Iterable[Path]) -> Iterator[Evidence]:
    """Reads all evidence from files.

    Args:
        paths: files of one message each (as ``mosquitto_sub -N`` saves it), audit logs, or directories of these.

    Raises:
        ConfigError: a named file cannot be read or has no evidence.
    """
    for path in paths:
        found = 0
        for _, entry in read_captured(path):
            if not isinstance(entry, EvidenceEntry) or entry.payload is None:
                continue
            try:
                evidence = parse_evidence(cmw.unwrap(entry.payload, media_types.EVIDENCE, Indicator.EVIDENCE))
            except PeerError:
                continue
            found += 1
            yield evidence
        if not found and not path.is_dir():
            raise ConfigError(f"{path}: neither evidence nor an audit log with evidence in it")


def read_signed(path: Path) -> bytes:
    """Reads a signed object as ``endorser`` writes it, or in a CMW record as ``mosquitto_sub -N`` saves it.

    Raises:
        ConfigError: it cannot be read.
    """
    raw = read_file(path)
    if raw[:1] != _RECORD_OF_THREE:
        return raw
    for kind in TRUST_OBJECTS.values():
        try:
            return kind.unwrap(raw)
        except PeerError:
            continue
    return raw
