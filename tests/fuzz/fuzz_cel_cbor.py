"""CEL logs in CBOR: nothing but a ``PeerError``."""

from schemas.cel import in_cbor as cel_cbor
from schemas.cel.any_encoding import CelEncoding, read_records
from schemas.cel.records import ApplicationContent, CelRecord, SystemdContent, application_record
from schemas.errors import PeerError

_CONTENT = ApplicationContent(event_type="app.config", name="/etc/app.conf", digest=bytes(32))
SEEDS = (
    cel_cbor.encode_record(application_record(16, _CONTENT, (4, 11), 0)),
    cel_cbor.encode_record(CelRecord(recnum=1, nv_index=0x01D10200, digests=(), content=SystemdContent(string="s"))),
    b"\x81" + cel_cbor.encode_record(application_record(16, _CONTENT, (11,), 1)),
    b"\x80",
)


def one(data: bytes) -> None:
    """Reads a sequence and an array; what parses is encoded to the same bytes."""
    for encoding in (CelEncoding.CBOR_SEQUENCE, CelEncoding.CBOR_ARRAY):
        try:
            read = read_records(data, encoding)
        except PeerError:
            continue
        assert data[: read.size].endswith(b"".join(map(cel_cbor.encode_record, read.records)))
