"""CEL records: every content in every encoding, what is extended, what is refused."""

import json

import pytest

from schemas import limits
from schemas.cel import any_encoding as cel_log
from schemas.cel import in_cbor as cel_cbor
from schemas.cel import in_json as cel_json
from schemas.cel import in_tlv as cel_tlv
from schemas.cel.any_encoding import CelEncoding, detect_encoding, read_records
from schemas.cel.records import (
    ApplicationContent,
    CelRecord,
    Content,
    ContentType,
    ImaContent,
    ManagementContent,
    ManagementEvent,
    OpaqueContent,
    PcClientContent,
    SystemdContent,
    application_record,
    check_record,
    content_type,
    is_content_bound,
    numbered,
)
from schemas.codecs import cbor
from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256
from schemas.reasons import Reason

DIGESTS = ((SHA1.tpm_id, b"\x01" * 20), (SHA256.tpm_id, b"\x02" * 32))
APPLICATION = ApplicationContent(event_type="app.config", name="/etc/app.conf", digest=SHA256.digest(b"x"))
CONTENTS: list[Content] = [
    ManagementContent(event=ManagementEvent.CEL_VERSION, values=(1, 1)),
    ManagementContent(event=ManagementEvent.FIRMWARE_END),
    ManagementContent(event=ManagementEvent.CEL_TIMESTAMP, values=(2**40,)),
    *(ManagementContent(event=ManagementEvent.STATE_TRANS, values=(kind,)) for kind in range(3)),
    PcClientContent(event_type=3, data=b"StartupLocality\0\x03"),
    PcClientContent(event_type=0x8000_0007, data=b""),
    ImaContent(name="ima-ng", data=b"data"),
    SystemdContent(event_type="phase", boot_id="a" * 32, timestamp=123456, string="enter-initrd"),
    SystemdContent(string="grüße"),
    SystemdContent(),
    APPLICATION,
    OpaqueContent(content_type=8, data=b"\x00\x01"),
]
ENCODINGS = [
    (cel_cbor.encode_record, cel_cbor.parse_record),
    (cel_json.encode_record, cel_json.parse_record),
    (cel_tlv.encode_record, cel_tlv.parse_record),
]
# As systemd 255 writes it, two records.
SYSTEMD_LOG = (
    b'\x1e{"pcr":11,"digests":[{"hashAlg":"sha256","digest":"%s"}],"content_type":"systemd","content":{"string":'
    b'"enter-initrd","bootId":"0123456789abcdef0123456789abcdef","timestamp":1693920,"eventType":"phase"}}\n'
    b'\x1e{"pcr":15,"digests":[{"hashAlg":"sha256","digest":"%s"}],"content_type":"systemd","content":{"string":'
    b'"cryptsetup:root:uuid","bootId":"0123456789abcdef0123456789abcdef","timestamp":1693921,"eventType":"volume-key"}}\n'
    % (SHA256.digest(b"enter-initrd").hex().encode(), b"ab" * 32)
)


def record(content: Content = APPLICATION, **changes: object) -> CelRecord:
    values: dict[str, object] = {"recnum": 7, "pcr": 16, "digests": DIGESTS, "content": content, **changes}
    return CelRecord(**values)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(("encode", "parse"), ENCODINGS)
def test_a_record_comes_back_from_every_encoding(content: Content, encode, parse) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 both are codecs
    for made in (record(content), record(content, pcr=None, nv_index=0x01D1_0200), record(content, digests=())):
        assert parse(encode(made)) == made


@pytest.mark.parametrize("content", CONTENTS)
def test_an_encoding_does_not_change_what_the_next_one_says(content: Content) -> None:
    made = record(content)
    raw = cel_cbor.encode_record(made)
    for encode, parse in ENCODINGS:
        assert cel_cbor.encode_record(parse(encode(made))) == raw


@pytest.mark.parametrize(
    ("content", "extended"),
    [
        (ManagementContent(event=ManagementEvent.CEL_VERSION, values=(1, 1)), False),
        (ManagementContent(event=ManagementEvent.FIRMWARE_END), False),
        (ManagementContent(event=ManagementEvent.STATE_TRANS, values=(0,)), True),
        (PcClientContent(event_type=3, data=b""), False),
        (PcClientContent(event_type=4, data=b""), True),
        (SystemdContent(), True),
    ],
)
def test_what_is_informative_extends_nothing(content: Content, extended: bool) -> None:
    assert record(content).extended is extended


