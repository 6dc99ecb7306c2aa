"""Typed access to decoded CBOR: each limit at its edge, and values that only look like the right type."""

from collections.abc import Callable

import pytest

from schemas.codecs.cbor import Tag
from schemas.codecs.fields import as_array, as_bool, as_bytes, as_map, as_tag, as_text, as_uint
from schemas.errors import PeerError
from schemas.reasons import Reason


def refusal(read: Callable[[], object]) -> Reason:
    """The reason code of a refusal that names the field."""
    with pytest.raises(PeerError) as caught:
        read()
    assert caught.value.detail.startswith("it: ")
    return caught.value.reason


def test_a_map_has_all_required_keys_and_no_unknown_one() -> None:
    both = {1: 0, "a": 0}
    assert as_map(both, "it", required=(1,), optional=("a",)) is both
    assert as_map({1: 0}, "it", required=(1,), optional=("a",)) == {1: 0}
    assert as_map({}, "it", optional=()) == {}
    assert refusal(lambda: as_map({"a": 0}, "it", required=(1,), optional=("a",))) is Reason.MALFORMED
    assert refusal(lambda: as_map({1: 0, 2: 0}, "it", required=(1,), optional=("a",))) is Reason.MALFORMED
    assert refusal(lambda: as_map({1: 0, 2: 0, "a": 0}, "it", required=(1,), optional=("a",))) is Reason.MALFORMED
    assert refusal(lambda: as_map({1: 0, "a": 0}, "it", required=(1,), optional=())) is Reason.MALFORMED


def test_the_missing_and_the_unknown_key_are_named() -> None:
    with pytest.raises(PeerError, match="key 7 is missing"):
        as_map({1: 0}, "it", required=(1, 7))
    with pytest.raises(PeerError, match="unknown key 'b'"):
        as_map({1: 0, "b": 0}, "it", required=(1,), optional=("a",))


def test_a_map_may_be_open_and_still_requires() -> None:
    assert as_map({1: 0, 2: 0}, "it", required=(1,)) == {1: 0, 2: 0}
    assert refusal(lambda: as_map({2: 0}, "it", required=(1,))) is Reason.MALFORMED


@pytest.mark.parametrize("key", [True, 1.0, b"1", None, (1,)], ids=repr)
def test_keys_are_integers_or_text(key: object) -> None:
    """``True`` and ``1.0`` would be found under the key 1."""
    assert refusal(lambda: as_map({key: 0, 2: 0}, "it")) is Reason.MALFORMED
    assert refusal(lambda: as_map({2: 0, key: 0}, "it", required=(1,))) is Reason.MALFORMED


@pytest.mark.parametrize("value", [None, [], (), b"", "", 1, True], ids=repr)
def test_only_a_map_is_a_map(value: object) -> None:
    assert refusal(lambda: as_map(value, "it")) is Reason.MALFORMED


def test_a_map_has_as_many_items_as_its_limit() -> None:
    assert len(as_map({1: 0, 2: 0}, "it", limit=2)) == 2
    assert refusal(lambda: as_map({1: 0, 2: 0}, "it", limit=1)) is Reason.TOO_LARGE
    assert refusal(lambda: as_map({1: 0}, "it", limit=0)) is Reason.TOO_LARGE


def test_an_array_has_its_length_and_is_within_its_limit() -> None:
    for value in ([1, 2], (1, 2)):
        assert as_array(value, "it") is value
        assert as_array(value, "it", length=2, limit=2) is value
        assert refusal(lambda value=value: as_array(value, "it", length=1)) is Reason.MALFORMED  # type: ignore[misc]
        assert refusal(lambda value=value: as_array(value, "it", length=3)) is Reason.MALFORMED  # type: ignore[misc]
        assert refusal(lambda value=value: as_array(value, "it", limit=1)) is Reason.TOO_LARGE  # type: ignore[misc]
    assert refusal(lambda: as_array([0], "it", length=0)) is Reason.MALFORMED
    assert refusal(lambda: as_array([0], "it", limit=0)) is Reason.TOO_LARGE


@pytest.mark.parametrize("value", [None, {}, b"ab", "ab", 2, {1, 2}], ids=repr)
def test_only_an_array_is_an_array(value: object) -> None:
    assert refusal(lambda: as_array(value, "it")) is Reason.MALFORMED


def test_bytes_have_their_size_and_are_within_their_limit() -> None:
    assert as_bytes(b"ab", "it") == as_bytes(b"ab", "it", size=2, limit=2) == b"ab"
    assert refusal(lambda: as_bytes(b"ab", "it", size=1)) is Reason.MALFORMED
    assert refusal(lambda: as_bytes(b"ab", "it", size=3)) is Reason.MALFORMED
    assert refusal(lambda: as_bytes(b"ab", "it", limit=1)) is Reason.TOO_LARGE
    assert refusal(lambda: as_bytes(b"a", "it", size=0)) is Reason.MALFORMED
    assert refusal(lambda: as_bytes(b"a", "it", limit=0)) is Reason.TOO_LARGE


@pytest.mark.parametrize("value", [None, "ab", [97], 2, bytearray(b"ab")], ids=repr)
def test_only_bytes_are_bytes(value: object) -> None:
    assert refusal(lambda: as_bytes(value, "it")) is Reason.MALFORMED


def test_text_is_within_its_limit_in_characters() -> None:
    assert as_text("äö", "it", limit=2) == "äö"
    assert refusal(lambda: as_text("abc", "it", limit=2)) is Reason.TOO_LARGE
    for value in (None, b"ab", 1, ["a"]):
        assert refusal(lambda value=value: as_text(value, "it", limit=9)) is Reason.MALFORMED  # type: ignore[misc]


def test_an_unsigned_integer_is_within_its_bounds() -> None:
    assert [as_uint(value, "it", maximum=5) for value in (0, 5)] == [0, 5]
    for value in (-1, 6):
        assert refusal(lambda value=value: as_uint(value, "it", maximum=5)) is Reason.MALFORMED  # type: ignore[misc]
    assert as_uint(2**64 - 1, "it") == 2**64 - 1
    assert refusal(lambda: as_uint(2**64, "it")) is Reason.MALFORMED


@pytest.mark.parametrize("value", [True, False, 1.0, "1", b"\x01", None], ids=repr)
def test_nothing_else_is_an_unsigned_integer(value: object) -> None:
    assert refusal(lambda: as_uint(value, "it")) is Reason.MALFORMED


def test_a_boolean_is_not_a_number() -> None:
    assert as_bool(True, "it") is True
    assert as_bool(False, "it") is False
    for value in (0, 1, None, "true"):
        assert refusal(lambda value=value: as_bool(value, "it")) is Reason.MALFORMED  # type: ignore[misc]


def test_a_tag_is_the_expected_one() -> None:
    assert as_tag(Tag(18, b"content"), 18, "it") == b"content"
    for value in (Tag(19, b"content"), Tag(17, b"content"), b"content", None):
        assert refusal(lambda value=value: as_tag(value, 18, "it")) is Reason.MALFORMED  # type: ignore[misc]
