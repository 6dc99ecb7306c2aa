"""Evidence that somebody has kept: messages as they were on the broker, or a verifier's audit log.

Nothing here is trusted: ``learning`` verifies the quotes. What a missing part means shows in the replay.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from runtime.captured import read_captured
from schemas import cmw, media_types
from schemas.audit_entry import EvidenceEntry
from schemas.errors import ConfigError, PeerError
from schemas.evidence import Evidence, parse_evidence
from schemas.media_types import Indicator


def read_evidence(paths: Iterable[Path]) -> Iterator[Evidence]:
    """Every piece of evidence in files, in audit logs, and in the files of directories.

    Args:
        paths: files of one message each (as ``mosquitto_sub -N`` saves it), audit logs, or directories of these.

    Raises:
        ConfigError: a file that was named cannot be read or holds no evidence.
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