def test_a_systemd_log_is_read_and_counted_by_pcr() -> None:
    assert detect_encoding(SYSTEMD_LOG) is CelEncoding.JSON_SEQUENCE
    read = read_records(SYSTEMD_LOG + b'\x1e{"pcr":1', CelEncoding.JSON_SEQUENCE)
    assert read.size == len(SYSTEMD_LOG)
    counts = {11: 3}
    phase, key = numbered(read.records, counts)
    assert (phase.recnum, key.recnum, counts) == (3, 0, {11: 4, 15: 1})
    assert phase.content == SystemdContent(
        event_type="phase", boot_id="0123456789abcdef0123456789abcdef", timestamp=1693920, string="enter-initrd"
    )
    assert (is_content_bound(phase), is_content_bound(key)) == (True, False)


def test_our_records_extend_the_digest_of_type_name_and_file() -> None:
    made = application_record(16, APPLICATION, (SHA1.tpm_id, SHA256.tpm_id, 0x12), 0)
    message = cbor.encode({0: "app.config", 1: "/etc/app.conf", 2: SHA256.digest(b"x")})
    assert dict(made.digests) == {SHA1.tpm_id: SHA1.digest(message), SHA256.tpm_id: SHA256.digest(message)}
    check_record(made)
    with pytest.raises(PeerError, match="not those of its content"):
        check_record(record())


@pytest.mark.parametrize("encoding", list(CelEncoding))
def test_logs_of_every_encoding_are_told_apart_and_read(encoding: CelEncoding) -> None:
    records = [record(content, recnum=number) for number, content in enumerate(CONTENTS)]
    items = {
        CelEncoding.CBOR_SEQUENCE: b"".join(map(cel_cbor.encode_record, records)),
        CelEncoding.CBOR_ARRAY: bytes([0x80 + len(records)]) + b"".join(map(cel_cbor.encode_record, records)),
        CelEncoding.JSON_SEQUENCE: b"".join(b"\x1e" + cel_json.encode_record(each) + b"\n" for each in records),
        CelEncoding.JSON_ARRAY: b"[" + b",".join(map(cel_json.encode_record, records)) + b"]",
        CelEncoding.TLV: b"".join(map(cel_tlv.encode_record, records)),
    }
    data = items[encoding]
    assert detect_encoding(data) is encoding
    read = read_records(data, encoding)
    assert (list(read.records), read.size) == (records, len(data))
    if encoding.grows:
        assert read_records(data[:-1], encoding).records == tuple(records[:-1])
    else:
        with pytest.raises(PeerError):
            read_records(data[:-1], encoding)


