"""Counting items before the decoder builds them: every limit at its edge, and the errors left to the decoder."""

import pytest

from schemas.codecs.cbor_items import check_items
from schemas.errors import PeerError
from schemas.limits import MAX_CBOR_DEPTH, MAX_CBOR_ITEMS, MAX_CBOR_PAIRS
from schemas.reasons import Reason


def refusal(raw: bytes) -> Reason:
    with pytest.raises(PeerError) as caught:
        check_items(raw, "it")
    assert caught.value.detail.startswith("it: ")
    return caught.value.reason


def head(major: int, value: int, width: int) -> bytes:
    """An item's head with its argument in ``width`` bytes (RFC 8949, section 3)."""
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[width]]) + value.to_bytes(width, "big")


def test_the_limits_are_those_of_the_threat_model() -> None:
    assert (MAX_CBOR_ITEMS, MAX_CBOR_DEPTH, MAX_CBOR_PAIRS) == (8192, 16, 256)


def test_as_many_items_as_allowed_and_not_one_more() -> None:
    check_items(b"\x00" * MAX_CBOR_ITEMS, "it")
    assert refusal(b"\x00" * (MAX_CBOR_ITEMS + 1)) is Reason.TOO_LARGE


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1", b"\xc1", b"\xa1\x00"], ids=["array", "key", "tag", "value"])
def test_as_many_levels_as_allowed_and_not_one_more(opening: bytes) -> None:
    """A map as a key is another error."""
    if opening == b"\xa1":
        assert refusal(opening * 2) is Reason.MALFORMED
        return
    check_items(opening * MAX_CBOR_DEPTH + b"\x00", "it")
    assert refusal(opening * (MAX_CBOR_DEPTH + 1) + b"\x00") is Reason.TOO_LARGE


def test_a_closed_container_is_not_a_level() -> None:
    check_items(b"\x98\xc8" + b"\x80\xa0\x81\x00\xa1\x00\x00\xc1\x00" * 40, "it")
    check_items(b"\x81" * (MAX_CBOR_DEPTH - 2) + b"\x82\x80\x81\x00", "it")
    nested = b"\x81" * (MAX_CBOR_DEPTH - 1)
    check_items(b"\x82" + nested + b"\x00" + nested + b"\x00", "it")


def test_containers_that_end_together_are_all_closed() -> None:
    """If only the innermost were closed, the levels would add up."""
    check_items(b"\x81\x81\x81\x00" * MAX_CBOR_DEPTH, "it")
    check_items(b"\x81\xa1\x00\x81\xc1\x00" * MAX_CBOR_DEPTH, "it")


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_a_map_has_as_many_pairs_as_allowed_and_not_one_more(width: int) -> None:
    if width > 1:
        check_items(head(5, MAX_CBOR_PAIRS, width) + b"\x00" * 2 * MAX_CBOR_PAIRS, "it")
        assert refusal(head(5, MAX_CBOR_PAIRS + 1, width)) is Reason.TOO_LARGE
    else:
        check_items(head(5, 255, width) + b"\x00" * 510, "it")


@pytest.mark.parametrize("key", [b"\x00", b"\x20", b"\x60", b"\x18\xff", b"\x38\xff", b"\x61a"], ids=bytes.hex)
def test_integers_and_text_are_keys(key: bytes) -> None:
    check_items(b"\xa2" + key + b"\x80" + key + b"\x00", "it")


@pytest.mark.parametrize("key", [b"\x40", b"\x80", b"\xa0", b"\xc1\x00", b"\xf5", b"\xf9\x3c\x00"], ids=bytes.hex)
def test_nothing_else_is_a_key(key: bytes) -> None:
    """Arrays become tuples with hashes of the attacker's choice; true and 1.0 equal the key 1."""
    assert refusal(b"\xa1" + key + b"\x00") is Reason.MALFORMED
    assert refusal(b"\xa2\x00\x00" + key + b"\x00") is Reason.MALFORMED
    check_items(b"\xa1\x00" + key, "it")
    check_items(b"\x82" + key + key, "it")


def test_keys_are_distinguished_from_values_after_an_inner_container() -> None:
    check_items(b"\xa2\x00\x82\x40\x40\x01\x40", "it")
    assert refusal(b"\xa2\x00\x82\x40\x40\x40\x00") is Reason.MALFORMED
    assert refusal(b"\x82\x00\xa1\x40\x00") is Reason.MALFORMED


@pytest.mark.parametrize("major", [2, 3])
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_the_content_of_strings_is_skipped(major: int, width: int) -> None:
    """Their content would be a key of a wrong kind; counting continues after it."""
    content = b"\xa1\x40" * 50
    check_items(head(major, 100, width) + content, "it")
    check_items(bytes([major << 5 | 2]) + b"\xa1\x40", "it")
    assert refusal(head(major, 100, width) + content + b"\xa1\x40") is Reason.MALFORMED
    assert refusal(head(major, 99, width) + b"\x00" * 99 + b"\xa1\x40") is Reason.MALFORMED


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("major", [0, 1, 4, 7])
def test_an_argument_has_its_width_and_the_next_item_follows(major: int, width: int) -> None:
    check_items(head(major, 40, width) + b"\x00" * 40, "it")
    assert refusal(head(major, 1, width) + b"\xa1\x40\x00") is Reason.MALFORMED


def test_an_array_counts_its_items() -> None:
    """The map after the array's two items is at the top level; inside the array it would be too deep."""
    deep = b"\x81" * (MAX_CBOR_DEPTH - 1)
    check_items(b"\x82\x00\x00" + deep + b"\xa1\x00\x00", "it")
    check_items(deep + b"\x82\x00\x00" + b"\xa1\x00\x00", "it")
    assert refusal(deep + b"\x83\x00\x00" + b"\xa1\x00\x00") is Reason.TOO_LARGE


@pytest.mark.parametrize("reserved", [28, 29, 30, 31])
@pytest.mark.parametrize("major", range(8))
def test_indefinite_lengths_and_reserved_heads_are_left_to_the_decoder(major: int, reserved: int) -> None:
    check_items(bytes([major << 5 | reserved]) + b"\xa1\x40", "it")


@pytest.mark.parametrize("raw", [b"", b"\x18", b"\x1b\x00", b"\x45ab", b"\x82\x00", b"\xa1\x00"], ids=bytes.hex)
def test_truncated_input_is_left_to_the_decoder(raw: bytes) -> None:
    check_items(raw, "it")
