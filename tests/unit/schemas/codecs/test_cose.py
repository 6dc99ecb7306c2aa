"""COSE_Sign1: the signed bytes, the refused forms, and the keys that may sign."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256K1,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.codecs import cbor, cose
from schemas.errors import PeerError
from schemas.reasons import Reason

KEY, OTHER = (derive_private_key(number, SECP256R1()) for number in (31, 32))
KEY_ID = hashlib.sha256(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()[:8]
KEYS = {KEY_ID: KEY.public_key()}
TYPE = "application/vnd.attestream.test+cose"
EXPECTED = {16: TYPE}
PAYLOAD = b"the payload"
SIGNED = cose.sign(PAYLOAD, KEY, EXPECTED)
# RFC 9052, 3: {1: -7, 4: key id, 16: type}; the type is 36 characters long.
PROTECTED = b"\xa3\x01\x26\x04\x48" + KEY_ID + b"\x10\x78\x24" + TYPE.encode()
REASON = Reason.HANDLE_SIGNATURE_INVALID


def verify(
    signed: cose.Sign1,
    keys: Mapping[bytes, EllipticCurvePublicKey] = KEYS,
    expected: Mapping[int, object] = EXPECTED,
) -> bytes:
    return cose.verify(signed, keys, expected, REASON)


def refusal(signed: cose.Sign1, keys: Mapping[bytes, EllipticCurvePublicKey] = KEYS) -> str:
    """The detail with which ``verify`` refuses, for the caller's reason."""
    with pytest.raises(PeerError) as caught:
        verify(signed, keys)
    assert caught.value.reason is REASON
    return caught.value.detail


