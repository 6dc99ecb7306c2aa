"""The cursor over untrusted bytes: its reads, and its position after a failed read."""

import pytest

from schemas.codecs.reader import Reader
from schemas.errors import PeerError
from schemas.reasons import Reason

DATA = b"\x01\x02\x03abcdef"


def refusal(read: object, *arguments: object) -> str:
    assert callable(read)
    with pytest.raises(PeerError) as caught:
        read(*arguments)
    assert caught.value.reason is Reason.MALFORMED
    return caught.value.detail


def test_bytes_are_taken_front_to_back() -> None:
    reader = Reader(DATA, "big")
    assert (reader.take(3, "head"), reader.position, reader.remaining) == (b"\x01\x02\x03", 3, 6)
    assert reader.take(0, "nothing") == b""
    assert (reader.take(6, "rest"), reader.position, reader.remaining) == (b"abcdef", 9, 0)
    assert reader.take(0, "nothing") == b""
    reader.finish("data")


def test_reading_starts_at_the_given_position() -> None:
    reader = Reader(DATA, "big", 3)
    assert (reader.position, reader.remaining, reader.take(1, "letter")) == (3, 6, b"a")


def test_one_byte_too_many_is_refused_and_nothing_is_read() -> None:
    reader = Reader(DATA, "big", 4)
    assert refusal(reader.take, 6, "letters") == "letters: needs 6 bytes at offset 4, 5 left"
    assert reader.position == 4
    assert reader.take(5, "letters") == b"bcdef"


def test_numbers_have_the_byte_order_of_the_reader() -> None:
    assert Reader(DATA, "big").uint(3, "number") == 0x010203
    assert Reader(DATA, "little").uint(3, "number") == 0x030201
    assert Reader(b"\xff\xff", "big").uint(2, "number") == 0xFFFF


def test_a_number_cut_short_is_refused_and_nothing_is_read() -> None:
    reader = Reader(b"\0\0\0", "big")
    assert refusal(reader.uint, 4, "number").startswith("number: needs 4 bytes")
    assert reader.position == 0


def test_a_sized_string_is_read_up_to_its_limit() -> None:
    reader = Reader(b"\x00\x03abc\x00", "big")
    assert (reader.sized(2, 3, "text"), reader.position) == (b"abc", 5)
    assert Reader(b"\x03\x00abc", "little").sized(2, 3, "text") == b"abc"
    assert Reader(b"\x00", "big").sized(1, 0, "text") == b""


@pytest.mark.parametrize(
    ("data", "limit", "detail"),
    [
        (b"-\x00\x04abcd", 3, "text: 4 bytes, the limit is 3"),
        (b"-\x00\x04abc", 4, "text: needs 4 bytes at offset 3, 3 left"),
        (b"-\x00", 4, "text length: needs 2 bytes at offset 1, 1 left"),
    ],
    ids=["too long", "cut short", "no length"],
)
def test_a_wrong_sized_string_is_refused_and_nothing_is_read(data: bytes, limit: int, detail: str) -> None:
    reader = Reader(data, "big", 1)
    assert refusal(reader.sized, 2, limit, "text") == detail
    assert reader.position == 1


def test_bytes_after_the_end_are_refused() -> None:
    reader = Reader(DATA, "big", 8)
    assert refusal(reader.finish, "data") == "data: 1 bytes after its end"
