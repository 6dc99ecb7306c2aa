"""Decodes the data of boot events by event type. A replay does not need this.

Parsing is exact and bounded for the structures that the PC Client profile defines. Data whose form it leaves open, and
data of unknown types, become ``Text`` or ``Opaque``. Decoding does not prove anything: anyone may have written data
that no digest covers (``binding.DescriptiveData``), so call ``binding.bind`` first.

Source: PFP 1.06, 10.2 and 10.4. All integers little-endian.
"""

from collections.abc import Callable, Mapping
from typing import Final

from schemas.boot_log.device_path import device_path_text
from schemas.boot_log.event_types import EventType
from schemas.boot_log.event_values import (
    DeviceSecurity,
    EventData,
    FirmwareBlob,
    HandoffTables,
    ImageLoad,
    Opaque,
    Partition,
    PartitionTable,
    ReferenceManifest,
    Separator,
    SpecId,
    StartupLocality,
    TaggedEvent,
    Text,
    VariableEvent,
)
from schemas.boot_log.quirks import MAX_IMAGE_TRAILING_BYTES, max_trailing_bytes
from schemas.boot_log.uefi_text import GUID_BYTES, guess_text, guid_text, read_guid, utf16_text
from schemas.boot_log.uefi_variable import parse_variable
from schemas.boot_log.windows_tags import parse_tagged_values
from schemas.codecs.reader import Reader
from schemas.errors import PeerError
from schemas.reasons import Reason
from schemas.tpm.pcr import STARTUP_LOCALITIES

MAX_PARTITIONS: Final = 512
MAX_TABLES: Final = 1024
_FIRMWARE_BLOB_BYTES: Final = 16
_SIGNATURE_BYTES: Final = 16
_GPT_HEADER_BYTES: Final = 92  # UEFI 2.10, 5.3.2
_GPT_ENTRY_BYTES: Final = 128  # UEFI 2.10, 5.3.3, as UEFI_GPT_DATA fixes it


def decode_event_data(event_type: int, data: bytes) -> EventData:
    """Decodes event data.

    Args:
        event_type: the type that the log states.
        data: event data; the log's parser has limited their size.

    Raises:
        PeerError: ``malformed`` if the data do not have the structure of the type.
    """
    decoder = _DECODERS.get(event_type)
    return decoder(data) if decoder is not None else _text_or_opaque(data)


def _text_or_opaque(data: bytes) -> Text | Opaque:
    text = guess_text(data)
    return Text(value=text) if text else Opaque(content=data)


def _version(data: bytes) -> Text | Opaque:
    """Decodes EV_S_CRTM_VERSION: UTF-16, a GUID, or (against the profile) ASCII."""
    if not data.strip(b"\0"):
        return Text(value="")
    decoded = _text_or_opaque(data)
    if isinstance(decoded, Opaque) and len(data) == GUID_BYTES:
        return Text(value=guid_text(data))
    return decoded


def _separator(data: bytes) -> Separator:
    reader = Reader(data, "little")
    value = reader.uint(4, "separator")
    if value not in {0, 1, 0xFFFFFFFF} or (reader.remaining and value != 1):
        raise PeerError(Reason.MALFORMED, f"separator: {data[:16].hex()}")
    return Separator(value=value, detail=reader.take(reader.remaining, "separator"))


def _variable(event_type: EventType) -> Callable[[bytes], VariableEvent]:
    limit = max_trailing_bytes(event_type)
    return lambda data: VariableEvent(variable=parse_variable(data, limit))


def _image(data: bytes) -> ImageLoad:
    reader = Reader(data, "little")
    location, length, link = (reader.uint(8, f"image {name}") for name in ("location", "length", "link address"))
    path = device_path_text(reader.sized(8, len(data), "image device path"))
    if reader.remaining > MAX_IMAGE_TRAILING_BYTES:
        reader.finish("image load event")
    return ImageLoad(location=location, length=length, link_time_address=link, path=path)


