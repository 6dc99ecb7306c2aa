"""``endorser corim show``: any bytes are shown or refused."""

from endorser.core.corim_text import describe_corim, text_of
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import REFERENCE_VALUES, REFERENCE_VALUES_PAYLOAD

SEEDS = [REFERENCE_VALUES, REFERENCE_VALUES_PAYLOAD]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    text = text_of(describe_corim(data, {}))
    assert all(char.isprintable() or char == "\n" for char in text)
