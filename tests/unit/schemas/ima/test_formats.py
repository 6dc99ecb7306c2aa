"""ASCII lists and lists of one bank become the records of the binary list, or are refused."""

import pytest

from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS, SHA1, SHA256, SHA384, HashAlgorithm
from schemas.ima.ascii import convert_ascii
from schemas.ima.formats import BINARY, ListFormat, convert, detect_format
from schemas.ima.records import parse_entry, split_records
from schemas.reasons import Reason
from tests.builders.ima_shown import show_ascii, show_bank
from tests.builders.log_bytes import FIRMWARE, ima_legacy, ima_ng, ima_record

LABELLED = b"sha256:\0" + SHA256.digest(b"content")
RECORDED, _ = split_records((FIRMWARE / "binary_runtime_measurements").read_bytes())
EVM_SIG = ima_record(
    b"evm-sig",
    LABELLED,
    b"/e\0",
    b"\x05\x02evm",
    b"security.selinux|security.ima\0",
    b"\x04\0\0\0\x02\0\0\0",
    b"abcdef",
    b"\xe8\x03\0\0",
    b"\0\0\0\0",
    b"\xed\x81",
)
ENTRIES = (
    ima_ng(b"/bin/sh", b"content"),
    ima_ng(b"/a b\nc  d ", b"content", pcr_index=9, algorithm=SHA384),
    ima_legacy(b"/old one", b"content"),
    ima_record(b"ima-sig", LABELLED, b"/s s\0", b""),
    ima_record(b"ima-sig", LABELLED, b"/s\0", b"\x03\x02sig"),
    ima_record(b"ima-ngv2", b"verity:" + LABELLED, b"/v\0"),
    ima_record(b"ima-sigv2", b"ima:" + LABELLED, b"/v\0", b"\x06sig"),
    ima_record(b"ima-buf", LABELLED, b"kexec-cmdline\0", b"quiet splash"),
    ima_record(b"ima-modsig", LABELLED, b"/m\0", b"", LABELLED, b"pkcs7"),
    ima_record(b"ima-modsig", LABELLED, b"/m\0", b"\x03s", b"", b""),
    ima_record(b"d-ng|n-ng|iuid|imode", LABELLED, b"/u\0", b"\xe8\x03\0\0", b"\xed\x81"),
    ima_record(b"n-ng|d-ng", b"/u u\0", LABELLED),
    ima_record(b"d|n", SHA1.digest(b"c"), b"/d\0"),
    ima_record(b"ima-ng", b"sha256:\0" + bytes(20), b"/violated\0", template_hash=bytes(20)),
    EVM_SIG,
)
# From the wiki of IMA: a list of Linux 2.6.30.
DOCUMENTED = b"""\
10 7971593a7ad22a7cce5b234e4bc5d71b04696af4 ima b5a166c10d153b7cc3e5b4f1eab1f71672b7c524 boot_aggregate
10 2c7020ad8cab6b7419e4973171cb704bdbf52f77 ima e09e048c48301268ff38645f4c006137e42951d0 /init
10 ef7a0aff83dd46603ebd13d1d789445365adb3b3 ima 0f8b3432535d5eab912ad3ba744507e35e3617c1 /init
10 247dba6fc82b346803660382d1973c019243e59f ima 747acb096b906392a62734916e0bb39cef540931 ld-2.9.so
10 341de30a46fa55976b26e55e0e19ad22b5712dcb ima 326045fc3d74d8c8b23ac8ec0a4d03fdacd9618a ld.so.cache
"""


@pytest.mark.parametrize("record", ENTRIES)
@pytest.mark.parametrize("algorithm", HASH_ALGORITHMS)
def test_a_line_becomes_the_record_it_was_shown_of(record: bytes, algorithm: HashAlgorithm) -> None:
    line = show_ascii(record, algorithm)
    assert convert_ascii(line, algorithm) == ((record,), (len(line),))
    assert detect_format(line) == ListFormat(text=True, algorithm=algorithm)


@pytest.mark.parametrize("record", ENTRIES)
@pytest.mark.parametrize("algorithm", HASH_ALGORITHMS)
def test_a_record_of_one_bank_becomes_that_of_sha1(record: bytes, algorithm: HashAlgorithm) -> None:
    shown = show_bank(record, algorithm)
    form = ListFormat(algorithm=algorithm)
    assert convert(shown, form) == ((record,), (len(shown),))
    assert detect_format(shown) == form


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("algorithm", HASH_ALGORITHMS)
def test_the_recorded_list_comes_back_from_every_form(text: bool, algorithm: HashAlgorithm) -> None:
    show = show_ascii if text else show_bank
    shown = [show(record, algorithm) for record in RECORDED]
    form = detect_format(b"".join(shown))
    assert form == ListFormat(text=text, algorithm=algorithm)
    converted = convert(b"".join(shown) + shown[0][:-1], form)
    assert converted.records == RECORDED
    assert converted.ends[-1] == sum(map(len, shown))


