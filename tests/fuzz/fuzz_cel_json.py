"""CEL logs in JSON: nothing but a ``PeerError``."""

from schemas.cel import in_json as cel_json
from schemas.cel.any_encoding import CelEncoding, read_records
from schemas.cel.records import ApplicationContent, application_record
from schemas.errors import PeerError

_CONTENT = ApplicationContent(event_type="app.config", name="/etc/app.conf", digest=bytes(32))
_RECORD = cel_json.encode_record(application_record(16, _CONTENT, (4, 11), 0))
SEEDS = (
    b"\x1e" + _RECORD + b"\n",
    b"[" + _RECORD + b"]",
    b'\x1e{"pcr":11,"digests":[{"hashAlg":"sm3_256","digest":"00"}],"content_type":"systemd","content":{"string":"s"}}\n',
    b'[{"recnum":0,"pcr":0,"digests":[],"content_type":"cel","content":{"type":"cel_version","data":[1,1]}}]',
)


def one(data: bytes) -> None:
    """Reads a text sequence and an array; what parses comes back from its encoding."""
    for encoding in (CelEncoding.JSON_SEQUENCE, CelEncoding.JSON_ARRAY):
        try:
            read = read_records(data, encoding)
        except PeerError:
            continue
        for record in read.records:
            assert cel_json.parse_record(cel_json.encode_record(record)) == record
