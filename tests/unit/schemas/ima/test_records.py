"""IMA measurement lists: templates, violations, banks, and what is refused."""

import struct

import pytest

from schemas import limits
from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS, SHA1, SHA256, SHA384, HashAlgorithm
from schemas.ima.records import ImaBankMode, cut_records, parse_entry, read_records, split_records
from schemas.reasons import Reason
from tests.builders.log_bytes import field, ima_legacy, ima_ng, ima_record

DIGEST = SHA256.digest(b"content")
LABELLED = b"sha256:\0" + DIGEST
VIOLATION = ima_record(b"ima-ng", b"sha256:\0" + bytes(32), b"/v\0", template_hash=bytes(20))
MODSIG = ima_record(b"ima-modsig", LABELLED, b"/m\0", b"\x03s", LABELLED, b"pkcs7")


@pytest.mark.parametrize(
    ("record", "path", "digest", "signature"),
    [
        (ima_ng(b"/bin/sh", b"content"), b"/bin/sh", DIGEST, b""),
        (ima_ng(b"/bin/sh", b"content", algorithm=SHA1), b"/bin/sh", SHA1.digest(b"content"), b""),
        (ima_record(b"ima-sig", LABELLED, b"/s\0", b""), b"/s", DIGEST, b""),
        (ima_record(b"ima-sig", LABELLED, b"/s\0", b"\x03\x02sig"), b"/s", DIGEST, b"\x03\x02sig"),
        (ima_record(b"ima-ngv2", b"ima:" + LABELLED, b"/2\0"), b"/2", DIGEST, b""),
        (ima_record(b"ima-sigv2", b"verity:" + LABELLED, b"/2\0", b"\x06sig"), b"/2", DIGEST, b"\x06sig"),
        (MODSIG, b"/m", DIGEST, b"\x03s"),
        (ima_legacy(b"/old", b"content"), b"/old", SHA1.digest(b"content"), b""),
        (ima_ng(b"/odd\xff\n", b"content"), b"/odd\xff\n", DIGEST, b""),
        (VIOLATION, b"/v", None, b""),
        (ima_record(b"d-ng|n-ng|iuid", LABELLED, b"/c\0", bytes(4)), b"/c", DIGEST, b""),
        (ima_record(b"n-ng|d-ng|sig", b"/c\0", LABELLED, b"\x03s"), b"/c", DIGEST, b"\x03s"),
        (ima_record(b"d|n", SHA1.digest(b"content"), b"/d\0"), b"/d", SHA1.digest(b"content"), b""),
        (ima_record(b"custom", LABELLED, b"/c\0"), b"", b"", b""),
    ],
)
def test_every_template_says_which_file_and_which_digest(
    record: bytes, path: bytes, digest: bytes | None, signature: bytes
) -> None:
    (file,) = read_records(record).files(1)
    assert file[:4] == (10, path, digest, signature)
    entry = parse_entry(record)
    assert (entry.raw_path, entry.signature or b"") == (path, signature)
    assert (entry.file_digest[1] if entry.file_digest else b"") == (digest or b"")
    assert entry.violation is (digest is None)


def test_a_buffer_is_offered_as_a_signature_since_the_templates_name_is_not_bound() -> None:
    record = ima_record(b"ima-buf", LABELLED, b"kernel_version\0", b"6.1")
    (file,) = read_records(record).files(1)
    assert file[:4] == (10, b"kernel_version", DIGEST, b"6.1")
    assert parse_entry(record).signature is None


def test_an_entry_is_parsed_in_full() -> None:
    record = ima_record(b"ima-sig", LABELLED, b"/a\xffb\0", b"\x03sig", pcr_index=11)
    entry = parse_entry(record)
    data = field(LABELLED) + field(b"/a\xffb\0") + field(b"\x03sig")
    assert (entry.pcr_index, entry.template_name, entry.template_data) == (11, "ima-sig", data)
    assert entry.template_hash == SHA1.digest(data)
    assert entry.file_digest == (SHA256, DIGEST)
    assert entry.path == "/a\\xffb"
    assert not entry.fs_verity


def test_the_template_data_of_the_oldest_template_are_those_of_the_log() -> None:
    assert parse_entry(ima_legacy(b"/x", b"y")).template_data == SHA1.digest(b"y") + field(b"/x")


def test_a_verity_digest_is_told_from_a_file_digest() -> None:
    assert parse_entry(ima_record(b"ima-ngv2", b"verity:" + LABELLED, b"/f\0")).fs_verity
    assert not parse_entry(ima_record(b"ima-ngv2", b"ima:" + LABELLED, b"/f\0")).fs_verity


