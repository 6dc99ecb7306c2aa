"""Endorsements: on the wire, and as a CoRIM that a trusted endorser has signed."""

from schemas.messages.endorsement import verify_endorsement
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import CORIM_TYPE, ENDORSEMENT, ENDORSEMENT_PAYLOAD, KEYS, signed

SEEDS = [ENDORSEMENT, b"\x01" + ENDORSEMENT_PAYLOAD]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    verify_endorsement(signed(data[1:], CORIM_TYPE) if data[:1] == b"\x01" else data, KEYS)