def _partition_table(data: bytes) -> PartitionTable:
    reader = Reader(data, "little")
    header = Reader(reader.take(_GPT_HEADER_BYTES, "GPT header"), "little")
    if header.take(8, "GPT signature") != b"EFI PART":
        raise PeerError(Reason.MALFORMED, "GPT: no EFI PART")
    header.take(4 * 4 + 2 * 8, "GPT revision to alternate LBA")
    first, last = header.uint(8, "first usable LBA"), header.uint(8, "last usable LBA")
    disk = read_guid(header, "disk GUID")
    count = reader.uint(8, "partitions")
    if count > MAX_PARTITIONS:
        raise PeerError(Reason.TOO_LARGE, f"GPT: {count} partitions, the limit is {MAX_PARTITIONS}")
    partitions = tuple(_partition(Reader(reader.take(_GPT_ENTRY_BYTES, "GPT entry"), "little")) for _ in range(count))
    reader.finish("GPT event")
    return PartitionTable(disk=disk, first_usable_block=first, last_usable_block=last, partitions=partitions)


def _partition(entry: Reader) -> Partition:
    return Partition(
        kind=read_guid(entry, "partition type"),
        identity=read_guid(entry, "partition GUID"),
        first_block=entry.uint(8, "first LBA"),
        last_block=entry.uint(8, "last LBA"),
        attributes=entry.uint(8, "attributes"),
        name=utf16_text(entry.take(72, "partition name"), "partition name"),
    )


def _firmware_blob(data: bytes) -> FirmwareBlob | Text | Opaque:
    if len(data) != _FIRMWARE_BLOB_BYTES:  # the profile allows a string instead of the structure
        return _text_or_opaque(data)
    return FirmwareBlob(base=int.from_bytes(data[:8], "little"), length=int.from_bytes(data[8:], "little"))


def _firmware_blob2(data: bytes) -> FirmwareBlob:
    reader = Reader(data, "little")
    description = reader.sized(1, 255, "description")
    base, length = reader.uint(8, "blob base"), reader.uint(8, "blob length")
    reader.finish("firmware blob")
    return FirmwareBlob(base=base, length=length, description=description.rstrip(b"\0").decode("latin-1"))


def _handoff_tables(data: bytes) -> HandoffTables:
    return _read_tables(Reader(data, "little"), "")


def _handoff_tables2(data: bytes) -> HandoffTables:
    reader = Reader(data, "little")
    description = reader.sized(1, 255, "description")
    return _read_tables(reader, description.rstrip(b"\0").decode("latin-1"))


def _read_tables(reader: Reader, description: str) -> HandoffTables:
    count = reader.uint(8, "tables")
    if count > MAX_TABLES:
        raise PeerError(Reason.TOO_LARGE, f"handoff tables: {count}, the limit is {MAX_TABLES}")
    tables = tuple((read_guid(reader, "table GUID"), reader.uint(8, "table address")) for _ in range(count))
    reader.finish("handoff tables")
    return HandoffTables(tables=tables, description=description)


def _tagged(data: bytes) -> TaggedEvent:
    return TaggedEvent(values=parse_tagged_values(data))


def _no_action(data: bytes) -> EventData:
    for signature, decoder in _NO_ACTION_KINDS.items():
        if data.startswith(signature):
            return decoder(data)
    return _text_or_opaque(data)


def _spec_id(data: bytes) -> SpecId:
    reader = Reader(data, "little", _SIGNATURE_BYTES)
    platform_class = reader.uint(4, "platform class")
    minor, major, errata, _ = (reader.uint(1, "Spec ID version") for _ in range(4))
    if data.startswith(b"Spec ID Event03"):
        reader.take(4 * reader.uint(4, "algorithms"), "algorithms")
    vendor = reader.sized(1, 255, "vendor data")
    reader.finish("Spec ID")
    return SpecId(version=f"{major}.{minor} errata {errata}", platform_class=platform_class, vendor_data=vendor)


def _startup_locality(data: bytes) -> StartupLocality:
    reader = Reader(data, "little", _SIGNATURE_BYTES)
    locality = reader.uint(1, "startup locality")
    reader.finish("startup locality")
    if locality not in STARTUP_LOCALITIES:
        raise PeerError(Reason.MALFORMED, f"startup locality {locality}: expected one of {STARTUP_LOCALITIES}")
    return StartupLocality(locality=locality)


