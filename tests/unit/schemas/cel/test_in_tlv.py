"""CEL records as TLV: the bytes of each content, where a record ends, and what is refused."""

import pytest

from schemas.cel.in_tlv import encode_record, parse_record, split_records
from schemas.cel.records import (
    ApplicationContent,
    CelRecord,
    Content,
    ImaContent,
    ManagementContent,
    ManagementEvent,
    OpaqueContent,
    PcClientContent,
    SystemdContent,
)
from schemas.errors import PeerError
from schemas.reasons import Reason


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(4, "big") + value


CONTENTS: list[tuple[Content, int, bytes]] = [
    (
        ManagementContent(event=ManagementEvent.CEL_VERSION, values=(1, 256)),
        4,
        tlv(1, tlv(0, b"\1") + tlv(1, b"\1\0")),
    ),
    (ManagementContent(event=ManagementEvent.FIRMWARE_END), 4, tlv(2, b"")),
    (ManagementContent(event=ManagementEvent.CEL_TIMESTAMP, values=(255,)), 4, tlv(80, b"\xff")),
    (ManagementContent(event=ManagementEvent.STATE_TRANS, values=(0,)), 4, tlv(81, b"\0")),
    (PcClientContent(event_type=0x80000001, data=b"d"), 5, tlv(0, b"\x80\0\0\1") + tlv(1, b"d")),
    (ImaContent(name="ima-ng", data=b"d"), 7, tlv(0, b"ima-ng") + tlv(1, b"d")),
    (OpaqueContent(content_type=8, data=b"d"), 8, b"d"),
    (
        SystemdContent(event_type="e", boot_id="b", timestamp=5, string="ü"),
        9,
        tlv(0, b"e") + tlv(1, b"b") + tlv(2, b"\5") + tlv(3, "ü".encode()),
    ),
    (SystemdContent(boot_id="b"), 9, tlv(1, b"b")),
    (SystemdContent(), 9, b""),
    (
        ApplicationContent(event_type="e", name="n", digest=bytes(32)),
        167,
        tlv(0, b"e") + tlv(1, b"n") + tlv(2, bytes(32)),
    ),
]
HEAD = tlv(0, b"\7") + tlv(1, b"\x10") + tlv(3, tlv(11, b"\2" * 32))
RAW = HEAD + tlv(8, b"d")


def record(content: Content, **changes: object) -> CelRecord:
    values: dict[str, object] = {"recnum": 7, "pcr": 16, "digests": ((11, b"\2" * 32),), "content": content, **changes}
    return CelRecord(**values)  # type: ignore[arg-type]  # fields by name


OPAQUE = OpaqueContent(content_type=8, data=b"d")


def refused(raw: bytes) -> str:
    with pytest.raises(PeerError) as caught:
        parse_record(raw)
    assert caught.value.reason is Reason.LOG_MALFORMED
    return caught.value.detail


@pytest.mark.parametrize(("content", "number", "encoded"), CONTENTS)
def test_each_content_has_its_bytes(content: Content, number: int, encoded: bytes) -> None:
    raw = HEAD + tlv(number, encoded)
    assert encode_record(record(content)) == raw
    assert parse_record(raw) == record(content)


@pytest.mark.parametrize(("number", "encoded"), [(0, b"\0"), (255, b"\xff"), (256, b"\1\0"), (2**64 - 1, b"\xff" * 8)])
def test_integers_are_as_short_as_possible(number: int, encoded: bytes) -> None:
    raw = tlv(0, encoded) + RAW[6:]
    assert encode_record(record(OPAQUE, recnum=number)) == raw
    assert parse_record(raw) == record(OPAQUE, recnum=number)
    if len(encoded) < 8:
        assert parse_record(tlv(0, encoded.rjust(8, b"\0")) + RAW[6:]) == record(OPAQUE, recnum=number)


def test_a_record_of_an_nv_index_has_the_other_type() -> None:
    made = record(OPAQUE, pcr=None, nv_index=0x01000000)
    raw = tlv(0, b"\7") + tlv(2, b"\1\0\0\0") + RAW[12:]
    assert encode_record(made) == raw
    assert parse_record(raw) == made


