"""The CBOR codec: one encoding for each value, limits before work."""

from collections.abc import Callable

import pytest

from schemas.codecs import cbor
from schemas.codecs.fields import as_map
from schemas.errors import PeerError
from schemas.limits import MAX_CBOR_DEPTH, MAX_CBOR_ITEMS, MAX_CBOR_PAIRS
from schemas.reasons import Reason


def refusal(raw: bytes, **how: bool) -> Reason:
    """The reason code of the refusal of ``raw``."""
    with pytest.raises(PeerError) as refused:
        cbor.decode(raw, "item", max_bytes=2**24, **how)
    return refused.value.reason


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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({2: 0, 24: 0, 1: 0}, "a301000200181800"),
        ({"b": 1, "a": 2, 5: 3, -1: 4}, "a405032004616102616201"),
        ([1.0, None, True], "83f93c00f6f5"),
        (cbor.Tag(1, {"b": 0, "a": 0}), "c1a2616100616200"),
    ],
)
def test_the_encoding_is_deterministic(value: object, text: str) -> None:
    """RFC 8949, 4.2.1: keys ascend bytewise, numbers are as short as possible, floating point too."""
    assert cbor.encode(value).hex() == text


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


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("decode", [cbor.decode, cbor.decode_foreign])
def test_size_is_checked_before_anything_is_parsed(decode: Callable[..., object]) -> None:
    raw = cbor.encode("x" * 100)
    assert decode(raw, "item", max_bytes=len(raw)) == "x" * 100
    for wrong in (raw, b"\xff" * len(raw)):
        with pytest.raises(PeerError, match="item: 102 bytes, the limit is 101") as caught:
            decode(wrong, "item", max_bytes=len(raw) - 1)
        assert caught.value.reason is Reason.TOO_LARGE
    assert decode(cbor.encode(b"x" * (256 * 1024 - 5)), "item") == b"x" * (256 * 1024 - 5)
    with pytest.raises(PeerError) as caught:
        decode(cbor.encode(b"x" * (256 * 1024 - 4)), "item")
    assert caught.value.reason is Reason.TOO_LARGE


def test_items_are_counted_from_a_kibibyte_on() -> None:
    """Less cannot hold enough keys to matter, so keys of any kind may be in it."""
    for length, refused in ((1024, False), (1025, True)):
        item = {b"": "x" * (length - 6)}
        raw = cbor.encode([item])
        assert len(raw) == length
        if refused:
            assert refusal(raw) is Reason.MALFORMED
        else:
            assert cbor.decode(raw, "item") == [item]
        assert cbor.decode(raw, "item", authenticated=True) == [item]


def test_what_is_left_open_by_the_count_is_still_refused_by_the_decoder() -> None:
    long = b"x" * 2000
    for raw in (
        cbor.encode(long) + b"\x00",
        b"\x5f" + cbor.encode(long) + b"\xff",
        b"\x5b" + bytes(6) + b"\x07\xd0" + long,
    ):
        assert refusal(raw) is Reason.MALFORMED
        assert refusal(raw, authenticated=True) is Reason.MALFORMED


def test_depth_is_limited_to_the_level() -> None:
    """Levels are counted without the scalar inside; what is authenticated is limited too."""
    deepest = b"\x81" * (MAX_CBOR_DEPTH - 1) + b"\x00"
    for decode in (cbor.decode, cbor.decode_foreign):
        value = decode(deepest, "item")
        for _ in range(MAX_CBOR_DEPTH - 1):
            assert isinstance(value, list)
            (value,) = value
        assert value == 0
        with pytest.raises(PeerError) as caught:
            decode(b"\x81" * (MAX_CBOR_DEPTH + 1) + b"\x00", "item")
        assert caught.value.reason is Reason.MALFORMED
    assert refusal(b"\x81" * (MAX_CBOR_DEPTH + 1) + b"\x00", authenticated=True) is Reason.MALFORMED
