"""CBOR: what is decoded has exactly one encoding, the one it came in."""

from schemas.codecs import cbor
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import EVIDENCE, HANDLE, RAW_STATUS

SEEDS = [EVIDENCE, HANDLE, RAW_STATUS, cbor.encode({1: [True, None, -1, "text", b"bytes"], -65537: cbor.Tag(18, [])})]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    value = cbor.decode(data, "fuzz")
    assert cbor.encode(value) == data
