"""Audit entries as lines for people."""

import hashlib

from schemas.audit.entry import ObjectEntry, parse_entry
from schemas.errors import PeerError
from schemas.identifiers import ueid_text
from schemas.instants import utc


def entry_line(number: int, raw: bytes) -> str:
    """One line: number, time, attester, decision, reasons and start of the evidence's digest; or kind of the object."""
    try:
        entry = parse_entry(raw)
        when = utc(entry.received_us).isoformat(timespec="milliseconds")
    except (PeerError, OverflowError) as error:
        return f"{number} unreadable: {error.detail if isinstance(error, PeerError) else error}"
    if isinstance(entry, ObjectEntry):
        return f"{number} {when} {entry.kind} accepted digest={hashlib.sha256(entry.raw).hexdigest()[:16]}"
    reasons = ",".join(entry.reasons) or "-"
    kind = "refused" if entry.result is None else "result" if entry.payload is not None else entry.cause
    return f"{number} {when} {ueid_text(entry.ueid)} {kind} {reasons} evidence={entry.digest.hex()[:16]}"
