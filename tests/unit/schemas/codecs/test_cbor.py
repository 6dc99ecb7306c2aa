"""The CBOR codec: one encoding for each value, limits before work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codecs import cbor
from schemas.codecs.fields import as_map
from schemas.errors import PeerError
from schemas.limits import MAX_CBOR_DEPTH, MAX_CBOR_ITEMS, MAX_CBOR_PAIRS
from schemas.reasons import Reason

SCALARS = st.integers(-(2**64), 2**64 - 1) | st.text(max_size=20) | st.binary(max_size=20) | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.integers(0, 2**32) | st.text(max_size=9), inner),
    max_leaves=60,
)


def refusal(raw: bytes, **how: bool) -> Reason:
    """The reason code of the refusal of ``raw``."""
    with pytest.raises(PeerError) as refused:
        cbor.decode(raw, "item", max_bytes=2**24, **how)
    return refused.value.reason


@given(VALUES)
def test_an_encoded_value_decodes_to_itself(value: object) -> None:
    raw = cbor.encode(value)
    if len(raw) < 2**18:
        assert cbor.decode(raw, "item") == value


@given(st.binary(max_size=3000))
def test_any_bytes_decode_to_their_one_value_or_are_refused(raw: bytes) -> None:
    try:
        value = cbor.decode(raw, "item")
    except PeerError:
        return
    assert cbor.encode(value) == raw


@pytest.mark.parametrize(
    "text",
    [
        "1801",  # an integer longer than needed
        "a201020103",  # a duplicate key
        "a202000100",  # keys out of order
        "9f01ff",  # indefinite
        "0000",  # bytes after the end
        "c074323032302d30312d30315430303a30303a30305a",  # a date that the decoder would interpret
        "d8234161",  # a regular expression
        "d81c80",  # a shared reference
        "",
        "5a7fffffff",
    ],
)
def test_other_encodings_and_tags_are_malformed(text: str) -> None:
    assert refusal(bytes.fromhex(text)) is Reason.MALFORMED


def test_depth_is_limited() -> None:
    deep = b"\x81" * (MAX_CBOR_DEPTH + 2) + b"\x00"
    assert refusal(deep) is Reason.MALFORMED


@pytest.mark.parametrize("count", [2000, 20_000])
def test_keys_that_collide_are_refused_before_they_cost(count: int) -> None:
    """Arrays become tuples, whose hashes an attacker can choose: 15,000 of them took seconds."""
    pairs = b"".join(b"\x82\x1a" + number.to_bytes(4, "big") + b"\x00\x00" for number in range(count))
    small = b"\xb9\x00\xc8" + pairs[: 200 * 8]
    assert refusal(small) is Reason.MALFORMED
    assert refusal(b"\xba" + count.to_bytes(4, "big") + pairs) is Reason.TOO_LARGE


def test_items_and_pairs_are_counted_before_anything_is_built() -> None:
    assert refusal(b"\x9a" + (2**22).to_bytes(4, "big") + b"\x80" * 2**22) is Reason.TOO_LARGE
    assert refusal(cbor.encode([0] * MAX_CBOR_ITEMS)) is Reason.TOO_LARGE
    assert refusal(cbor.encode(dict.fromkeys(range(MAX_CBOR_PAIRS + 1), "x" * 9))) is Reason.TOO_LARGE
    assert cbor.decode(cbor.encode([0] * (MAX_CBOR_ITEMS - 1)), "item")


def test_a_trusted_signature_lifts_the_count() -> None:
    many = [[number, "x"] for number in range(MAX_CBOR_ITEMS)]
    assert cbor.decode(cbor.encode(many), "item", authenticated=True) == many


def test_true_is_not_the_key_one() -> None:
    assert as_map({1: 0}, "item", required=(1,), optional=()) == {1: 0}
    for key in (True, 1.0):
        with pytest.raises(PeerError):
            as_map(cbor.decode(cbor.encode({key: 0}), "item"), "item", required=(1,), optional=())