def test_a_digest_of_an_unknown_algorithm_is_no_file_digest() -> None:
    record = ima_record(b"ima-ng", b"sm3:\0" + bytes(32), b"/f\0")
    assert parse_entry(record).file_digest is None
    assert next(iter(read_records(record).files(1))).digest == bytes(32)


def test_a_list_is_cut_into_the_entries_it_was_made_of() -> None:
    records = (ima_ng(b"/1", b""), ima_legacy(b"/2", b""), VIOLATION, MODSIG, ima_record(b"x", b""))
    assert split_records(b"".join(records)) == (records, b"")
    assert split_records(b"") == ((), b"")


@pytest.mark.parametrize("last", [ima_ng(b"/2", b""), ima_legacy(b"/2", b"")])
def test_an_entry_that_is_cut_short_is_left_over(last: bytes) -> None:
    first = ima_ng(b"/1", b"")
    for size in range(len(last)):
        assert split_records(first + last[:size]) == ((first,), last[:size])


def test_columns_hold_where_each_entry_ends_and_what_it_extends() -> None:
    records = (ima_ng(b"/1", b"", pcr_index=11), VIOLATION, ima_legacy(b"/2", b"c"))
    columns = read_records(b"".join(records))
    assert columns.ends == [len(records[0]), len(records[0] + records[1]), len(b"".join(records))]
    assert columns.pcr_indices == [11, 10, 10]
    assert [each.path for each in columns.files(2)] == [b"/1", b"/v"]

    data = field(b"sha256:\0" + SHA256.digest(b"")) + field(b"/1\0")
    legacy = SHA1.digest(b"c") + b"/2".ljust(256, b"\0")
    assert columns.extensions(SHA1, ImaBankMode.HASHED) == [SHA1.digest(data), b"\xff" * 20, SHA1.digest(legacy)]
    assert columns.extensions(SHA256, ImaBankMode.HASHED) == [
        SHA256.digest(data),
        b"\xff" * 32,
        SHA256.digest(legacy),
    ]
    assert columns.extensions(SHA384, ImaBankMode.PADDED_SHA1) == [
        SHA1.digest(data) + bytes(28),
        b"\xff" * 48,
        SHA1.digest(legacy) + bytes(28),
    ]


def refused(data: bytes) -> str:
    with pytest.raises(PeerError) as caught:
        parse_entry(data)
    assert caught.value.reason is Reason.LOG_MALFORMED
    return caught.value.detail


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (ima_ng(b"/1", b"", pcr_index=24), "PCR 24"),
        (ima_ng(b"/1", b"")[:-1], "cut short"),
        (ima_ng(b"/1", b"") * 2, "2 entries"),
        (b"", "0 entries"),
        (ima_record(b"", LABELLED, b"/1\0"), "template name of 0 bytes"),
        (ima_record(b"n" * 256, LABELLED, b"/1\0"), "template name of 256 bytes"),
        (ima_record(b"ima-ng", LABELLED, b"/1\0", template_hash=b"\x01" * 20), "template hash"),
        (struct.pack("<I20sI6sI", 10, bytes(20), 6, b"ima-ng", limits.MAX_LOG_ENTRY_BYTES + 1), "bytes of data"),
        (ima_legacy(b"p" * 256, b""), "path of 256 bytes"),
        (ima_record(b"ima-ng", LABELLED), "no n-ng"),
        (ima_record(b"ima-ng", LABELLED, b"/1"), "no NUL"),
        (ima_record(b"ima-ng", LABELLED, b""), "no NUL"),
        (ima_record(b"ima-ng", LABELLED, b"/1\0", b""), "after the last field"),
        (ima_record(b"ima-ng", DIGEST.replace(b":\0", b"::"), b"/1\0"), "without the name"),
        (ima_record(b"ima-ng", LABELLED[:-1], b"/1\0"), "sha256 digest of 31 bytes"),
    ],
)
def test_what_is_no_entry_is_refused(data: bytes, complaint: str) -> None:
    assert complaint in refused(data)


def test_an_entry_may_be_as_large_as_the_limits_allow() -> None:
    data = field(LABELLED) + field(b"p" * (limits.MAX_LOG_ENTRY_BYTES - len(field(LABELLED)) - 5) + b"\0")
    assert len(data) == limits.MAX_LOG_ENTRY_BYTES == 65536
    large = struct.pack("<I", 23) + SHA1.digest(data) + field(b"ima-ng") + field(data)
    named = ima_record(b"n" * 255, LABELLED, b"/1\0", pcr_index=0)
    legacy = ima_legacy(b"p" * 255, b"")
    assert split_records(large + named + legacy) == ((large, named, legacy), b"")
    assert [parse_entry(each).pcr_index for each in (large, named, legacy)] == [23, 0, 10]
    assert parse_entry(legacy).raw_path == b"p" * 255
    assert parse_entry(named).template_name == "n" * 255


