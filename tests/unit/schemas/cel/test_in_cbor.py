"""CEL records in CBOR: the bytes of each content, where a record ends, and what is refused."""

import pytest

from schemas.cel.in_cbor import encode_record, parse_record, split_array, split_records
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
from schemas.codecs import cbor
from schemas.errors import PeerError
from schemas.reasons import Reason

# Content, its type and its CBOR, with the numbers of CEL 1.1.
CONTENTS: list[tuple[Content, int, object]] = [
    (ManagementContent(event=ManagementEvent.CEL_VERSION, values=(1, 2)), 4, {0: 1, 1: {0: 1, 1: 2}}),
    (ManagementContent(event=ManagementEvent.FIRMWARE_END), 4, {0: 2}),
    (ManagementContent(event=ManagementEvent.CEL_TIMESTAMP, values=(7,)), 4, {0: 80, 1: 7}),
    (ManagementContent(event=ManagementEvent.STATE_TRANS, values=(2,)), 4, {0: 81, 1: 2}),
    (PcClientContent(event_type=3, data=b"d"), 5, {0: 3, 1: b"d"}),
    (ImaContent(name="ima-ng", data=b"d"), 7, {0: "ima-ng", 1: b"d"}),
    (OpaqueContent(content_type=8, data=b"d"), 8, b"d"),
    (SystemdContent(event_type="e", boot_id="b", timestamp=5, string="s"), 9, {0: "e", 1: "b", 2: 5, 3: "s"}),
    (SystemdContent(timestamp=5), 9, {2: 5}),
    (SystemdContent(), 9, {}),
    (ApplicationContent(event_type="e", name="n", digest=bytes(32)), 167, {0: "e", 1: "n", 2: bytes(32)}),
]
ITEMS: dict[object, object] = {0: 7, 1: 16, 3: [{0: 11, 1: b"\x02" * 32}], 9: 8, 10: b"d"}
RECORD = CelRecord(recnum=7, pcr=16, digests=((11, b"\x02" * 32),), content=OpaqueContent(content_type=8, data=b"d"))
RAW = cbor.encode(ITEMS)


def refused(items: object) -> str:
    with pytest.raises(PeerError) as caught:
        parse_record(cbor.encode(items))
    assert caught.value.reason is Reason.LOG_MALFORMED
    return caught.value.detail


@pytest.mark.parametrize(("content", "number", "encoded"), CONTENTS)
def test_each_content_has_its_bytes(content: Content, number: int, encoded: object) -> None:
    made = CelRecord(recnum=7, pcr=16, digests=RECORD.digests, content=content)
    raw = cbor.encode({**ITEMS, 9: number, 10: encoded})
    assert encode_record(made) == raw
    assert parse_record(raw) == made


def test_a_record_of_an_nv_index_has_no_pcr() -> None:
    raw = cbor.encode({0: 0, 2: 0x01000000, 3: [], 9: 8, 10: b""})
    made = CelRecord(recnum=0, nv_index=0x01000000, digests=(), content=OpaqueContent(content_type=8, data=b""))
    assert encode_record(made) == raw
    assert parse_record(raw) == made


@pytest.mark.parametrize("key", [0, 3, 9, 10])
def test_a_record_has_all_required_items(key: int) -> None:
    assert f"key {key} is missing" in refused({each: value for each, value in ITEMS.items() if each != key})


