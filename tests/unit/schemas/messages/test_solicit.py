"""Solicits: content comes back; a stranger's or a changed one, and other objects of the verifier, are refused."""

from dataclasses import replace

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


# ── the bytes, and each limit ────────────────────────────────────────────────────────────────────────────────────────

ITEMS: dict[int, object] = {1: SOLICIT.ueid, 2: "v1", 3: 7, 4: "sequence-gap", 5: True, 6: {"ima": 40}}


def test_each_field_has_its_key() -> None:
    assert sign_solicit(SOLICIT, KEY)[:-64] == signed(ITEMS)[:-64]
    assert verify_solicit(signed(ITEMS), KEYS) == SOLICIT
    plain = {key: value for key, value in ITEMS.items() if key != 6}
    assert verify_solicit(signed({**plain, 5: False}), KEYS) == replace(SOLICIT, full=False, logs={})
    assert sign_solicit(replace(SOLICIT, logs={}), KEY)[:-64] == signed(plain)[:-64]


@pytest.mark.parametrize("key", [1, 2, 3, 4, 5])
def test_no_field_but_the_logs_is_optional(key: int) -> None:
    assert reason_of(signed({each: value for each, value in ITEMS.items() if each != key})) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (1, "text", Reason.MALFORMED),
        (1, b"\x01" * 34, Reason.MALFORMED),
        (2, b"v1", Reason.MALFORMED),
        (2, "v" * 65, Reason.TOO_LARGE),
        (3, -1, Reason.MALFORMED),
        (3, "7", Reason.MALFORMED),
        (4, b"sequence-gap", Reason.MALFORMED),
        (4, "r" * 65, Reason.TOO_LARGE),
        (5, 1, Reason.MALFORMED),
        (6, ["ima"], Reason.MALFORMED),
        (6, {"other": 1}, Reason.MALFORMED),
        (6, {1: 1}, Reason.MALFORMED),
        (6, {"cel/" + "a" * 61: 1}, Reason.TOO_LARGE),
        (6, {"ima": 2_000_001}, Reason.MALFORMED),
        (6, {"ima": -1}, Reason.MALFORMED),
        (6, {f"cel/{number}": 0 for number in range(17)}, Reason.TOO_LARGE),
        (7, 0, Reason.MALFORMED),
    ],
)
def test_each_field_is_limited(key: int, value: object, reason: Reason) -> None:
    assert reason_of(signed({**ITEMS, key: value})) is reason


def test_what_is_at_the_limits_is_accepted() -> None:
    logs = {"ima": 2_000_000, **{f"cel/{number}": 0 for number in range(15)}}
    at_limit = replace(SOLICIT, verifier="v" * 64, reason="r" * 64, logs=logs)
    assert verify_solicit(sign_solicit(at_limit, KEY), KEYS) == at_limit


def test_a_solicit_is_limited_in_bytes() -> None:
    raw = signed({**ITEMS, 8: "x" * 3500})
    fits = signed({**ITEMS, 8: "x" * (3500 + 4096 - len(raw))})
    assert len(fits) == 4096
    assert reason_of(fits) is Reason.MALFORMED  # an unknown key
    assert reason_of(signed({**ITEMS, 8: "x" * (3501 + 4096 - len(raw))})) is Reason.TOO_LARGE
