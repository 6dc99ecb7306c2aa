"""Key sets: whatever is taken is written again as it was read."""

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1

from schemas.codecs import cose
from schemas.codecs.jwks import encode_jwks, parse_jwks
from tests.fuzz.samples import KEY

SEEDS = [encode_jwks([KEY.public_key()])]


def one(data: bytes) -> None:
    keys = parse_jwks(data)
    assert all(isinstance(key.curve, SECP256R1) for key in keys)
    assert {cose.key_id(key) for key in parse_jwks(encode_jwks(keys))} == {cose.key_id(key) for key in keys}
