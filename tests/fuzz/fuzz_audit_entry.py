"""Entries of an audit log, which an auditor reads from a party that they do not trust."""

from schemas.audit.anchors import Anchors, Start, encode_anchors, encode_start, parse_anchors, parse_start, public_der
from schemas.audit.entry import ANCHORS, START, EvidenceEntry, ObjectEntry, encode_entry, parse_entry
from schemas.identifiers import Ueid
from schemas.topics import TopicKind
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import KEY
from verifier_worker.audit.entry_text import entry_line

_KEY = public_der(KEY.public_key())
_ANCHORS = Anchors(
    verifier="v1",
    build="b",
    result_format="jwt",
    key=_KEY,
    endorsers=(_KEY,),
    distributors=(_KEY,),
    tsa_roots=(b"root",),
    tsa_intermediates=(),
    state_version=4,
)
_START = Start(anchors=bytes(32), policy=None, attesters=1, objects=2)
SEEDS = [
    encode_entry(ObjectEntry(received_us=1, kind=ANCHORS, raw=encode_anchors(_ANCHORS))),
    encode_entry(ObjectEntry(received_us=1, kind=START, raw=encode_start(_START))),
    encode_entry(ObjectEntry(received_us=1, kind=TopicKind.HANDLES, raw=b"handle")),
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
    entry = parse_entry(data)
    assert encode_entry(entry) == data
    if isinstance(entry, ObjectEntry) and entry.kind == ANCHORS:
        assert encode_anchors(parse_anchors(entry.raw)) == entry.raw
    if isinstance(entry, ObjectEntry) and entry.kind == START:
        assert encode_start(parse_start(entry.raw)) == entry.raw