@pytest.mark.parametrize(
    "changes",
    [
        {"pcr": 24},
        {"pcr": None},
        {"nv_index": 0x01000000},
        {"pcr": None, "nv_index": 5},
        {"recnum": 2**64},
        {"digests": ((11, bytes(31)),)},
        {"digests": ((11, bytes(32)), (11, bytes(32)))},
        {"digests": ((0x55, b""),)},
        {"digests": tuple((0x50 + number, b"x") for number in range(limits.MAX_PCR_BANKS + 1))},
    ],
)
def test_records_that_cannot_be_are_not(changes: dict[str, object]) -> None:
    with pytest.raises(PeerError) as caught:
        record(**changes)  # type: ignore[arg-type]  # fields by name
    assert caught.value.reason is Reason.LOG_MALFORMED


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xa0",
        b"\xbf\xff",
        b"\x9f\xff",
        b"\x5b" + b"\xff" * 8,
        b"\x81" * 100,
        b"\xd8\x40" * 40,
        cel_cbor.encode_record(record()) + b"\0",
        cel_cbor.encode_record(record())[:-1],
        cbor.encode({0: 0, 1: 1, 3: [], 9: 4, 10: {0: 3}}),
        cbor.encode({0: 0, 1: 1, 3: [], 9: 5, 10: b""}),
        cbor.encode({0: 0, 1: 1, 2: 2**24, 3: [], 9: 8, 10: b""}),
        cbor.encode({0: 0, True: 1, 3: [], 9: 8, 10: b""}),
        cbor.encode({0: 0, 1: 1, 3: [{0: 11, True: bytes(32)}], 9: 8, 10: b""}),
        cbor.encode({0: 0, 1: True, 3: [], 9: 8, 10: b""}),
        cbor.encode({0: 0, 1: 1, 3: [], 9: 8, 10: b"", 11: 0}),
    ],
)
def test_cbor_that_is_no_record_is_refused(raw: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        cel_cbor.parse_record(raw)
    assert caught.value.reason is Reason.LOG_MALFORMED


@pytest.mark.parametrize(
    "raw", [b"\x9f", b"\x1c", b"\x5b" + b"\xff" * 8, b"\x81" * 40, b"\x5a\x00\x01\x00\x00" + bytes(65536)]
)
def test_cutting_a_sequence_stops_at_what_cannot_be(raw: bytes) -> None:
    with pytest.raises(PeerError):
        cel_cbor.split_records(raw)


@pytest.mark.parametrize(
    "change",
    [
        {"pcr": 1.0},
        {"pcr": None},
        {"pcr": True},
        {"digests": [{"hashAlg": "sha0", "digest": ""}]},
        {"digests": [{"hashAlg": "sha256", "digest": "zz"}]},
        {"digests": [{"hashAlg": "sha256", "digest": "00 " * 32}]},
        {"content_type": "nothing"},
        {"content": {"string": "\ud800"}},
        {"content": {"timestamp": -1}},
        {"other": 1},
    ],
)
def test_json_that_is_no_record_is_refused(change: dict[str, object]) -> None:
    items = json.loads(cel_json.encode_record(record(SystemdContent(string="s"))))
    with pytest.raises(PeerError) as caught:
        cel_json.parse_record(json.dumps({**items, **change}).encode())
    assert caught.value.reason is Reason.LOG_MALFORMED


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"pcr":1,"pcr":1}', b"\xff", b"[" * 60_000, b"NaN", b"1" * 5000, b"null"]
)
def test_text_that_is_no_json_record_is_refused(raw: bytes) -> None:
    with pytest.raises(PeerError):
        cel_json.parse_record(raw)


def test_names_of_firmware_events_are_read() -> None:
    text = b'{"recnum":0,"pcr":0,"digests":[],"content_type":"pcclient_std","content":%s}'
    parsed = cel_json.parse_record(text % b'{"event_type":"EV_EFI_VARIABLE_AUTHORITY","event_data":"00ff"}')
    assert parsed.content == PcClientContent(event_type=0x8000_00E0, data=b"\x00\xff")
    version = b'{"recnum":0,"pcr":0,"digests":[],"content_type":"cel","content":{"type":"cel_version","data":[1,2]}}'
    assert cel_json.parse_record(version).content == ManagementContent(event=ManagementEvent.CEL_VERSION, values=(1, 2))


def test_integers_of_fixed_length_are_read_in_tlv() -> None:
    made = record(SystemdContent())
    raw = cel_tlv.encode_record(made)
    fixed = b"\0\0\0\0\x08" + (7).to_bytes(8, "big") + raw[6:]
    assert cel_tlv.parse_record(fixed) == made
    with pytest.raises(PeerError):
        cel_tlv.parse_record(b"\0\0\0\0\x09" + (7).to_bytes(9, "big") + raw[6:])


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_tlv_cut_short_is_refused(cut: int) -> None:
    raw = cel_tlv.encode_record(record())
    with pytest.raises(PeerError):
        cel_tlv.parse_record(raw[:cut])
    assert cel_tlv.split_records(raw + raw[:cut]) == ((raw,), raw[:cut])


@pytest.mark.parametrize("first", [b"x", b"{", b"\xff", b"\xbf"])
def test_a_log_that_begins_with_anything_else_is_refused(first: bytes) -> None:
    with pytest.raises(PeerError):
        cel_log.detect_encoding(first)


def test_a_record_without_a_number_is_not_written_where_numbers_are_needed() -> None:
    unnumbered = record(recnum=None)
    assert cel_json.parse_record(cel_json.encode_record(unnumbered)).recnum is None
    for encode in (cel_cbor.encode_record, cel_tlv.encode_record):
        with pytest.raises(PeerError, match="recnum"):
            encode(unnumbered)
    assert content_type(APPLICATION) == ContentType.APPLICATION
