"""What somebody has kept: messages as they were on the broker, signed objects, or a verifier's audit log.

Nothing here is trusted: ``learning`` verifies the quotes, whoever reads a signed object its signature. An audit log is
framed as ``verifier_worker.audit_log`` says: number (u64), length (u32), CRC-32 (u32), entry; item 6 of an entry is the
message. Damage ends the reading: what a missing part means shows in the replay.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from runtime.keys import read_file
from schemas import cbor, cmw, media_types
from schemas.errors import ConfigError, PeerError
from schemas.evidence import Evidence, parse_evidence
from schemas.fields import as_map
from schemas.limits import MAX_REFERENCE_VALUES_BYTES
from schemas.media_types import Indicator

_FRAME: Final = struct.Struct(">QII")
_MESSAGE: Final = 6
_MAX_ENTRY_BYTES: Final = 4 * 1024 * 1024
_RECORD_OF_THREE: Final = b"\x83"  # the head of a CMW record with an indicator; a signed object begins with its tag
_SIGNED: Final = (
    (media_types.SIGNED_CORIM, Indicator.ENDORSEMENTS),
    (media_types.SIGNED_CORIM, Indicator.REFERENCE_VALUES),
    (media_types.POLICY, Indicator.APPRAISAL_POLICY),
)


def read_evidence(paths: Iterable[Path]) -> Iterator[Evidence]:
    """Every piece of evidence in files, in audit logs, and in the files of directories.

    Args:
        paths: files of one message each (as ``mosquitto_sub -N`` saves it), audit logs, or directories of these.

    Raises:
        ConfigError: a file that was named cannot be read or holds no evidence.
    """
    for path in paths:
        if path.is_dir():
            for each in sorted(path.iterdir()):
                if each.is_file():
                    yield from _of_file(read_file(each))
            continue
        found = list(_of_file(read_file(path)))
        if not found:
            raise ConfigError(f"{path}: neither evidence nor an audit log with evidence in it")
        yield from found


def read_signed(path: Path) -> bytes:
    """A signed object from a file: bare, as ``endorser`` writes it, or as ``mosquitto_sub -N`` saves it.

    Raises:
        ConfigError: it cannot be read.
    """
    raw = read_file(path)
    if raw[:1] != _RECORD_OF_THREE:
        return raw
    for media_type, indicator in _SIGNED:
        try:
            return cmw.unwrap(raw, media_type, indicator, max_bytes=MAX_REFERENCE_VALUES_BYTES)
        except PeerError:
            continue
    return raw


def _of_file(raw: bytes) -> Iterator[Evidence]:
    message = _parse(raw)
    if message is not None:
        yield message
        return
    for payload in _audited(raw):
        message = _parse(payload)
        if message is not None:
            yield message


def _parse(raw: bytes) -> Evidence | None:
    try:
        return parse_evidence(cmw.unwrap(raw, media_types.EVIDENCE, Indicator.EVIDENCE))
    except PeerError:
        return None


def _audited(raw: bytes) -> Iterator[bytes]:
    offset = 0
    while offset + _FRAME.size <= len(raw):
        _, length, checksum = _FRAME.unpack_from(raw, offset)
        entry = raw[offset + _FRAME.size : offset + _FRAME.size + length]
        if len(entry) != length or zlib.crc32(entry) != checksum:
            return
        offset += _FRAME.size + length
        try:
            decoded = cbor.decode(entry, "audit entry", max_bytes=_MAX_ENTRY_BYTES)
            payload = as_map(decoded, "audit entry").get(_MESSAGE)
        except PeerError:
            continue
        if isinstance(payload, bytes):
            yield payload
