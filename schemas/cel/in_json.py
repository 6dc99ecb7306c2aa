"""CEL records in JSON: an array, or a JSON text sequence (RFC 7464) like systemd's ``tpm2-measure.log``.

Byte strings are hexadecimal. Named values are written by their lower-case name; readers also accept the number. The
reader is strict: it refuses duplicate and unknown keys, floating point numbers, and text that is not Unicode. systemd's
records have no ``recnum``, and may have more members.
"""

import json
from collections.abc import Callable, Mapping
from typing import Final, NoReturn, TypeVar

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
from schemas.codecs.fields import as_array, as_map, as_text, as_uint
from schemas.errors import PeerError
from schemas.hashes import BY_NAME, BY_TPM_ID
from schemas.transitions import TransitionKind

RECORD_SEPARATOR: Final = b"\x1e"  # RFC 7464, 2
_TEXT_LIMIT: Final = 2 * limits.MAX_LOG_ENTRY_BYTES  # hexadecimal doubles the size
_TYPES: Final = {**{each.name.lower(): int(each) for each in ContentType}, "attestream": int(ContentType.APPLICATION)}
_TYPE_NAMES: Final = {number: name for name, number in _TYPES.items()}
_EVENTS: Final = {each.name.lower(): int(each) for each in ManagementEvent}
_TRANSITIONS: Final = {each.name.lower(): int(each) for each in TransitionKind}
_ALGORITHMS: Final = {name: algorithm.tpm_id for name, algorithm in BY_NAME.items()}

# PC Client Platform Firmware Profile 1.05, 10.4.1.
_PCCLIENT_EVENTS: Final = {
    "ev_preboot_cert": 0x0,
    "ev_post_code": 0x1,
    "ev_unused": 0x2,
    "ev_no_action": 0x3,
    "ev_separator": 0x4,
    "ev_action": 0x5,
    "ev_event_tag": 0x6,
    "ev_s_crtm_contents": 0x7,
    "ev_s_crtm_version": 0x8,
    "ev_cpu_microcode": 0x9,
    "ev_platform_config_flags": 0xA,
    "ev_table_of_devices": 0xB,
    "ev_compact_hash": 0xC,
    "ev_ipl": 0xD,
    "ev_ipl_partition_data": 0xE,
    "ev_nonhost_code": 0xF,
    "ev_nonhost_config": 0x10,
    "ev_nonhost_info": 0x11,
    "ev_omit_boot_device_events": 0x12,
    "ev_post_code2": 0x13,
    **{
        f"ev_efi_{name}": 0x8000_0000 + number
        for number, name in (
            *((0x1, "variable_driver_config"), (0x2, "variable_boot"), (0x3, "boot_services_application")),
            *((0x4, "boot_services_driver"), (0x5, "runtime_services_driver"), (0x6, "gpt_event"), (0x7, "action")),
            *((0x8, "platform_firmware_blob"), (0x9, "handoff_tables"), (0xA, "platform_firmware_blob2")),
            *((0xB, "handoff_tables2"), (0xC, "variable_boot2"), (0xD, "gpt_event2"), (0x10, "hcrtm_event")),
            *((0xE0, "variable_authority"), (0xE1, "spdm_firmware_blob"), (0xE2, "spdm_firmware_config")),
        )
    },
}

T = TypeVar("T")


def encode_record(record: CelRecord) -> bytes:
    """Encodes one record, on one line."""
    index = {"pcr": record.pcr} if record.pcr is not None else {"nv_index": record.nv_index}
    number = content_type(record.content)
    digests = [
        {
            "hashAlg": BY_TPM_ID[tpm_id].name if tpm_id in BY_TPM_ID else tpm_id,
            "digest": digest.hex(),
        }
        for tpm_id, digest in record.digests
    ]
    items = {
        **({"recnum": record.recnum} if record.recnum is not None else {}),
        **index,
        "digests": digests,
        "content_type": _TYPE_NAMES.get(number, number),
        "content": _encode_content(record.content),
    }
    return json.dumps(items, separators=(",", ":"), ensure_ascii=False).encode()


