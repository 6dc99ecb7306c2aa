"""Reference values: on the wire, and as a CoRIM that a trusted endorser has signed."""

from schemas.messages.reference_values import verify_reference_values
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import CORIM_TYPE, KEYS, REFERENCE_VALUES, REFERENCE_VALUES_PAYLOAD, signed

SEEDS = [REFERENCE_VALUES, b"\x01" + REFERENCE_VALUES_PAYLOAD]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    verify_reference_values(signed(data[1:], CORIM_TYPE) if data[:1] == b"\x01" else data, KEYS)