def _manifest(data: bytes) -> ReferenceManifest:
    reader = Reader(data, "little")
    signature = reader.take(_SIGNATURE_BYTES, "signature").rstrip(b"\0").decode("latin-1")
    vendor_id, manifest = reader.uint(4, "vendor"), read_guid(reader, "manifest GUID")
    rest = reader.take(reader.remaining, "manifest")
    return ReferenceManifest(signature=signature, vendor_id=vendor_id, manifest=manifest, rest=rest)


def _device_security(data: bytes) -> EventData:
    reader = Reader(data, "little", _SIGNATURE_BYTES)
    if data.startswith(b"SPDM Device Sec2"):
        version, auth_state = reader.uint(2, "version"), reader.uint(1, "authentication state")
        reader.take(1 + 4, "reserved and length")
        device_type = reader.uint(4, "device type")
        reader.take(4 + 4 + 8, "sub-header type, length and id")
        path = device_path_text(reader.sized(8, len(data), "device path"))
    elif data.startswith(b"SPDM Device Sec\0"):
        version, auth_state, path = reader.uint(2, "version"), None, ""
        reader.take(2 + 4, "length and hash algorithm")
        device_type = reader.uint(4, "device type")
    else:
        return _text_or_opaque(data)
    content = reader.take(reader.remaining, "device security")
    return DeviceSecurity(version=version, device_type=device_type, auth_state=auth_state, path=path, content=content)


_NO_ACTION_KINDS: Final[Mapping[bytes, Callable[[bytes], EventData]]] = {
    b"Spec ID Event03\0": _spec_id,
    b"Spec ID Event02\0": _spec_id,
    b"StartupLocality\0": _startup_locality,
    b"SP800-155 Event\0": _manifest,
    b"SP800-155 Event2": _manifest,
    b"SP800-155 Event3": _manifest,
}

_DECODERS: Final[Mapping[int, Callable[[bytes], EventData]]] = {
    EventType.EV_NO_ACTION: _no_action,
    EventType.EV_SEPARATOR: _separator,
    EventType.EV_EVENT_TAG: _tagged,
    EventType.EV_S_CRTM_VERSION: _version,
    EventType.EV_EFI_VARIABLE_DRIVER_CONFIG: _variable(EventType.EV_EFI_VARIABLE_DRIVER_CONFIG),
    EventType.EV_EFI_VARIABLE_BOOT: _variable(EventType.EV_EFI_VARIABLE_BOOT),
    EventType.EV_EFI_VARIABLE_BOOT2: _variable(EventType.EV_EFI_VARIABLE_BOOT2),
    EventType.EV_EFI_VARIABLE_AUTHORITY: _variable(EventType.EV_EFI_VARIABLE_AUTHORITY),
    EventType.EV_EFI_SPDM_DEVICE_POLICY: _variable(EventType.EV_EFI_SPDM_DEVICE_POLICY),
    EventType.EV_EFI_SPDM_DEVICE_AUTHORITY: _variable(EventType.EV_EFI_SPDM_DEVICE_AUTHORITY),
    EventType.EV_EFI_BOOT_SERVICES_APPLICATION: _image,
    EventType.EV_EFI_BOOT_SERVICES_DRIVER: _image,
    EventType.EV_EFI_RUNTIME_SERVICES_DRIVER: _image,
    EventType.EV_EFI_GPT_EVENT: _partition_table,
    EventType.EV_EFI_GPT_EVENT2: _partition_table,
    EventType.EV_POST_CODE: _firmware_blob,
    EventType.EV_POST_CODE2: _firmware_blob2,
    EventType.EV_EFI_PLATFORM_FIRMWARE_BLOB: _firmware_blob,
    EventType.EV_EFI_PLATFORM_FIRMWARE_BLOB2: _firmware_blob2,
    EventType.EV_EFI_HANDOFF_TABLES: _handoff_tables,
    EventType.EV_EFI_HANDOFF_TABLES2: _handoff_tables2,
    EventType.EV_EFI_SPDM_FIRMWARE_BLOB: _device_security,
    EventType.EV_EFI_SPDM_FIRMWARE_CONFIG: _device_security,
}
