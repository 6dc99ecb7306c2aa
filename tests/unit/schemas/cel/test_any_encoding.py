"""The first byte of a CEL log determines its encoding."""

import pytest

from schemas.cel.any_encoding import CelEncoding, detect_encoding, read_records
from schemas.cel.in_cbor import encode_record
from schemas.cel.records import CelRecord, OpaqueContent
from schemas.errors import PeerError
from schemas.reasons import Reason

RECORD = CelRecord(recnum=0, pcr=1, digests=(), content=OpaqueContent(content_type=8, data=b""))
RAW = encode_record(RECORD)
FIRST = {
    CelEncoding.TLV: {0x00},
    CelEncoding.CBOR_SEQUENCE: set(range(0xA0, 0xB8)),
    CelEncoding.CBOR_ARRAY: set(range(0x80, 0x9C)),
    CelEncoding.JSON_SEQUENCE: {0x1E},
    CelEncoding.JSON_ARRAY: set(b"[ \n\t\r"),
}


def test_each_first_byte_has_one_encoding_or_none() -> None:
    for byte in range(256):
        data = bytes([byte]) + b"rest"
        encoding = next((each for each, firsts in FIRST.items() if byte in firsts), None)
        if encoding is not None:
            assert detect_encoding(data) is encoding
            continue
        with pytest.raises(PeerError, match=f"begins with {byte:#04x}") as caught:
            detect_encoding(data)
        assert caught.value.reason is Reason.LOG_MALFORMED


def test_encodings_have_names_and_some_grow() -> None:
    assert {str(each): each.grows for each in CelEncoding} == {
        "cbor-sequence": True,
        "cbor-array": False,
        "json-sequence": True,
        "json-array": False,
        "tlv": True,
    }


def test_a_log_is_limited_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schemas.limits.MAX_BOOT_LOG_BYTES", 2 * len(RAW))
    read = read_records(RAW * 2, CelEncoding.CBOR_SEQUENCE)
    assert (read.records, read.size) == ((RECORD, RECORD), 2 * len(RAW))
    with pytest.raises(PeerError, match=f"{2 * len(RAW) + 1} bytes, the limit is {2 * len(RAW)}") as caught:
        read_records(RAW * 2 + b"\xa5", CelEncoding.CBOR_SEQUENCE)
    assert caught.value.reason is Reason.LOG_MALFORMED


def test_the_size_is_that_of_whole_records() -> None:
    for cut in range(len(RAW)):
        read = read_records(RAW + RAW[:cut], CelEncoding.CBOR_SEQUENCE)
        assert (read.records, read.size) == ((RECORD,), len(RAW))