def test_documented_lines_have_the_hashes_that_they_say() -> None:
    converted = convert_ascii(DOCUMENTED)
    paths = [parse_entry(record).path for record in converted.records]
    assert paths == [line.rpartition(b" ")[2].decode() for line in DOCUMENTED.splitlines()]


def test_spaces_that_someone_stripped_are_no_loss() -> None:
    record = ima_record(b"ima-sig", LABELLED, b"/s\0", b"")
    assert convert_ascii(show_ascii(record).rstrip() + b"\n").records == (record,)


def test_a_path_that_looks_like_entries_is_a_path() -> None:
    inner = show_ascii(ima_ng(b"/inner", b"content"))
    record = ima_ng(b"/x\n" + inner + b"rest", b"content")
    after = ima_ng(b"/after", b"content")
    assert convert_ascii(show_ascii(record) + show_ascii(after)).records == (record, after)


def test_a_bank_that_the_kernel_pads_shows_padded_hashes() -> None:
    record = ENTRIES[0]
    padded = record[4:24].ljust(32, b"\0")
    shown = record[:4] + padded + record[24:]
    assert convert(shown, ListFormat(algorithm=SHA256)).records == (record,)


@pytest.mark.parametrize("data", [b"", b"10", b"\n", b"\x0a\0\0\0", b"x" * 100, b"\x0a\0\0\0" + bytes(80)])
def test_what_says_nothing_is_taken_for_the_plain_list(data: bytes) -> None:
    assert detect_format(data) in {BINARY, ListFormat(text=True)}


LINE = show_ascii(ima_record(b"ima-sig", LABELLED, b"/s\0", b"\x03s"))
UNSIGNED = show_ascii(ima_record(b"d-ng|n-ng|iuid", LABELLED, b"/s\0", b"\1\0\0\0"))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (LINE.replace(b"/s", b"/t"), "template hash"),
        (LINE.replace(b"10 ", b"24 ", 1), "expected a PCR"),
        (LINE.replace(b"ima-sig", b"ima-fig"), "is unknown"),
        (LINE.replace(b"ima-sig", b"ima-buf"), None),
        (LINE.replace(b" 0373", b" 037"), "not hexadecimal"),
        (LINE.replace(b" 0373", b" 0 3"), "not hexadecimal"),
        (LINE.replace(b" 0373", b"0373 "), "template hash"),
        (UNSIGNED.replace(b" 1\n", b" 4294967296\n"), "not a number of 4 bytes"),
        (UNSIGNED.replace(b" 1\n", b" -1\n"), "not a number"),
        (UNSIGNED.replace(b" 1\n", b"\n"), "template hash"),
        (b"10 " + b"a" * 40 + b" ima-ng sha1:aa\n", "1 fields of 2"),
        (b"text\n", "expected a PCR"),
        (b"\n", "expected a PCR"),
        (b"10 " + b"a" * 40 + b" ima b /x\n", "not hexadecimal"),
        (b"10 " + b"a" * 40 + b" ima bb /x\n", "another size"),
        (b"10 " + b"a" * 40 + b" ima-ng sha1:" + b"b" * 200_000 + b" /x\n", "an entry of more than"),
    ],
)
def test_what_is_no_entry_is_refused(line: bytes, complaint: str | None) -> None:
    if complaint is None:  # the template's name is bound by nothing: the same bytes under another name
        assert (
            parse_entry(convert_ascii(line).records[0]).file_digest
            == parse_entry(convert_ascii(LINE).records[0]).file_digest
        )
        return
    with pytest.raises(PeerError, match=complaint) as caught:
        convert_ascii(line)
    assert caught.value.reason is Reason.LOG_MALFORMED


def test_a_wrong_hash_of_one_bank_is_refused() -> None:
    shown = bytearray(show_bank(ENTRIES[0], SHA256))
    shown[4] ^= 1
    with pytest.raises(PeerError, match="entry 0: its template hash"):
        convert(bytes(shown), ListFormat(algorithm=SHA256))
