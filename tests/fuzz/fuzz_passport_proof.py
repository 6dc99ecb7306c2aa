"""Answers to a relying party's challenge."""

from schemas.messages.passport_proof import encode_proof, parse_proof, verify_proof
from schemas.tpm.public import parse_public
from tests.fakes.relying_party import result_about
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import PASSPORT_CHALLENGE, PASSPORT_PROOF, RESULT_TOKEN

SEEDS = [PASSPORT_PROOF]
MUTATE = mutate_cbor
_KEY_NAME = parse_public(parse_proof(PASSPORT_PROOF).public).name


def one(data: bytes) -> None:
    proof = parse_proof(data)
    assert encode_proof(proof) == data
    verify_proof(proof, RESULT_TOKEN, PASSPORT_CHALLENGE, result_about(environment=_KEY_NAME))
