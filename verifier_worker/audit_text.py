"""Audit entries as lines for people."""

from datetime import UTC, datetime, timedelta

from schemas import cbor
from schemas.errors import PeerError
from schemas.fields import as_array, as_bytes, as_map, as_uint
from schemas.identifiers import parse_ueid, ueid_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_BYTES = 4 * 1024 * 1024


def entry_line(number: int, entry: bytes) -> str:
    """One line: number, time, attester, what was decided, reasons, start of the evidence's digest."""
    try:
        items = as_map(cbor.decode(entry, "audit entry", max_bytes=_MAX_BYTES), "audit entry", required=range(1, 7))
        when = _EPOCH + timedelta(microseconds=as_uint(items[1], "time"))
        who = ueid_text(parse_ueid(as_bytes(items[2], "ueid")))
        reasons = ",".join(str(reason) for reason in as_array(items[3], "reasons")) or "-"
        kind = "refused" if items[4] is None else "result" if items[6] is not None else "overdue"
        digest = as_bytes(items[5], "digest").hex()[:16]
    except PeerError as error:
        return f"{number} unreadable: {error.detail}"
    return f"{number} {when.isoformat(timespec='milliseconds')} {who} {kind} {reasons} evidence={digest}"
