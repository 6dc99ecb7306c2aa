"""Statuses: what parses encodes to the same bytes."""

from schemas.messages.status import encode_status, parse_unverified_status
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import RAW_STATUS

SEEDS = [RAW_STATUS]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    assert encode_status(parse_unverified_status(data)) == data
