"""The frame of signed CoRIMs: content comes back, and other forms are refused."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from schemas import media_types
from schemas.codecs import cbor, cose
from schemas.errors import PeerError
from schemas.messages import corim
from schemas.reasons import Reason

KEY = derive_private_key(21, SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
MANIFEST = corim.Manifest(
    identity="attestream.test",
    version=3,
    signer="tests",
    not_before_s=1_800_000_000,
    not_after_s=1_900_000_000,
    triples={corim.TRIPLES_REFERENCE: [[{0: {2: "model"}}, [{0: "file", 1: {11: "x"}}]]]},
)


def signed(manifest: corim.Manifest = MANIFEST) -> bytes:
    return corim.sign_manifest(manifest, KEY)


def payload_of(raw: bytes) -> dict[object, object]:
    decoded = cbor.decode(cose.parse(raw, "test").unverified_payload, "test")
    assert isinstance(decoded, cbor.Tag)
    return dict(decoded.value)


def signed_payload(content: object, headers: dict[int, object] | None = None) -> bytes:
    meta = cbor.encode({0: {0: "tests"}})
    headers = headers or {cose.HEADER_CONTENT_TYPE: media_types.CORIM, corim.HEADER_CORIM_META: meta}
    return cose.encode(cose.sign(cbor.encode(content), KEY, headers))


def refusal(raw: bytes) -> Reason:
    with pytest.raises(PeerError) as refused:
        corim.verify_manifest(raw, KEYS)
    return refused.value.reason


def test_the_signed_content_comes_back() -> None:
    verified = corim.verify_manifest(signed(), KEYS)
    assert replace(verified, triples={}) == replace(MANIFEST, triples={})
    environment, rest = corim.single_triple(verified, corim.TRIPLES_REFERENCE, "test")
    assert environment == {0: {2: "model"}}
    assert len(rest) == 1


def test_the_frame_has_the_form_of_the_draft() -> None:
    sign1 = cose.parse(signed(), "test")
    assert sign1.headers[cose.HEADER_CONTENT_TYPE] == "application/rim+cbor"
    content = payload_of(signed())
    assert set(content) == {0, 1, 4}
    validity = content[4]
    assert {key: (value.tag, value.value) for key, value in dict(validity).items()} == {  # type: ignore[call-overload]
        0: (1, MANIFEST.not_before_s),
        1: (1, MANIFEST.not_after_s),
    }


def test_a_strangers_signature_is_refused() -> None:
    stranger = corim.sign_manifest(MANIFEST, derive_private_key(22, SECP256R1()))
    assert refusal(stranger) == Reason.OBJECT_SIGNATURE_INVALID


@pytest.mark.parametrize("position", [10, 100, -70, -1])
def test_a_flipped_bit_is_refused(position: int) -> None:
    raw = bytearray(signed())
    raw[position] ^= 1
    assert refusal(bytes(raw)) in {Reason.OBJECT_SIGNATURE_INVALID, Reason.MALFORMED}


def test_a_signature_over_another_type_is_refused() -> None:
    content = cbor.Tag(corim.TAG_CORIM, payload_of(signed()))
    headers: dict[int, object] = {cose.HEADER_TYPE: media_types.HANDLE}
    assert refusal(signed_payload(content, headers)) == Reason.OBJECT_SIGNATURE_INVALID


@pytest.mark.parametrize(
    "change",
    [
        {0: 7},
        {1: []},
        {1: [cbor.Tag(corim.TAG_COMID, b"")] * 2},
        {1: [cbor.Tag(505, b"")]},
        {4: {0: 1, 1: 2}},
        {4: {1: cbor.Tag(1, 5)}},
        {5: "entities are not ours"},
    ],
)
def test_content_of_another_type_is_refused(change: dict[object, object]) -> None:
    content = payload_of(signed()) | change
    assert refusal(signed_payload(cbor.Tag(corim.TAG_CORIM, content))) == Reason.MALFORMED


def test_a_content_without_its_tag_is_refused() -> None:
    assert refusal(signed_payload(payload_of(signed()))) == Reason.MALFORMED


def test_a_missing_signer_is_refused() -> None:
    content = cbor.Tag(corim.TAG_CORIM, payload_of(signed()))
    assert refusal(signed_payload(content, {cose.HEADER_CONTENT_TYPE: media_types.CORIM})) == Reason.MALFORMED


@pytest.mark.parametrize(
    "triples",
    [
        {},
        {corim.TRIPLES_ATTEST_KEY: [[{}, []]]},
        {corim.TRIPLES_REFERENCE: []},
        {corim.TRIPLES_REFERENCE: [[{}, []], [{}, []]]},
        {corim.TRIPLES_REFERENCE: [[{}]]},
        {corim.TRIPLES_REFERENCE: [[7, []]]},
        {corim.TRIPLES_REFERENCE: [[{}, []]], 1: []},
    ],
)
def test_there_is_exactly_one_triple_of_the_kind(triples: dict[object, object]) -> None:
    verified = corim.verify_manifest(signed(replace(MANIFEST, triples=triples)), KEYS)
    with pytest.raises(PeerError) as refused:
        corim.single_triple(verified, corim.TRIPLES_REFERENCE, "test")
    assert refused.value.reason == Reason.MALFORMED
