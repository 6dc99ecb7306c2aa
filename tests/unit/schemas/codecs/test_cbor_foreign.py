"""CBOR of other tools, read to show it: lenient about the encoding, strict about everything that could deceive."""

from collections.abc import Callable

import cbor2
import pytest

from schemas.codecs.cbor import Tag, decode, decode_foreign
from schemas.errors import PeerError
from schemas.limits import MAX_CBOR_DEPTH, MAX_MESSAGE_BYTES
from schemas.reasons import Reason

# What cbor2 6 turns into dates, decimals, regular expressions, shared references and more.
INTERPRETED_TAGS = (*(0, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799),)


def refusal(raw: bytes, **limits: int) -> tuple[Reason, str]:
    with pytest.raises(PeerError) as refused:
        decode_foreign(raw, "thing", **limits)
    return refused.value.reason, refused.value.detail


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"\x18\x01", 1),  # not the shortest form
        (b"\x9f\x01\x02\xff", [1, 2]),  # of indefinite length
        (b"\xa2\x02\x01\x01\x02", {2: 1, 1: 2}),  # not in order
        (b"\x01\x02", 1),  # more after it
    ],
)
def test_any_encoding_is_read(raw: bytes, value: object) -> None:
    assert decode_foreign(raw, "thing") == value


@pytest.mark.parametrize("tag", [*INTERPRETED_TAGS, 1, 700])
def test_no_tag_is_interpreted(tag: int) -> None:
    raw = cbor2.dumps(cbor2.CBORTag(tag, "1"))
    assert decode_foreign(raw, "thing") == Tag(tag, "1")


@pytest.mark.parametrize("tag", INTERPRETED_TAGS)
def test_what_the_library_would_interpret_is_no_message_of_ours(tag: int) -> None:
    with pytest.raises(PeerError, match="thing: not valid CBOR") as refused:
        decode(cbor2.dumps(cbor2.CBORTag(tag, "1")), "thing")
    assert refused.value.reason is Reason.MALFORMED
    assert refused.value.__cause__ is not None
    assert str(refused.value.__cause__.__cause__) == "a tag that no message uses"  # before anything reads its content


@pytest.mark.parametrize("tag", [1, 18, 700])
def test_other_tags_are_kept_as_they_are(tag: int) -> None:
    assert decode(cbor2.dumps(cbor2.CBORTag(tag, 7)), "thing") == Tag(tag, 7)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"\x41", b"\xa2\x01\x02\x01\x03", b"\x62\xff\xff", b"\xa1\x80\x01"[:1]])
def test_what_is_no_cbor_or_repeats_a_key_is_refused(raw: bytes) -> None:
    reason, detail = refusal(raw)
    assert reason is Reason.MALFORMED
    assert detail.startswith("thing: not valid CBOR (")


def test_depth_is_limited() -> None:
    assert decode_foreign(b"\x81" * (MAX_CBOR_DEPTH - 1) + b"\x01", "thing")
    assert refusal(b"\x81" * (MAX_CBOR_DEPTH + 1) + b"\x01")[0] is Reason.MALFORMED


def test_size_is_limited() -> None:
    assert decode_foreign(b"\x42ab", "thing", max_bytes=3) == b"ab"
    assert refusal(b"\x42ab", max_bytes=2) == (Reason.TOO_LARGE, "thing: 3 bytes, the limit is 2")
    largest = b"\x5a" + (MAX_MESSAGE_BYTES - 5).to_bytes(4) + bytes(MAX_MESSAGE_BYTES - 5)
    assert decode_foreign(largest, "thing") == bytes(MAX_MESSAGE_BYTES - 5)
    assert refusal(largest + b"\0")[0] is Reason.TOO_LARGE


@pytest.mark.parametrize("error", [cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError])
@pytest.mark.parametrize("read", [decode, decode_foreign])
def test_whatever_the_library_raises_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[bytes, str], object], error: type[Exception]
) -> None:
    def loads(*_: object, **__: object) -> None:
        raise error("of the library")

    monkeypatch.setattr("schemas.codecs.cbor.cbor2.loads", loads)
    with pytest.raises(PeerError, match=r"thing: not valid CBOR \(of the library\)") as refused:
        read(b"\x01", "thing")
    assert refused.value.reason is Reason.MALFORMED
