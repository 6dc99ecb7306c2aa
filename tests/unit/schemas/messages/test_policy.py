"""Signed policies: the bytes of each member, every limit, and what is no policy."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from schemas.codecs import cbor, cose
from schemas.errors import PeerError
from schemas.messages.policy import MAX_POLICY_CHARACTERS, SignedPolicy, is_policy, sign_policy, verify_policy
from schemas.reasons import Reason

KEY = derive_private_key(51, SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
POLICY = SignedPolicy(id="fleet", version=3, signer="tests", not_before_s=4, not_after_s=5, text="[pcrs]\n")
ITEMS: dict[object, object] = {1: "fleet", 2: 3, 3: "tests", 4: 4, 5: 5, 6: "[pcrs]\n"}
TYPE = "application/vnd.attestream.policy+cose"


def signed(items: object, media_type: str = TYPE) -> bytes:
    return cose.encode(cose.sign(cbor.encode(items), KEY, {16: media_type}))


def refusal(raw: bytes) -> Reason:
    with pytest.raises(PeerError) as caught:
        verify_policy(raw, KEYS)
    return caught.value.reason


def test_each_member_has_its_key() -> None:
    assert sign_policy(POLICY, KEY)[:-64] == signed(ITEMS)[:-64]
    assert verify_policy(signed(ITEMS), KEYS) == POLICY
    assert verify_policy(sign_policy(POLICY, KEY), KEYS) == POLICY


def test_a_policy_of_a_stranger_and_one_of_another_type_are_refused() -> None:
    assert refusal(sign_policy(POLICY, derive_private_key(52, SECP256R1()))) is Reason.OBJECT_SIGNATURE_INVALID
    assert refusal(signed(ITEMS, "application/vnd.attestream.solicit+cose")) is Reason.OBJECT_SIGNATURE_INVALID


def test_members_at_their_limits_are_accepted() -> None:
    largest = replace(
        POLICY,
        id="n" * 64,
        version=2**64 - 1,
        signer="s" * 128,
        not_before_s=0,
        not_after_s=2**64 - 1,
        text="\U0001f512" * MAX_POLICY_CHARACTERS,  # four bytes each
    )
    assert verify_policy(sign_policy(largest, KEY), KEYS) == largest
    assert MAX_POLICY_CHARACTERS == 65536


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (1, "n" * 65, Reason.TOO_LARGE),
        (1, "", Reason.MALFORMED),
        (1, "a/b", Reason.MALFORMED),
        (1, "+", Reason.MALFORMED),
        (1, b"fleet", Reason.MALFORMED),
        (2, -1, Reason.MALFORMED),
        (2, True, Reason.MALFORMED),
        (3, "s" * 129, Reason.TOO_LARGE),
        (3, b"tests", Reason.MALFORMED),
        (4, -1, Reason.MALFORMED),
        (4, "4", Reason.MALFORMED),
        (5, -1, Reason.MALFORMED),
        (5, "5", Reason.MALFORMED),
        (6, "x" * 65537, Reason.TOO_LARGE),
        (6, b"text", Reason.MALFORMED),
        (7, 0, Reason.MALFORMED),
    ],
)
def test_each_member_is_limited(key: int, value: object, reason: Reason) -> None:
    assert refusal(signed({**ITEMS, key: value})) is reason


@pytest.mark.parametrize("key", ITEMS)
def test_every_member_is_required(key: int) -> None:
    assert refusal(signed({each: value for each, value in ITEMS.items() if each != key})) is Reason.MALFORMED


def test_a_policy_is_limited_in_bytes() -> None:
    limit = 4 * 65536 + 1024
    padding = limit - len(signed({**ITEMS, 7: "x" * 100_000})) + 100_000
    fits = signed({**ITEMS, 7: "x" * padding})
    assert len(fits) == limit
    assert refusal(fits) is Reason.MALFORMED  # an unknown member
    assert is_policy(fits)
    beyond = signed({**ITEMS, 7: "x" * (padding + 1)})
    assert refusal(beyond) is Reason.TOO_LARGE
    assert not is_policy(beyond)


def test_what_claims_to_be_a_policy_is_told_by_its_type() -> None:
    assert is_policy(signed(ITEMS))
    assert is_policy(signed("anything"))
    for raw in (signed(ITEMS, "application/vnd.attestream.solicit+cose"), b"", b"\xa0", cbor.encode(ITEMS)):
        assert not is_policy(raw)
