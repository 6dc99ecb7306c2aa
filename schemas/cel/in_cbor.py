"""CEL records in CBOR. CEL increments travel in this encoding, and the log files that we write have it.

A record is ``{0: recnum, 1: pcr / 2: nv_index, 3: [{0: hashAlg, 1: digest}], 9: content_type, 10: content}``; a log
is a CBOR sequence (RFC 8742) of records, or an array of them. The reader accepts deterministic encodings only, so that
each record has exactly one encoding. Cutting never reads beyond the limits of one record.
"""

from collections.abc import Mapping
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
from schemas.codecs import cbor
from schemas.codecs.fields import as_array, as_bytes, as_map, as_text, as_uint
from schemas.errors import PeerError

RECNUM, PCR, NV_INDEX, DIGESTS, CONTENT_TYPE, CONTENT = 0, 1, 2, 3, 9, 10
_ALGORITHM, _DIGEST = 0, 1
_TEXT_LIMIT: Final = limits.MAX_LOG_ENTRY_BYTES

# RFC 8949, 3: major types; length of the argument by additional information.
_TEXT_OR_BYTES, _ARRAY, _MAP, _TAG, _SIMPLE = (2, 3), 4, 5, 6, 7
_ARGUMENT_BYTES: Final = {24: 1, 25: 2, 26: 4, 27: 8}


def encode_record(record: CelRecord) -> bytes:
    """Encodes one record.

    Raises:
        PeerError: ``log-malformed`` for a record without a recnum.
    """
    if record.recnum is None:
        raise malformed("no recnum")
    index = {PCR: record.pcr} if record.pcr is not None else {NV_INDEX: record.nv_index}
    return cbor.encode(
        {
            RECNUM: record.recnum,
            **index,
            DIGESTS: [{_ALGORITHM: tpm_id, _DIGEST: digest} for tpm_id, digest in record.digests],
            CONTENT_TYPE: content_type(record.content),
            CONTENT: _encode_content(record.content),
        }
    )


def parse_record(raw: bytes) -> CelRecord:
    """Parses one record.

    Raises:
        PeerError: ``log-malformed``.
    """
    try:
        return _parse(cbor.decode(raw, "CEL record", max_bytes=limits.MAX_LOG_ENTRY_BYTES))
    except PeerError as error:
        raise malformed(error.detail) from error


