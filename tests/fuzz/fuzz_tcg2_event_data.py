"""Fuzz target: event data of every type, decoded, bound and shown. The first four bytes are the event type."""

from schemas.boot_log.binding import bind
from schemas.boot_log.event_data import decode_event_data
from schemas.boot_log.event_types import EventType
from schemas.boot_log.records import BootEvent, parse_event, split_records
from schemas.errors import PeerError
from schemas.hashes import SHA256
from schemas.text.boot_log import event_line
from tests.builders.log_bytes import FIRMWARE, uefi_variable

_LOG = (FIRMWARE / "binary_bios_measurements").read_bytes()
_SPLIT = split_records(_LOG)
_EVENTS = [parse_event(record, _SPLIT.format if index else None) for index, record in enumerate(_SPLIT.records)]

SEEDS = [
    *(event.event_type.to_bytes(4, "little") + event.data for event in _EVENTS),
    *(event_type.to_bytes(4, "little") + uefi_variable("db", b"x") for event_type in EventType),
]


def one(data: bytes) -> None:
    """Anything but a decoded value or a ``PeerError`` is a bug; a line for people never breaks."""
    event_type, content = int.from_bytes(data[:4], "little"), data[4:]
    event = BootEvent(
        pcr_index=0, event_type=event_type, digests=((SHA256.tpm_id, SHA256.digest(content)),), data=content
    )
    bind(event, (SHA256,))
    line = event_line(0, event)
    assert line.isprintable(), line
    try:
        decode_event_data(event_type, content)
    except PeerError:
        return
