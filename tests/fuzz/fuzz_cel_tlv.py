"""CEL logs as TLV: nothing but a ``PeerError``."""

from schemas.cel import in_tlv as cel_tlv
from schemas.cel.any_encoding import CelEncoding, read_records
from schemas.cel.records import ApplicationContent, CelRecord, PcClientContent, application_record
from schemas.errors import PeerError

_CONTENT = ApplicationContent(event_type="app.config", name="/etc/app.conf", digest=bytes(32))
SEEDS = (
    cel_tlv.encode_record(application_record(16, _CONTENT, (4, 11), 0)),
    cel_tlv.encode_record(CelRecord(recnum=9, pcr=0, digests=(), content=PcClientContent(event_type=3, data=b"x"))),
)


def one(data: bytes) -> None:
    """Reads a log; what parses comes back from its encoding."""
    try:
        read = read_records(data, CelEncoding.TLV)
    except PeerError:
        return
    for record in read.records:
        assert cel_tlv.parse_record(cel_tlv.encode_record(record)) == record
