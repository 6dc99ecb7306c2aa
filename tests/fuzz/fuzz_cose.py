"""COSE_Sign1: parsing, and verification by a key that did not sign."""

from schemas.codecs import cose
from schemas.reasons import Reason
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import HANDLE, KEYS, SOLICIT

SEEDS = [HANDLE, SOLICIT]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    sign1 = cose.parse(data, "fuzz")
    assert cose.encode(sign1) == data
    cose.verify(sign1, KEYS, {}, Reason.OBJECT_SIGNATURE_INVALID)
