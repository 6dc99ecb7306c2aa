"""CEL records as TLV: a type of one byte, a length of four bytes (big-endian), the value.

A record is recnum, PCR or NV index, digests, content, in this order (CEL 1.1). Integers have 1 to 8 bytes: libcel
writes as few as possible, go-eventlog a fixed number. We read both and write as few as possible.
"""

from collections.abc import Sequence
from typing import Final

from schemas import limits
from schemas.cel.records import (
    MANAGEMENT_EVENTS,
    ApplicationContent,
    CelRecord,
    Content,
    ContentType,
    ImaContent,
    ManagementContent,
    ManagementEvent,
    OpaqueContent,
    PcClientContent,
    SystemdContent,
    content_type,
    malformed,
)
from schemas.codecs.reader import Reader
from schemas.errors import PeerError

RECNUM, PCR, NV_INDEX, DIGESTS = 0, 1, 2, 3
_HEAD_BYTES: Final = 5
_MAX_INTEGER_BYTES: Final = 8
_FIELDS: Final = 4  # of a record


def encode_record(record: CelRecord) -> bytes:
    """Encodes one record.

    Raises:
        PeerError: ``log-malformed`` for a record without a recnum, or with an algorithm that does not fit into a byte.
    """
    if record.recnum is None:
        raise malformed("no recnum")
    if any(tpm_id > 0xFF for tpm_id, _ in record.digests):  # noqa: PLR2004 the type is one byte
        raise malformed("an algorithm that does not fit into the one byte of a TLV type")
    index = _uint(NV_INDEX if record.pcr is None else PCR, record.index)
    digests = b"".join(_tlv(tpm_id, digest) for tpm_id, digest in record.digests)
    content = _tlv(content_type(record.content), _encode_content(record.content))
    return _uint(RECNUM, record.recnum) + index + _tlv(DIGESTS, digests) + content


def parse_record(raw: bytes) -> CelRecord:
    """Parses one record.

    Raises:
        PeerError: ``log-malformed``.
    """
    try:
        return _parse(raw)
    except PeerError as error:
        raise malformed(error.detail) from error