@pytest.mark.parametrize(
    "changes",
    [
        {4: 0},
        {0: -1},
        {0: True},
        {1: True},
        {1: "16"},
        {2: 0x01000000},
        {3: {0: 11, 1: bytes(32)}},
        {3: [{0: 11}]},
        {3: [{1: bytes(32)}]},
        {3: [{0: 11, 1: bytes(32), 2: 0}]},
        {3: [{0: "sha256", 1: bytes(32)}]},
        {3: [{0: 11, 1: "x" * 32}]},
        {3: [{0: 0x50 + number, 1: b"x"} for number in range(9)]},
        {9: 256, 10: b""},
        {9: 0, 10: b""},
        {9: True, 10: b""},
        {9: 8, 10: "text"},
        # management events
        {9: 4, 10: {}},
        {9: 4, 10: {0: 3}},
        {9: 4, 10: {0: True, 1: {0: 1, 1: 2}}},
        {9: 4, 10: {0: 2, 2: 0}},
        {9: 4, 10: {0: 2, 1: 0}},
        {9: 4, 10: {0: 1}},
        {9: 4, 10: {0: 1, 1: 5}},
        {9: 4, 10: {0: 1, 1: {0: 1}}},
        {9: 4, 10: {0: 1, 1: {1: 1}}},
        {9: 4, 10: {0: 1, 1: {0: 1, 1: 2, 2: 3}}},
        {9: 4, 10: {0: 1, 1: {0: 1, 1: "2"}}},
        {9: 4, 10: {0: 1, 1: {0: "1", 1: 2}}},
        {9: 4, 10: {0: 80}},
        {9: 4, 10: {0: 80, 1: "7"}},
        # the others
        {9: 5, 10: {0: 3}},
        {9: 5, 10: {1: b""}},
        {9: 5, 10: {0: 3, 1: b"", 2: 0}},
        {9: 5, 10: {0: "3", 1: b""}},
        {9: 5, 10: {0: 3, 1: ""}},
        {9: 7, 10: {0: "n"}},
        {9: 7, 10: {1: b""}},
        {9: 7, 10: {0: "n", 1: b"", 2: 0}},
        {9: 7, 10: {0: b"n", 1: b""}},
        {9: 7, 10: {0: "n", 1: ""}},
        {9: 9, 10: []},
        {9: 9, 10: {4: 0}},
        {9: 9, 10: {0: 0}},
        {9: 9, 10: {1: 0}},
        {9: 9, 10: {2: "0"}},
        {9: 9, 10: {3: 0}},
        {9: 167, 10: {0: "e", 1: "n"}},
        {9: 167, 10: {0: "e", 2: bytes(32)}},
        {9: 167, 10: {1: "n", 2: bytes(32)}},
        {9: 167, 10: {0: "e", 1: "n", 2: bytes(32), 3: 0}},
        {9: 167, 10: {0: b"e", 1: "n", 2: bytes(32)}},
        {9: 167, 10: {0: "e", 1: b"n", 2: bytes(32)}},
        {9: 167, 10: {0: "e", 1: "n", 2: "x" * 32}},
    ],
)
def test_items_of_another_form_are_refused(changes: dict[object, object]) -> None:
    refused({**ITEMS, **changes})


def test_text_as_keys_is_refused() -> None:
    assert "unknown key '0'" in refused({**ITEMS, "0": 0})
    assert "unknown key '3'" in refused({**ITEMS, 9: 9, 10: {"3": "s"}})


def test_a_record_is_limited_in_bytes() -> None:
    fits = cbor.encode({**ITEMS, 10: bytes(64 * 1024 - len(RAW) - 1)})
    assert len(fits) == 64 * 1024
    assert len(encode_record(parse_record(fits))) == 64 * 1024
    assert "limit is 65536" in refused({**ITEMS, 10: bytes(64 * 1024 - len(RAW))})
    assert split_records(fits + RAW) == ((fits, RAW), b"")
    with pytest.raises(PeerError, match="65537 bytes at offset 0, the limit is 65536"):
        split_records(cbor.encode({**ITEMS, 10: bytes(64 * 1024 - len(RAW))}))


