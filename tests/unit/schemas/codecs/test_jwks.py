"""Key sets: other JWKS libraries read ours, and only usable keys are taken from a set."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from jwt import PyJWKSet

from schemas.codecs import cose
from schemas.codecs.jwks import encode_jwks, parse_jwks
from schemas.errors import PeerError
from schemas.reasons import Reason

OLD, NEW = (derive_private_key(number, SECP256R1()).public_key() for number in (21, 22))
ENTRY = json.loads(encode_jwks([OLD]))["keys"][0]


def one(**changes: object) -> bytes:
    entry = {name: value for name, value in {**ENTRY, **changes}.items() if value is not None}
    return json.dumps({"keys": [entry]}).encode()


def refusal(raw: bytes) -> Reason:
    with pytest.raises(PeerError) as refused:
        parse_jwks(raw)
    return refused.value.reason


def test_a_set_comes_back_with_every_key() -> None:
    ids = {cose.key_id(key) for key in parse_jwks(encode_jwks([OLD, NEW, OLD]))}
    assert ids == {cose.key_id(OLD), cose.key_id(NEW)}


def test_another_library_reads_it() -> None:
    read = PyJWKSet.from_json(encode_jwks([OLD, NEW]).decode())
    assert {key.key_id: key.key.public_numbers() for key in read.keys} == {
        cose.key_id(key).hex(): key.public_numbers() for key in (OLD, NEW)
    }


@pytest.mark.parametrize("changes", [{"kid": "anything"}, {"alg": None}, {"use": None}, {"key_ops": ["verify"]}])
def test_optional_members_may_be_missing(changes: dict[str, object]) -> None:
    assert [key.public_numbers() for key in parse_jwks(one(**changes))] == [OLD.public_numbers()]


@pytest.mark.parametrize(
    "changes",
    [{"kty": "RSA"}, {"crv": "P-384"}, {"alg": "ES384"}, {"use": "enc"}, {"key_ops": ["sign"]}, {"key_ops": 1}],
)
def test_keys_of_other_kinds_are_ignored(changes: dict[str, object]) -> None:
    assert refusal(one(**changes)) == Reason.MALFORMED
    both = {"keys": [json.loads(one(**changes))["keys"][0], ENTRY]}
    assert len(parse_jwks(json.dumps(both).encode())) == 1


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{", b"[]", b'{"keys": 1}', b'{"keys": [1]}', b'{"keys": []}'),
        *(one(x="AA"), one(x=7), one(x=ENTRY["y"], y=ENTRY["y"]), one(y="=" * 43), b"[" * 100_000),
    ],
)
def test_other_forms_are_malformed(raw: bytes) -> None:
    assert refusal(raw) == Reason.MALFORMED


def test_a_private_key_is_refused() -> None:
    with pytest.raises(PeerError, match="private key"):
        parse_jwks(one(d=ENTRY["x"]))


def test_too_many_keys_are_too_large() -> None:
    assert refusal(json.dumps({"keys": [ENTRY] * 257}).encode()) == Reason.TOO_LARGE
    assert refusal(b" " * 300_000) == Reason.TOO_LARGE