def signed_by(key: EllipticCurvePrivateKey, protected: bytes, payload: bytes = PAYLOAD) -> bytes:
    """A signature over the Sig_structure of RFC 9052, 4.4, which is encoded here."""
    structure = b"\x84\x6aSignature1" + cbor.encode(protected) + b"\x40" + cbor.encode(payload)
    r, s = decode_dss_signature(key.sign(structure, ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def parsed(*items: object, tag: int = 18) -> cose.Sign1:
    return cose.parse(cbor.encode(cbor.Tag(tag, list(items))), "item")


def malformed(*items: object, tag: int = 18) -> str:
    with pytest.raises(PeerError) as caught:
        parsed(*items, tag=tag)
    assert caught.value.reason is Reason.MALFORMED
    return caught.value.detail


def test_the_protected_header_names_the_algorithm_the_key_and_the_type() -> None:
    assert SIGNED.protected == PROTECTED
    assert SIGNED.headers == {1: -7, 4: KEY_ID, 16: TYPE}
    assert SIGNED.unprotected == {}
    assert cose.key_id(KEY.public_key()) == SIGNED.key_id == KEY_ID


def test_header_labels_are_the_registered_ones() -> None:
    """IANA, "COSE Header Parameters": content type, typ (RFC 9596), 3161-ctt (RFC 9921)."""
    assert (cose.HEADER_CONTENT_TYPE, cose.HEADER_TYPE, cose.HEADER_3161_CTT) == (3, 16, 270)


def test_the_signed_bytes_are_the_sig_structure_without_external_data() -> None:
    structure = b"\x84\x6aSignature1\x58" + bytes([len(PROTECTED)]) + PROTECTED + b"\x40\x4bthe payload"
    r, s = (int.from_bytes(half, "big") for half in (SIGNED.signature[:32], SIGNED.signature[32:]))
    assert len(SIGNED.signature) == 64
    KEY.public_key().verify(encode_dss_signature(r, s), structure, ECDSA(SHA256()))


def test_a_message_is_tag_18_around_four_items_and_comes_back() -> None:
    raw = cose.encode(SIGNED)
    expected = b"\xd2\x84\x58" + bytes([len(PROTECTED)]) + PROTECTED + b"\xa0\x4bthe payload\x58\x40" + SIGNED.signature
    assert raw == expected
    assert cose.parse(raw, "item") == SIGNED
    assert cose.from_tag(cose.to_tag(SIGNED), "item") == SIGNED
    assert verify(cose.parse(raw, "item")) == PAYLOAD


def test_a_signature_made_elsewhere_verifies() -> None:
    assert verify(parsed(PROTECTED, {}, PAYLOAD, signed_by(KEY, PROTECTED))) == PAYLOAD


def test_an_empty_payload_is_a_payload() -> None:
    assert verify(cose.sign(b"", KEY, EXPECTED)) == b""


# ── who may sign ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_that_is_not_trusted_signs_nothing() -> None:
    signed = cose.sign(PAYLOAD, OTHER, EXPECTED)
    assert cose.key_id(OTHER.public_key()).hex() in refusal(signed)
    assert "not trusted" in refusal(SIGNED, {})
    assert "does not verify" in refusal(SIGNED, {KEY_ID: OTHER.public_key()})


def test_a_strangers_signature_under_a_trusted_key_id_does_not_verify() -> None:
    assert KEY_ID.hex() in refusal(parsed(PROTECTED, {}, PAYLOAD, signed_by(OTHER, PROTECTED)))


def test_es256_is_p256_and_no_other_curve_of_its_size() -> None:
    """RFC 9053, 2.1. The signature itself is valid; only the curve is another one."""
    key = derive_private_key(33, SECP256K1())
    signed = cose.sign(PAYLOAD, key, EXPECTED)
    assert "not trusted" in refusal(signed, {signed.key_id: key.public_key()})


@pytest.mark.parametrize("claimed", [None, "text", 7], ids=["absent", "text", "number"])
def test_without_a_key_id_no_key_is_tried(claimed: object) -> None:
    headers = {1: -7, 16: TYPE} if claimed is None else {1: -7, 4: claimed, 16: TYPE}
    protected = cbor.encode(headers)
    signed = parsed(protected, {4: KEY_ID}, PAYLOAD, signed_by(KEY, protected))
    assert signed.key_id == b""
    assert "(none)" in refusal(signed)


def test_every_byte_that_is_signed_is_checked() -> None:
    """No change is accepted: of the payload, the protected header, a half of the signature or their order."""
    halves = SIGNED.signature[:32], SIGNED.signature[32:]
    for changed in (
        replace(SIGNED, unverified_payload=PAYLOAD + b"."),
        replace(SIGNED, protected=cbor.encode({1: -7, 4: KEY_ID, 16: TYPE, 99: 0})),
        replace(SIGNED, signature=halves[1] + halves[0]),
        replace(SIGNED, signature=bytes([halves[0][0] ^ 1]) + halves[0][1:] + halves[1]),
        replace(SIGNED, signature=halves[0] + halves[1][:-1] + bytes([halves[1][-1] ^ 1])),
        replace(SIGNED, signature=bytes(64)),
    ):
        assert "does not verify" in refusal(changed)


def test_the_unprotected_header_is_not_signed() -> None:
    assert verify(replace(SIGNED, unprotected={270: b"a token"})) == PAYLOAD


# ── the signed type ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_object_of_another_type_is_refused_though_its_signature_is_good() -> None:
    assert "expected" in refusal(cose.sign(PAYLOAD, KEY, {16: TYPE + "x"}))
    assert "header 16 is None" in refusal(cose.sign(PAYLOAD, KEY, {}))
    assert "header 16 is None" in refusal(cose.sign(PAYLOAD, KEY, {3: TYPE}))


def test_a_type_in_the_unprotected_header_is_ignored() -> None:
    assert "header 16" in refusal(replace(cose.sign(PAYLOAD, KEY, {}), unprotected={16: TYPE}))


def test_every_expected_header_must_be_there() -> None:
    signed = cose.sign(PAYLOAD, KEY, {16: TYPE, 3: 60})
    assert verify(signed, expected={16: TYPE, 3: 60}) == PAYLOAD
    for expected in ({16: TYPE, 3: 61}, {16: "other", 3: 60}, {16: TYPE, 15: 60}):
        with pytest.raises(PeerError) as caught:
            verify(signed, expected=expected)
        assert caught.value.reason is REASON


# ── forms that are refused ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tag", [17, 19, 98, 61])
def test_only_tag_18_is_a_sign1(tag: int) -> None:
    assert "tag 18" in malformed(PROTECTED, {}, PAYLOAD, bytes(64), tag=tag)


def test_the_tag_is_needed() -> None:
    with pytest.raises(PeerError, match="tag 18"):
        cose.parse(cbor.encode([PROTECTED, {}, PAYLOAD, bytes(64)]), "item")


@pytest.mark.parametrize("algorithm", [-8, -35, -36, 7, None, "ES256"])
def test_only_es256_is_an_algorithm(algorithm: object) -> None:
    """An attacker who could choose the algorithm would choose a weak one, or none."""
    assert "ES256" in malformed(cbor.encode({1: algorithm, 4: KEY_ID}), {}, PAYLOAD, bytes(64))
    assert "ES256" in malformed(cbor.encode({4: KEY_ID}), {1: -7}, PAYLOAD, bytes(64))


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ((PROTECTED, {}, PAYLOAD), "3 items, expected 4"),
        ((PROTECTED, {}, PAYLOAD, bytes(64), b""), "5 items, expected 4"),
        (({}, {}, PAYLOAD, bytes(64)), "item protected header"),
        ((b"\x80", {}, PAYLOAD, bytes(64)), "item protected header"),
        ((b"", {}, PAYLOAD, bytes(64)), "item protected header"),
        ((PROTECTED + b"\0", {}, PAYLOAD, bytes(64)), "item protected header"),
        ((PROTECTED, [], PAYLOAD, bytes(64)), "item unprotected header"),
        ((PROTECTED, {}, None, bytes(64)), "item payload"),
        ((PROTECTED, {}, "text", bytes(64)), "item payload"),
        ((PROTECTED, {}, PAYLOAD, bytes(63)), "63 bytes, expected 64"),
        ((PROTECTED, {}, PAYLOAD, bytes(65)), "65 bytes, expected 64"),
        ((PROTECTED, {}, PAYLOAD, None), "item signature"),
    ],
    ids=str,
)
def test_another_form_is_malformed(items: tuple[object, ...], field: str) -> None:
    assert field in malformed(*items)


def test_size_is_checked_before_anything_is_parsed() -> None:
    raw = cose.encode(SIGNED)
    assert cose.parse(raw, "item", max_bytes=len(raw)) == SIGNED
    with pytest.raises(PeerError) as caught:
        cose.parse(raw, "item", max_bytes=len(raw) - 1)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_time_stamp_is_over_the_signature_field_with_its_head() -> None:
    """RFC 9921, 3.1: the CBOR byte string, 0x58 0x40 before the 64 bytes."""
    assert cose.ctt_imprint(SIGNED) == hashlib.sha256(b"\x58\x40" + SIGNED.signature).digest()