# ── where a record ends ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "item",
    [
        b"\x00",
        b"\x17",
        b"\x18\xff",
        b"\x19\xff\xff",
        b"\x1a\xff\xff\xff\xff",
        b"\x1b" + b"\xff" * 8,
        b"\x20",
        b"\x3b" + b"\xff" * 8,
        b"\x40",
        b"\x43abc",
        b"\x58\x18" + bytes(24),
        b"\x59\x01\x00" + bytes(256),
        b"\x63abc",
        b"\x80",
        b"\x82\x01\x02",
        b"\x82\x43abc\x81\x00",
        b"\xa0",
        b"\xa1\x01\x02",
        b"\xa2\x01\x02\x03\x81\x04",
        b"\xc1\x00",
        b"\xc1\x82\x01\x02",
        b"\xf4",
        b"\xf6",
        b"\xf8\xff",
        b"\xf9\x00\x00",
        b"\xfb" + bytes(8),
        b"\x81" * 14 + b"\x80",
        RAW,
    ],
)
def test_an_item_ends_where_its_parts_end(item: bytes) -> None:
    for rest in (b"", RAW[:1], RAW[:-1]):
        assert split_records(item + item + rest) == ((item, item), rest)
    for cut in range(len(item)):
        assert split_records(item[:cut]) == ((), item[:cut])
        assert split_records(RAW + item[:cut]) == ((RAW,), item[:cut])


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\x1c", "indefinite length or reserved value at offset 0"),
        (b"\x00\x1f", "offset 1"),
        (b"\x5f", "indefinite"),
        (b"\x7f", "indefinite"),
        (b"\x9f", "indefinite"),
        (b"\xbf", "indefinite"),
        (b"\xff", "indefinite"),
        (b"\xfe", "indefinite"),
        (b"\x82\x00\xfc", "offset 2"),
        (b"\x5a\x01\x00\x00\x01", "length 16777217 at offset 0"),
        (b"\x7a\x01\x00\x00\x01", "length 16777217"),
        (b"\x9a\x01\x00\x00\x01", "length 16777217"),
        (b"\xba\x01\x00\x00\x01", "length 16777217"),
        (b"\x5b" + b"\xff" * 8, "length 18446744073709551615"),
        (b"\x81" * 16 + b"\x00", "more than 16 levels"),
        (b"\xc1" * 16 + b"\x00", "more than 16 levels"),
        (b"\xa1\x00" * 16 + b"\x00", "more than 16 levels"),
    ],
)
def test_what_cannot_be_an_item_is_refused_at_once(data: bytes, complaint: str) -> None:
    with pytest.raises(PeerError) as caught:
        split_records(data)
    assert caught.value.reason is Reason.LOG_MALFORMED
    assert complaint in caught.value.detail


def test_the_greatest_length_and_a_large_number_are_no_error() -> None:
    start = b"\x5a\x01\x00\x00\x00"
    assert split_records(start) == ((), start)
    assert split_records(b"\x1a\x01\x00\x00\x01") == ((b"\x1a\x01\x00\x00\x01",), b"")


def test_an_item_that_stays_cut_short_is_limited() -> None:
    start = b"\x5a\x00\x02\x00\x00"
    waits = RAW + start + bytes(64 * 1024 - len(start))
    assert split_records(waits) == ((RAW,), waits[len(RAW) :])
    with pytest.raises(PeerError, match=f"more than 65536 bytes at offset {len(RAW)}"):
        split_records(waits + b"\0")


# ── one array ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [0, 1, 23, 24, 300])
def test_an_array_holds_as_many_records_as_it_states(count: int) -> None:
    head = cbor.encode([0] * count)[: -count or None]
    assert split_array(head + RAW * count) == (RAW,) * count
    for wrong in (head + RAW * (count + 1), head + RAW * count + RAW[:-1]):
        with pytest.raises(PeerError) as caught:
            split_array(wrong)
        assert caught.value.reason is Reason.LOG_MALFORMED
    if count:
        with pytest.raises(PeerError, match=f"an array of {count} records holds {count - 1}"):
            split_array(head + RAW * (count - 1))


@pytest.mark.parametrize("data", [b"", RAW, b"\x41x", b"\x98", b"\x00"])
def test_other_items_are_no_array_of_records(data: bytes) -> None:
    with pytest.raises(PeerError, match="not an array of records"):
        split_array(data)
