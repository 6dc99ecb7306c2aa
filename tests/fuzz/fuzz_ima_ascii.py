"""ASCII IMA lists: any bytes convert, or raise the parser's own error; what is converted is a binary list."""

from typing import Final

from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS, SHA1, SHA384
from schemas.ima import records as ima_records
from schemas.ima.ascii import convert_ascii
from tests.builders.ima_shown import show_ascii
from tests.builders.log_bytes import ima_legacy, ima_ng, ima_record

_LABELLED: Final = b"sha256:\0" + bytes(32)
_VIOLATION: Final = ima_record(b"ima-sig", _LABELLED, b"/v v\0", b"\x03s", template_hash=bytes(20))

SEEDS: Final = (
    show_ascii(ima_ng(b"/bin/a b\nc", b"content")) * 2,
    show_ascii(ima_ng(b"/bin/sh", b"content"), SHA384),
    show_ascii(ima_legacy(b"/old", b"content")),
    show_ascii(_VIOLATION),
    show_ascii(ima_record(b"ima-modsig", _LABELLED, b"/m\0", b"", _LABELLED, b"p", template_hash=bytes(20))),
    show_ascii(ima_record(b"d-ng|n-ng|iuid|imode", _LABELLED, b"/m\0", bytes(4), bytes(2), template_hash=bytes(20))),
)


def one(data: bytes) -> None:
    """One input."""
    for algorithm in HASH_ALGORITHMS:
        try:
            converted = convert_ascii(data, algorithm)
        except PeerError:
            continue
        assert len(converted.records) == len(converted.ends)
        records = ima_records.read_records(b"".join(converted.records))
        assert len(records.ends) == len(converted.records)
        if algorithm == SHA1:
            _files(records)


def _files(records: ima_records.ImaRecords) -> None:
    try:
        list(records.files(len(records.ends)))
    except PeerError:
        return