def split_records(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """Cuts records from a CBOR sequence.

    Args:
        data: the log from any index on.

    Returns:
        The whole items, not parsed, and the bytes of an item that is cut short.

    Raises:
        PeerError: ``log-malformed`` for an item that is not CBOR, too long, too deep, or of indefinite length.
    """
    records = []
    offset = 0
    while offset < len(data):
        end = _item_end(data, offset)
        if end is None:
            if len(data) - offset > limits.MAX_LOG_ENTRY_BYTES:
                raise malformed(f"more than {limits.MAX_LOG_ENTRY_BYTES} bytes at offset {offset}")
            break
        if end - offset > limits.MAX_LOG_ENTRY_BYTES:
            raise malformed(f"{end - offset} bytes at offset {offset}, the limit is {limits.MAX_LOG_ENTRY_BYTES}")
        records.append(data[offset:end])
        offset = end
    return tuple(records), data[offset:]


def split_array(data: bytes) -> tuple[bytes, ...]:
    """Cuts records from a log that is one array.

    Raises:
        PeerError: ``log-malformed``, also for an array that is cut short.
    """
    head = _head(data, 0)
    if head is None or head[0] != _ARRAY:
        raise malformed("not an array of records")
    records, rest = split_records(data[head[2] :])
    if rest or len(records) != head[1]:
        raise malformed(f"an array of {head[1]} records holds {len(records)}")
    return records


def _item_end(data: bytes, offset: int) -> int | None:
    """The end of the item at ``offset``; None if it is cut short. Reads only the heads of its parts."""
    pending = [1]  # items still to come at each depth
    while pending:
        if not pending[-1]:
            pending.pop()
            continue
        pending[-1] -= 1
        head = _head(data, offset)
        if head is None:
            return None
        major, argument, offset = head
        if major in _TEXT_OR_BYTES:
            offset += argument
        elif major in (_ARRAY, _MAP, _TAG):
            pending.append(1 if major == _TAG else argument * (2 if major == _MAP else 1))
            if len(pending) > limits.MAX_CBOR_DEPTH:
                raise malformed(f"more than {limits.MAX_CBOR_DEPTH} levels deep")
        if offset > len(data):
            return None
    return offset


def _head(data: bytes, offset: int) -> tuple[int, int, int] | None:
    """Major type and argument of the head at ``offset``, and the offset after it; None if it is cut short."""
    if offset >= len(data):
        return None
    major, information = data[offset] >> 5, data[offset] & 0x1F
    size = _ARGUMENT_BYTES.get(information, 0)
    end = offset + 1 + size
    if end > len(data):
        return None
    if information > max(_ARGUMENT_BYTES):
        raise malformed(f"indefinite length or reserved value at offset {offset}")
    argument = int.from_bytes(data[offset + 1 : end], "big") if size else information
    if major in (*_TEXT_OR_BYTES, _ARRAY, _MAP) and argument > limits.MAX_BOOT_LOG_BYTES:
        raise malformed(f"length {argument} at offset {offset}")
    return major, argument, end


def _parse(value: object) -> CelRecord:
    items = as_map(value, "record", required=(RECNUM, DIGESTS, CONTENT_TYPE, CONTENT), optional=(PCR, NV_INDEX))
    digests = []
    for entry in as_array(items[DIGESTS], "digests"):
        digest = as_map(entry, "digest", required=(_ALGORITHM, _DIGEST), optional=())
        digests.append((as_uint(digest[_ALGORITHM], "hashAlg"), as_bytes(digest[_DIGEST], "digest")))
    return CelRecord(
        recnum=as_uint(items[RECNUM], "recnum"),
        pcr=as_uint(items[PCR], "pcr") if PCR in items else None,
        nv_index=as_uint(items[NV_INDEX], "nv_index") if NV_INDEX in items else None,
        digests=tuple(digests),
        content=_parse_content(as_uint(items[CONTENT_TYPE], "content type"), items[CONTENT]),
    )


def _encode_content(content: Content) -> object:
    match content:
        case ManagementContent(event=ManagementEvent.CEL_VERSION, values=(major, minor)):
            return {0: int(content.event), 1: {0: major, 1: minor}}
        case ManagementContent(event=event, values=values):
            return {0: int(event), 1: values[0]} if values else {0: int(event)}
        case PcClientContent():
            return {0: content.event_type, 1: content.data}
        case ImaContent():
            return {0: content.name, 1: content.data}
        case SystemdContent():
            members = (content.event_type, content.boot_id, content.timestamp, content.string)
            return {number: member for number, member in enumerate(members) if member is not None}
        case ApplicationContent():
            return {0: content.event_type, 1: content.name, 2: content.digest}
        case OpaqueContent():
            return content.data


def _parse_content(number: int, value: object) -> Content:
    match number:
        case ContentType.CEL:
            return _parse_management(as_map(value, "cel", required=(0,), optional=(1,)))
        case ContentType.PCCLIENT_STD:
            items = as_map(value, "pcclient_std", required=(0, 1), optional=())
            return PcClientContent(event_type=as_uint(items[0], "event type"), data=as_bytes(items[1], "event data"))
        case ContentType.IMA_TEMPLATE:
            items = as_map(value, "ima_template", required=(0, 1), optional=())
            return ImaContent(
                name=as_text(items[0], "template name", limit=_TEXT_LIMIT), data=as_bytes(items[1], "template data")
            )
        case ContentType.SYSTEMD:
            items = as_map(value, "systemd", optional=(0, 1, 2, 3))
            return SystemdContent(
                event_type=_text(items, 0),
                boot_id=_text(items, 1),
                timestamp=as_uint(items[2], "timestamp") if 2 in items else None,  # noqa: PLR2004 fields by number
                string=_text(items, 3),
            )
        case ContentType.APPLICATION:
            items = as_map(value, "application", required=(0, 1, 2), optional=())
            return ApplicationContent(
                event_type=as_text(items[0], "type", limit=_TEXT_LIMIT),
                name=as_text(items[1], "name", limit=_TEXT_LIMIT),
                digest=as_bytes(items[2], "digest"),
            )
        case _:
            return OpaqueContent(content_type=number, data=as_bytes(value, "content"))


def _parse_management(items: Mapping[object, object]) -> ManagementContent:
    event = as_uint(items[0], "cel event")
    if event not in MANAGEMENT_EVENTS:
        raise malformed(f"cel event {event}")
    if event == ManagementEvent.CEL_VERSION:
        version = as_map(items.get(1), "cel_version", required=(0, 1), optional=())
        values: tuple[int, ...] = (as_uint(version[0], "major"), as_uint(version[1], "minor"))
    else:
        values = (as_uint(items[1], "cel data"),) if 1 in items else ()
    return ManagementContent(event=ManagementEvent(event), values=values)


def _text(items: Mapping[object, object], key: int) -> str | None:
    return as_text(items[key], "systemd content", limit=_TEXT_LIMIT) if key in items else None
