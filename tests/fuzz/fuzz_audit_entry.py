"""Entries of an audit log, which an auditor reads from whoever kept it."""

from schemas.audit_entry import HANDLE, EvidenceEntry, ObjectEntry, encode_entry, parse_entry
from schemas.identifiers import Ueid
from tests.fuzz.cbor_tree import mutate_cbor
from verifier_worker.audit_text import entry_line

SEEDS = [
    encode_entry(ObjectEntry(received_us=1, kind=HANDLE, raw=b"handle")),
    encode_entry(
        EvidenceEntry(
            received_us=1,
            ueid=Ueid(b"\x01" + bytes(32)),
            reasons=("resumed",),
            result=b"a.b.c",
            digest=bytes(32),
            payload=b"push",
        )
    ),
]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    entry_line(1, data)
    assert encode_entry(parse_entry(data)) == data
