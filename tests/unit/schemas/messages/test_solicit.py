"""Solicits: content comes back; a stranger's or a changed one, and other objects of the verifier, are refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key

from schemas import media_types
from schemas.codecs import cbor, cose
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.solicit import Solicit, sign_solicit, verify_solicit
from schemas.reasons import Reason

KEY = generate_private_key(SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
SOLICIT = Solicit(
    ueid=Ueid(b"\x01" + bytes(32)), verifier="v1", issued_us=7, reason="sequence-gap", full=True, logs={"ima": 40}
)


def reason_of(raw: bytes) -> Reason:
    with pytest.raises(PeerError) as caught:
        verify_solicit(raw, KEYS)
    return caught.value.reason


def signed(payload: dict[int, object], key: EllipticCurvePrivateKey = KEY, kind: str = media_types.SOLICIT) -> bytes:
    return cose.encode(cose.sign(cbor.encode(payload), key, {cose.HEADER_TYPE: kind}))


def test_the_signed_content_comes_back() -> None:
    assert verify_solicit(sign_solicit(SOLICIT, KEY), KEYS) == SOLICIT


def test_a_strangers_solicit_is_refused() -> None:
    assert reason_of(sign_solicit(SOLICIT, generate_private_key(SECP256R1()))) is Reason.OBJECT_SIGNATURE_INVALID


def test_a_changed_solicit_is_refused() -> None:
    raw = bytearray(sign_solicit(SOLICIT, KEY))
    raw[raw.index(b"sequence-gap")] ^= 1
    assert reason_of(bytes(raw)) is Reason.OBJECT_SIGNATURE_INVALID


def test_another_object_of_the_verifier_is_not_a_solicit() -> None:
    assert reason_of(signed({1: SOLICIT.ueid}, kind=media_types.STATUS)) is Reason.OBJECT_SIGNATURE_INVALID


@pytest.mark.parametrize("payload", [{}, {1: SOLICIT.ueid}, {1: b"", 2: "v", 3: 1, 4: "x", 5: True}])
def test_every_field_is_required(payload: dict[int, object]) -> None:
    assert reason_of(signed(payload)) is Reason.MALFORMED
