"""Results: the claims of a JWT that a trusted verifier has signed, the JWS around them, and what people are shown."""

import json
import random

from relying_party.result_board import standing_of
from relying_party.result_json import json_of
from relying_party.terminal.table import cells, headline_of, line_of
from schemas.codecs import jws
from schemas.messages.result import from_claims, to_claims
from tests.fuzz.cbor_tree import mutate_tree
from tests.fuzz.samples import JWS_KEYS, RESULT_CLAIMS, RESULT_TOKEN


def mutate_claims(data: bytes, chance: random.Random) -> bytes:
    """Claims that stay JSON."""
    try:
        return data[:1] + json.dumps(mutate_tree(json.loads(data[1:]), chance)).encode()
    except (ValueError, TypeError, RecursionError):
        return data


SEEDS = [RESULT_TOKEN, b"\x01" + RESULT_CLAIMS]
MUTATE = mutate_claims


def one(data: bytes) -> None:
    if data[:1] != b"\x01":
        claims = jws.verify(data, JWS_KEYS)
    else:
        try:
            loaded = json.loads(data[1:])
        except (ValueError, RecursionError):
            return
        if not isinstance(loaded, dict):
            return
        claims = loaded
    result = from_claims(claims)
    assert from_claims(json.loads(json.dumps(to_claims(result, "d", "b")))) == result
    standing = standing_of(result, 0)
    json_of(standing)
    headline_of(standing)
    assert line_of(standing, 0, {}).isprintable()
    assert all(cell.isprintable() for cell in cells(standing, 0, {}))
