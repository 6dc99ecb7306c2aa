"""Status of a process: online, or (by its last will) offline. Not signed; for people. No verdict depends on it."""

from dataclasses import dataclass
from typing import Final

from schemas import media_types
from schemas.codecs import cbor, cmw
from schemas.codecs.fields import as_bool, as_map, as_text

_ROLE, _NAME, _ONLINE, _VERSION = 1, 2, 3, 4
_MAX_BYTES: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A process and whether it is connected."""

    role: str
    name: str
    online: bool
    version: str


def encode_status(status: Status) -> bytes:
    """The value of the CMW record."""
    return cbor.encode({_ROLE: status.role, _NAME: status.name, _ONLINE: status.online, _VERSION: status.version})


def status_message(role: str, name: str, *, online: bool, version: str) -> bytes:
    """The CMW record of a status, as it is published."""
    status = Status(role=role, name=name, online=online, version=version)
    return cmw.wrap(media_types.STATUS, encode_status(status), None)


def parse_unverified_status(raw: bytes) -> Status:
    """Parses a status; anyone on the broker can have written it.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    items = as_map(
        cbor.decode(raw, "status", max_bytes=_MAX_BYTES),
        "status",
        required=(_ROLE, _NAME, _ONLINE, _VERSION),
        optional=(),
    )
    return Status(
        role=as_text(items[_ROLE], "status role", limit=64),
        name=as_text(items[_NAME], "status name", limit=64),
        online=as_bool(items[_ONLINE], "status online"),
        version=as_text(items[_VERSION], "status version", limit=64),
    )