def parse_record(raw: bytes) -> CelRecord:
    """Parses one record.

    Raises:
        PeerError: ``log-malformed``.
    """
    if len(raw) > _TEXT_LIMIT:
        raise malformed(f"{len(raw)} bytes, the limit is {_TEXT_LIMIT}")
    return _translated(lambda: _parse(_load(raw)))


def split_sequence(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """Cuts the texts of a JSON text sequence.

    Returns:
        The whole texts, not parsed, and the bytes of a text that does not end in a line feed yet.

    Raises:
        PeerError: ``log-malformed`` for bytes before the first record separator, or a text that is too long.
    """
    if data and not data.startswith(RECORD_SEPARATOR):
        raise malformed("a JSON text sequence begins with a record separator")
    *texts, last = data.split(RECORD_SEPARATOR) if data else [b""]
    if any(len(text) > _TEXT_LIMIT for text in (*texts, last)):
        raise malformed(f"more than {_TEXT_LIMIT} bytes in one text")
    whole = [text for text in texts if text.strip()]
    if last.endswith(b"\n"):
        whole.append(last)
        last = b""
    return tuple(whole), RECORD_SEPARATOR + last if last else b""


def parse_array(data: bytes) -> tuple[CelRecord, ...]:
    """Parses a log that is one JSON array.

    Raises:
        PeerError: ``log-malformed``.
    """
    if len(data) > limits.MAX_BOOT_LOG_BYTES:
        raise malformed(f"{len(data)} bytes, the limit is {limits.MAX_BOOT_LOG_BYTES}")
    return _translated(lambda: tuple(map(_parse, as_array(_load(data), "log", limit=limits.MAX_LOG_ENTRIES))))


def _translated(work: Callable[[], T]) -> T:
    try:
        return work()
    except PeerError as error:
        raise malformed(error.detail) from error


def _load(raw: bytes) -> object:
    try:
        value: object = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_refuse,
            parse_constant=_refuse,
        )
    except (ValueError, RecursionError) as error:
        raise malformed(f"not JSON ({str(error)[:80]})") from error
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    items = dict(pairs)
    if len(items) != len(pairs):
        raise malformed("the same key twice")
    return items


def _refuse(text: str) -> NoReturn:
    raise malformed(f"number {text[:40]!r}: expected an integer")


def _parse(value: object) -> CelRecord:
    items = as_map(
        value,
        "record",
        required=("digests", "content_type", "content"),
        optional=("recnum", "pcr", "nv_index"),
    )
    digests = []
    for entry in as_array(items["digests"], "digests"):
        digest = as_map(entry, "digest", required=("hashAlg", "digest"), optional=())
        digests.append((_number(digest["hashAlg"], _ALGORITHMS, "hashAlg"), _hex(digest["digest"], "digest")))
    return CelRecord(
        recnum=as_uint(items["recnum"], "recnum") if "recnum" in items else None,
        pcr=as_uint(items["pcr"], "pcr") if "pcr" in items else None,
        nv_index=as_uint(items["nv_index"], "nv_index") if "nv_index" in items else None,
        digests=tuple(digests),
        content=_parse_content(_number(items["content_type"], _TYPES, "content type"), items["content"]),
    )


