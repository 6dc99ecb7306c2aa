"""Reads a CEL log in any encoding. The first byte determines the encoding.

This is no guess: a log that begins with anything else than a record, an array or a record separator is malformed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from schemas import limits
from schemas.cel import in_cbor as cel_cbor
from schemas.cel import in_json as cel_json
from schemas.cel import in_tlv as cel_tlv
from schemas.cel.records import CelRecord, malformed

_TLV_FIRST: Final = cel_tlv.RECNUM
_CBOR_MAPS: Final = range(0xA0, 0xB8)  # RFC 8949, 3.1: a map of up to 23 pairs
_CBOR_ARRAYS: Final = range(0x80, 0x9C)  # same clause: an array of any definite length


class CelEncoding(StrEnum):
    """The encoding of a log. Sequences grow by appending; arrays are written again as a whole."""

    CBOR_SEQUENCE = "cbor-sequence"
    CBOR_ARRAY = "cbor-array"
    JSON_SEQUENCE = "json-sequence"
    JSON_ARRAY = "json-array"
    TLV = "tlv"

    @property
    def grows(self) -> bool:
        """Whether the bytes of a log stay the same when records are added."""
        return self not in {CelEncoding.CBOR_ARRAY, CelEncoding.JSON_ARRAY}


@dataclass(frozen=True, slots=True, kw_only=True)
class CelRecords:
    """Records of a log, and their size in bytes. Bytes after them are a record that is cut short."""

    records: tuple[CelRecord, ...]
    size: int


def detect_encoding(data: bytes) -> CelEncoding:
    """Finds the encoding of a log that is not empty.

    Raises:
        PeerError: ``log-malformed``.
    """
    first = data[0]
    if first == _TLV_FIRST:
        return CelEncoding.TLV
    if first in _CBOR_MAPS:
        return CelEncoding.CBOR_SEQUENCE
    if first in _CBOR_ARRAYS:
        return CelEncoding.CBOR_ARRAY
    if data[:1] == cel_json.RECORD_SEPARATOR:
        return CelEncoding.JSON_SEQUENCE
    if data[:1] in (b"[", b" ", b"\n", b"\t", b"\r"):
        return CelEncoding.JSON_ARRAY
    raise malformed(f"a log that begins with {first:#04x}")


def read_records(data: bytes, encoding: CelEncoding) -> CelRecords:
    """Parses all whole records.

    Args:
        data: the log. A log that grows may begin at any record; an array must be complete.
        encoding: the log's encoding.

    Raises:
        PeerError: ``log-malformed``.
    """
    if len(data) > limits.MAX_BOOT_LOG_BYTES:
        raise malformed(f"{len(data)} bytes, the limit is {limits.MAX_BOOT_LOG_BYTES}")
    match encoding:
        case CelEncoding.JSON_ARRAY:
            return CelRecords(records=cel_json.parse_array(data), size=len(data))
        case CelEncoding.CBOR_ARRAY:
            return CelRecords(records=tuple(map(cel_cbor.parse_record, cel_cbor.split_array(data))), size=len(data))
        case _:
            split, parse = _SEQUENCES[encoding]
            raw, rest = split(data)
            return CelRecords(records=tuple(map(parse, raw)), size=len(data) - len(rest))


_Split: TypeAlias = Callable[[bytes], tuple[tuple[bytes, ...], bytes]]
_SEQUENCES: Final[dict[CelEncoding, tuple[_Split, Callable[[bytes], CelRecord]]]] = {
    CelEncoding.CBOR_SEQUENCE: (cel_cbor.split_records, cel_cbor.parse_record),
    CelEncoding.JSON_SEQUENCE: (cel_json.split_sequence, cel_json.parse_record),
    CelEncoding.TLV: (cel_tlv.split_records, cel_tlv.parse_record),
}