def test_what_does_not_fit_into_tlv_is_not_written() -> None:
    for made, complaint in (
        (record(OPAQUE, recnum=None), "no recnum"),
        (record(OPAQUE, digests=((0x100, b"x"),)), "an algorithm that does not fit"),
    ):
        with pytest.raises(PeerError, match=complaint) as caught:
            encode_record(made)
        assert caught.value.reason is Reason.LOG_MALFORMED
    assert encode_record(record(OPAQUE, digests=((0xFF, b"x"),))) == RAW[:12] + tlv(3, tlv(0xFF, b"x")) + tlv(8, b"d")


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"", "expected recnum, index, digests and content"),
        (HEAD, "expected recnum, index, digests and content"),
        (tlv(1, b"\7") + RAW[6:], "expected recnum"),
        (RAW[:12] + tlv(2, b"") + tlv(8, b"d"), "expected recnum"),
        (RAW + tlv(0, b""), "more than 4 fields"),
        (RAW[:6] + tlv(3, b"\x10") + RAW[12:], "field 3 instead of a PCR or NV index"),
        (RAW[:6] + tlv(0, b"\x10") + RAW[12:], "field 0 instead"),
        (tlv(0, b"") + RAW[6:], "an integer of 0 bytes"),
        (tlv(0, bytes(9)) + RAW[6:], "an integer of 9 bytes"),
        (RAW[:6] + tlv(1, b"") + RAW[12:], "an integer of 0 bytes"),
        (RAW[:12] + tlv(3, b"\x0b") + tlv(8, b"d"), "value length"),
        (RAW[:12] + tlv(3, tlv(11, bytes(31))) + tlv(8, b"d"), "sha256 digest of 31 bytes"),
        (RAW[:12] + tlv(3, b"".join(tlv(0x50 + each, b"x") for each in range(9))) + tlv(8, b"d"), "more than 8 fields"),
        (HEAD + tlv(0, b""), "content type 0"),
        (HEAD + tlv(4, b""), "expected exactly one known event"),
        (HEAD + tlv(4, tlv(3, b"")), "expected exactly one known event"),
        (HEAD + tlv(4, tlv(2, b"") * 2), "more than 1 fields"),
        (HEAD + tlv(4, tlv(1, tlv(0, b"\1"))), "expected the fields 0, 1"),
        (HEAD + tlv(4, tlv(1, tlv(1, b"\1") + tlv(0, b"\1"))), "expected the fields 0, 1"),
        (HEAD + tlv(4, tlv(1, tlv(0, b"\1") + tlv(1, b""))), "an integer of 0 bytes"),
        (HEAD + tlv(4, tlv(80, b"")), "cel_timestamp: 0 values"),
        (HEAD + tlv(4, tlv(80, bytes(9))), "an integer of 9 bytes"),
        (HEAD + tlv(4, tlv(2, b"\1")), "firmware_end: 1 values"),
        (HEAD + tlv(5, tlv(0, b"\3")), "expected the fields 0, 1"),
        (HEAD + tlv(5, tlv(0, b"\3") * 3), "more than 2 fields"),
        (HEAD + tlv(5, tlv(1, b"\3") + tlv(0, b"")), "expected the fields 0, 1"),
        (HEAD + tlv(5, tlv(0, b"") + tlv(1, b"")), "an integer of 0 bytes"),
        (HEAD + tlv(7, tlv(0, b"n")), "expected the fields 0, 1"),
        (HEAD + tlv(7, tlv(0, b"\xff") + tlv(1, b"")), "text that is not UTF-8"),
        (HEAD + tlv(9, tlv(4, b"")), "unknown, repeated or unordered"),
        (HEAD + tlv(9, tlv(1, b"b") + tlv(0, b"e")), "unknown, repeated or unordered"),
        (HEAD + tlv(9, tlv(1, b"b") * 2), "unknown, repeated or unordered"),
        (HEAD + tlv(9, tlv(0, b"") * 5), "more than 4 fields"),
        (HEAD + tlv(9, tlv(0, b"\xff")), "not UTF-8"),
        (HEAD + tlv(9, tlv(1, b"\xff")), "not UTF-8"),
        (HEAD + tlv(9, tlv(2, b"")), "an integer of 0 bytes"),
        (HEAD + tlv(9, tlv(3, b"\xff")), "not UTF-8"),
        (HEAD + tlv(167, tlv(0, b"e") + tlv(1, b"n")), "expected the fields 0, 1, 2"),
        (HEAD + tlv(167, tlv(0, b"e") + tlv(2, b"n") + tlv(1, bytes(32))), "expected the fields 0, 1, 2"),
        (HEAD + tlv(167, tlv(0, b"\xff") + tlv(1, b"n") + tlv(2, bytes(32))), "not UTF-8"),
    ],
)
def test_fields_of_another_form_are_refused(raw: bytes, complaint: str) -> None:
    assert complaint in refused(raw)


# ── where a record ends ──────────────────────────────────────────────────────────────────────────────────────────────


def test_four_fields_are_a_record() -> None:
    assert split_records(b"") == ((), b"")
    for cut in range(len(RAW)):
        assert split_records(RAW[:cut]) == ((), RAW[:cut])
        assert split_records(RAW * 2 + RAW[:cut]) == ((RAW, RAW), RAW[:cut])
    empty = tlv(9, b"") * 4
    assert split_records(empty * 3) == ((empty,) * 3, b"")


def test_a_record_is_limited_in_bytes() -> None:
    fits = HEAD + tlv(8, bytes(64 * 1024 - len(HEAD) - 5))
    assert len(fits) == 64 * 1024
    assert encode_record(parse_record(fits)) == fits
    assert split_records(RAW + fits + RAW) == ((RAW, fits, RAW), b"")
    beyond = HEAD + tlv(8, bytes(64 * 1024 - len(HEAD) - 4))
    assert "65537 bytes, the limit is 65536" in refused(beyond)
    for data in (beyond, beyond[: len(HEAD) + 5], HEAD + b"\x08\x01\0\0\0"):
        with pytest.raises(PeerError, match=f"more than 65536 bytes at offset {len(RAW)}") as caught:
            split_records(RAW + data)
        assert caught.value.reason is Reason.LOG_MALFORMED
    assert split_records(beyond[: len(HEAD) + 4]) == ((), beyond[: len(HEAD) + 4])
