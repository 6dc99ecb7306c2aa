"""Proofs of an audit log, which an auditor reads from a party that they do not trust."""

import hashlib
from typing import Any

from schemas.audit.proof import AuditProof, ProvenEntry, ProvenHead, encode_proof, parse_proof
from schemas.codecs import cbor
from schemas.identifiers import Ueid
from schemas.media_types import AUDIT_PROOF
from tests.fuzz.cbor_tree import mutate_cbor

_HEAD = ProvenHead(note=b"note", stamp=b"token", cosignatures=b"")
_ENTRY = ProvenEntry(index=1, head=0, path=(bytes(32),), entry=b"entry")
_WHOLE: Any = cbor.decode(
    encode_proof(
        AuditProof(
            ueid=Ueid(b"\x01" + bytes(32)),
            at_us=1,
            heads=(_HEAD, _HEAD),
            consistency=((bytes(32),),),
            entries=(_ENTRY,),
            before=1,
            after=None,
        )
    ),
    "proof",
)
SEEDS = [_WHOLE[1]]  # the content: with its checksum every change would end at once
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    raw = cbor.encode([AUDIT_PROOF, data, hashlib.sha256(data).digest()])
    assert encode_proof(parse_proof(raw)) == raw
