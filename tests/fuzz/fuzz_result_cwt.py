"""Results as CWT: on the wire, and as a trusted verifier may have signed them; they say the same as a JWT."""

import json

from schemas.codecs import cbor, cose
from schemas.messages import result_cwt, result_token
from schemas.messages.result import from_claims, to_claims
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import JWS_KEYS, KEY, KEYS, RESULT_CLAIMS, RESULT_CWT

_TYPE = {cose.HEADER_TYPE: result_cwt.TYPE}
SEEDS = [RESULT_CWT, b"\x01" + cbor.encode(result_cwt.to_cbor(json.loads(RESULT_CLAIMS)))]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    token = data if data[:1] != b"\x01" else cose.encode(cose.sign(data[1:], KEY, _TYPE))
    result = from_claims(result_cwt.verify(token, KEYS))
    again = result_cwt.sign(json.loads(json.dumps(to_claims(result, "d", "b"))), KEY)
    assert result_token.verify(again, JWS_KEYS) == result