def test_the_entry_that_is_wrong_is_named() -> None:
    good, bad = ima_ng(b"/1", b""), ima_record(b"ima-ng", LABELLED, b"/1\0", template_hash=b"\x01" * 20)
    for data, complaint in (
        (good + ima_ng(b"/1", b"", pcr_index=24), f"entry at offset {len(good)}: PCR 24, template name of 6 bytes"),
        (good + good[:-1], f"the entry at offset {len(good)} is cut short"),
        (good[:-1], "the entry at offset 0 is cut short"),
        (good + VIOLATION + bad, "entry 2: its template hash"),
        (bad + good, "entry 0: its template hash"),
        (good + struct.pack("<I20sI6sI", 10, bytes(20), 6, b"ima-ng", 65537), f"entry at offset {len(good)}: 65537"),
    ):
        with pytest.raises(PeerError) as caught:
            read_records(data)
        assert caught.value.reason is Reason.LOG_MALFORMED
        assert caught.value.detail.startswith(f"IMA list: {complaint}")


def test_the_digest_of_a_violation_may_have_any_size() -> None:
    """Kernels write zeros, and do not agree on how many."""
    for size in (0, 20, 32):
        record = ima_record(b"ima-ng", b"sha256:\0" + bytes(size), b"/v\0", template_hash=bytes(20))
        assert parse_entry(record).file_digest is None
        (file,) = read_records(record).files(1)
        assert (file.path, file.digest) == (b"/v", None)


def test_an_algorithm_whose_name_is_not_ascii_is_unknown() -> None:
    assert parse_entry(ima_record(b"ima-ng", b"\xff:\0" + bytes(32), b"/f\0")).file_digest is None


def test_an_impossible_header_is_refused_as_soon_as_it_is_there() -> None:
    header = struct.pack("<I20sI", 24, bytes(20), 6)
    assert split_records(header[:-1]) == ((), header[:-1])
    with pytest.raises(PeerError, match="PCR 24"):
        split_records(header)


def test_a_violation_is_no_wrong_hash() -> None:
    records = read_records(ima_ng(b"/1", b"") + VIOLATION)
    assert list(records.violations(2)) == [False, True]
    assert records.template_hashes[1] == bytes(20)
    assert parse_entry(VIOLATION).violation
    assert parse_entry(VIOLATION).file_digest is None


@pytest.mark.parametrize("algorithm", HASH_ALGORITHMS, ids=lambda algorithm: algorithm.name)
def test_a_list_of_one_bank_has_template_hashes_of_its_size(algorithm: HashAlgorithm) -> None:
    data = field(LABELLED) + field(b"/1\0")
    record = struct.pack("<I", 10) + algorithm.digest(data) + field(b"ima-ng") + field(data)
    records = cut_records(record * 2 + record[:-1], algorithm)
    assert records.ends == [len(record), 2 * len(record)]
    assert records.template_hashes == [algorithm.digest(data)] * 2
    assert records.template_names == [b"ima-ng"] * 2
    assert records.hashed == [data] * 2
    assert records.pcr_indices == [10, 10]


def test_a_signature_that_is_empty_is_none() -> None:
    assert parse_entry(ima_record(b"ima-sig", LABELLED, b"/s\0", b"")).signature is None
    assert parse_entry(ima_record(b"ima-sig", LABELLED, b"/s\0", b"s")).signature == b"s"
    assert parse_entry(ima_ng(b"/s", b"")).signature is None
    entry = parse_entry(ima_record(b"ima-sig", LABELLED, b"/s\0", b"s"))
    assert entry.fields == {"d-ng": LABELLED, "n-ng": b"/s", "sig": b"s"}


def test_names_that_are_not_utf8_are_shown_in_hexadecimal() -> None:
    assert parse_entry(ima_record(b"\xff", b"")).template_name == "\\xff"


def test_the_modes_have_the_names_that_states_hold() -> None:
    assert list(ImaBankMode) == ["hashed", "padded-sha1"]


@pytest.mark.parametrize("path", [b"/1", b""])
@pytest.mark.parametrize(("template", "last"), [(b"ima-ng", ()), (b"ima-sig", (b"",))])
def test_a_path_without_its_nul_is_no_file(path: bytes, template: bytes, last: tuple[bytes, ...]) -> None:
    records = read_records(ima_record(template, LABELLED, path, *last))
    with pytest.raises(PeerError, match="no NUL"):
        list(records.files(1))


def test_a_field_that_is_longer_than_the_data_is_refused() -> None:
    data = struct.pack("<I", 99) + b"sha256:\0"
    record = struct.pack("<I", 10) + SHA1.digest(data) + field(b"ima-ng") + field(data)
    assert "cut short" in refused(record)
    with pytest.raises(PeerError):
        list(read_records(record).files(1))
