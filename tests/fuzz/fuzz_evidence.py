"""Evidence: what parses encodes to the same bytes."""

from schemas.messages.evidence import encode_evidence, parse_evidence
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import DELTA, EVIDENCE

SEEDS = [EVIDENCE, DELTA]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    assert encode_evidence(parse_evidence(data)) == data