def _encode_content(content: Content) -> object:
    match content:
        case ManagementContent(event=event, values=values):
            data: object = None
            if event is ManagementEvent.CEL_VERSION:
                data = {"major": values[0], "minor": values[1]}
            elif event is ManagementEvent.STATE_TRANS:
                data = TransitionKind(values[0]).name.lower()
            elif values:
                data = values[0]
            return {"type": event.name.lower(), **({"data": data} if data is not None else {})}
        case PcClientContent():
            return {"event_type": content.event_type, "event_data": content.data.hex()}
        case ImaContent():
            return {"template_name": content.name, "template_data": content.data.hex()}
        case SystemdContent():
            members = {
                "eventType": content.event_type,
                "bootId": content.boot_id,
                "timestamp": content.timestamp,
                "string": content.string,
            }
            return {name: member for name, member in members.items() if member is not None}
        case ApplicationContent():
            return {"type": content.event_type, "name": content.name, "digest": content.digest.hex()}
        case OpaqueContent():
            return content.data.hex()


def _parse_content(number: int, value: object) -> Content:
    match number:
        case ContentType.CEL:
            return _parse_management(as_map(value, "cel", required=("type",), optional=("data",)))
        case ContentType.PCCLIENT_STD:
            items = as_map(value, "pcclient_std", required=("event_type", "event_data"), optional=())
            return PcClientContent(
                event_type=_number(items["event_type"], _PCCLIENT_EVENTS, "event type"),
                data=_hex(items["event_data"], "event data"),
            )
        case ContentType.IMA_TEMPLATE:
            items = as_map(value, "ima_template", required=("template_name", "template_data"), optional=())
            return ImaContent(
                name=as_text(items["template_name"], "template name", limit=_TEXT_LIMIT),
                data=_hex(items["template_data"], "template data"),
            )
        case ContentType.SYSTEMD:
            items = as_map(value, "systemd")  # newer versions add members; no digest covers members we do not know
            return SystemdContent(
                event_type=_optional_text(items, "eventType"),
                boot_id=_optional_text(items, "bootId"),
                timestamp=as_uint(items["timestamp"], "timestamp") if "timestamp" in items else None,
                string=_optional_text(items, "string"),
            )
        case ContentType.APPLICATION:
            items = as_map(value, "attestream", required=("type", "name", "digest"), optional=())
            return ApplicationContent(
                event_type=as_text(items["type"], "type", limit=_TEXT_LIMIT),
                name=as_text(items["name"], "name", limit=_TEXT_LIMIT),
                digest=_hex(items["digest"], "digest"),
            )
        case _:
            return OpaqueContent(content_type=number, data=_hex(value, "content"))


def _parse_management(items: Mapping[object, object]) -> ManagementContent:
    event = _number(items["type"], _EVENTS, "cel event")
    if event not in MANAGEMENT_EVENTS:
        raise malformed(f"cel event {event}")
    data = items.get("data")
    values: tuple[int, ...]
    if event == ManagementEvent.CEL_VERSION:
        if isinstance(data, Mapping):
            version = as_map(data, "cel_version", required=("major", "minor"), optional=())
            values = (as_uint(version["major"], "major"), as_uint(version["minor"], "minor"))
        else:
            values = tuple(as_uint(each, "cel_version") for each in as_array(data, "cel_version", length=2))
    elif event == ManagementEvent.STATE_TRANS:
        values = (_number(data, _TRANSITIONS, "state_trans"),)
    else:
        values = (as_uint(data, "cel data"),) if data is not None else ()
    return ManagementContent(event=ManagementEvent(event), values=values)


def _optional_text(items: Mapping[object, object], key: str) -> str | None:
    return as_text(items[key], key, limit=_TEXT_LIMIT) if key in items else None


def _number(value: object, names: Mapping[str, int], field: str) -> int:
    """Reads a number, or the number of a name."""
    if isinstance(value, str):
        number = names.get(value.lower())
        if number is None:
            raise malformed(f"{field} {value[:40]!r}: unknown")
        return number
    return as_uint(value, field)


def _hex(value: object, field: str) -> bytes:
    text = as_text(value, field, limit=_TEXT_LIMIT)
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise malformed(f"{field}: not hexadecimal") from error
    if len(raw) * 2 != len(text):  # fromhex skips spaces
        raise malformed(f"{field}: not hexadecimal")
    return raw