def split_records(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """Cuts records from a log.

    Returns:
        The whole records, each of four fields and not parsed, and the bytes of a record that is cut short.

    Raises:
        PeerError: ``log-malformed`` for a record that is too long.
    """
    records: list[bytes] = []
    offset = 0
    while True:
        end = offset
        for _ in range(_FIELDS):
            value = end + _HEAD_BYTES
            size = int.from_bytes(data[end + 1 : value], "big")
            if value + size - offset > limits.MAX_LOG_ENTRY_BYTES:
                raise malformed(f"more than {limits.MAX_LOG_ENTRY_BYTES} bytes at offset {offset}")
            end = value + size
            if end > len(data):
                return tuple(records), data[offset:]
        records.append(data[offset:end])
        offset = end


def _parse(raw: bytes) -> CelRecord:
    if len(raw) > limits.MAX_LOG_ENTRY_BYTES:
        raise malformed(f"{len(raw)} bytes, the limit is {limits.MAX_LOG_ENTRY_BYTES}")
    fields = _fields(raw, _FIELDS)
    if len(fields) != _FIELDS or [fields[0][0], fields[2][0]] != [RECNUM, DIGESTS]:
        raise malformed("expected recnum, index, digests and content")
    (_, recnum), (kind, index), (_, digests), (number, content) = fields
    if kind not in (PCR, NV_INDEX):
        raise malformed(f"field {kind} instead of a PCR or NV index")
    return CelRecord(
        recnum=_integer(recnum),
        pcr=_integer(index) if kind == PCR else None,
        nv_index=_integer(index) if kind == NV_INDEX else None,
        digests=tuple(_fields(digests, limits.MAX_PCR_BANKS)),
        content=_parse_content(number, content),
    )


def _encode_content(content: Content) -> bytes:
    match content:
        case ManagementContent(event=ManagementEvent.CEL_VERSION, values=(major, minor)):
            return _tlv(content.event, _uint(0, major) + _uint(1, minor))
        case ManagementContent(event=event, values=values):
            return _uint(event, values[0]) if values else _tlv(event, b"")
        case PcClientContent():
            return _uint(0, content.event_type) + _tlv(1, content.data)
        case ImaContent():
            return _tlv(0, content.name.encode()) + _tlv(1, content.data)
        case SystemdContent():
            texts = {0: content.event_type, 1: content.boot_id, 3: content.string}
            members = {number: _tlv(number, text.encode()) for number, text in texts.items() if text is not None}
            if content.timestamp is not None:
                members[2] = _uint(2, content.timestamp)
            return b"".join(members[number] for number in sorted(members))
        case ApplicationContent():
            return _tlv(0, content.event_type.encode()) + _tlv(1, content.name.encode()) + _tlv(2, content.digest)
        case OpaqueContent():
            return content.data


def _parse_content(number: int, value: bytes) -> Content:
    match number:
        case ContentType.CEL:
            return _parse_management(value)
        case ContentType.PCCLIENT_STD:
            event_type, data = _members(value, (0, 1))
            return PcClientContent(event_type=_integer(event_type), data=data)
        case ContentType.IMA_TEMPLATE:
            name, data = _members(value, (0, 1))
            return ImaContent(name=_text(name), data=data)
        case ContentType.SYSTEMD:
            fields = _fields(value, 4)
            members = dict(fields)
            if [kind for kind, _ in fields] != sorted(members) or not members.keys() <= {0, 1, 2, 3}:
                raise malformed("systemd content: unknown, repeated or unordered fields")
            return SystemdContent(
                event_type=_text(members[0]) if 0 in members else None,
                boot_id=_text(members[1]) if 1 in members else None,
                timestamp=_integer(members[2]) if 2 in members else None,  # noqa: PLR2004 fields by number
                string=_text(members[3]) if 3 in members else None,  # noqa: PLR2004
            )
        case ContentType.APPLICATION:
            event_type, name, digest = _members(value, (0, 1, 2))
            return ApplicationContent(event_type=_text(event_type), name=_text(name), digest=digest)
        case _:
            return OpaqueContent(content_type=number, data=value)


def _parse_management(value: bytes) -> ManagementContent:
    fields = _fields(value, 1)
    if len(fields) != 1 or fields[0][0] not in MANAGEMENT_EVENTS:
        raise malformed("cel content: expected exactly one known event")
    event, data = ManagementEvent(fields[0][0]), fields[0][1]
    if event is ManagementEvent.CEL_VERSION:
        return ManagementContent(event=event, values=tuple(_integer(each) for each in _members(data, (0, 1))))
    return ManagementContent(event=event, values=(_integer(data),) if data else ())


def _fields(data: bytes, limit: int) -> list[tuple[int, bytes]]:
    """Type and value of each TLV in ``data``; there must be nothing else in it."""
    reader = Reader(data, "big")
    fields: list[tuple[int, bytes]] = []
    while reader.remaining:
        if len(fields) == limit:
            raise malformed(f"more than {limit} fields")
        kind = reader.uint(1, "type")
        fields.append((kind, reader.sized(4, limits.MAX_LOG_ENTRY_BYTES, "value")))
    return fields


def _members(data: bytes, kinds: Sequence[int]) -> list[bytes]:
    """The values of the TLVs in ``data``, which must have exactly these types in this order."""
    fields = _fields(data, len(kinds))
    if [kind for kind, _ in fields] != list(kinds):
        raise malformed(f"expected the fields {', '.join(map(str, kinds))}")
    return [value for _, value in fields]


def _integer(value: bytes) -> int:
    if not 0 < len(value) <= _MAX_INTEGER_BYTES:
        raise malformed(f"an integer of {len(value)} bytes")
    return int.from_bytes(value, "big")


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed("text that is not UTF-8") from error


def _tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(4, "big") + value


def _uint(kind: int, number: int) -> bytes:
    return _tlv(kind, number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big"))
