"""One encoding for each value, and one value for any bytes that are accepted."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.codecs import cbor
from schemas.errors import PeerError

SCALARS = st.integers(-(2**64), 2**64 - 1) | st.text(max_size=20) | st.binary(max_size=20) | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.integers(0, 2**32) | st.text(max_size=9), inner),
    max_leaves=60,
)


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
