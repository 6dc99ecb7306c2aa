"""Most entries are of unsigned files with SHA-256. They are read in a shorter way, with the same outcome."""

import struct

import pytest

from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256
from schemas.ima import records as ima_records
from schemas.ima.records import ImaFile, read_records
from tests.builders.log_bytes import field, ima_ng, ima_record

DIGEST = SHA256.digest(b"content")
LABELLED = b"sha256:\0" + DIGEST
HEAD = field(LABELLED)
ZEROS = bytes(20)

# What follows the digest in the template data.
TAILS = {
    "usual": field(b"/f\0"),
    "path of one character": field(b"f\0"),
    "empty path": field(b"\0"),
    "no path": field(b""),
    "no NUL": field(b"/f"),
    "NUL inside": field(b"/\0f\0"),
    "NUL first": field(b"\0f\0"),
    "two NULs": field(b"/f\0\0"),
    "unsigned": field(b"/f\0") + field(b""),
    "empty path, unsigned": field(b"\0") + field(b""),
    "no path, unsigned": field(b"") + field(b""),
    "no NUL, unsigned": field(b"/f") + field(b""),
    "signed": field(b"/f\0") + field(b"\3\2sig"),
    "a signature of zeros": field(b"/f\0") + field(bytes(4)),
    "one byte more": field(b"/f\0") + b"\0",
    "four bytes more": field(b"/f\0") + field(b"") + field(b""),
    "length too large": struct.pack("<I", 4) + b"/f\0",
    "length too small": struct.pack("<I", 2) + b"/f\0",
    "length too large, unsigned": struct.pack("<I", 7) + b"/f\0" + field(b""),
    "length too small, unsigned": struct.pack("<I", 2) + b"/f\0" + field(b""),
    "huge length": struct.pack("<I", 2**32 - 1) + b"/f\0",
    "nothing": b"",
    "half a length": b"\3\0",
}
HEADS = {
    "sha256": HEAD,
    "another length": struct.pack("<I", 41) + LABELLED,
    "shorter length": struct.pack("<I", 39) + LABELLED,
    "another label": field(b"sha255:\0" + DIGEST),
    "sha384": field(b"sha384:\0" + DIGEST),
    "no NUL after the label": field(b"sha256::" + DIGEST),
    "upper case": field(b"SHA256:\0" + DIGEST),
}


def entry(template: bytes, data: bytes, template_hash: bytes | None = None) -> bytes:
    digest = SHA1.digest(data) if template_hash is None else template_hash
    return struct.pack("<I", 10) + digest + field(template) + field(data)


def general(template: bytes, data: bytes, template_hash: bytes) -> ImaFile | str:
    try:
        return ima_records._file(10, template_hash, template, data)
    except PeerError as error:
        return error.detail


def short(record: bytes) -> ImaFile | str:
    try:
        (file,) = read_records(record).files(1)
    except PeerError as error:
        return error.detail
    assert type(file) is ImaFile
    return file


@pytest.mark.parametrize("template", [b"ima-ng", b"ima-sig", b"ima-ngv2", b"ima-buf", b"d-ng|n-ng"])
@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_the_shorter_way_gives_what_the_longer_one_gives(template: bytes, head: bytes, tail: bytes) -> None:
    data = head + tail
    assert short(entry(template, data)) == general(template, data, SHA1.digest(data))
    assert short(entry(template, data, ZEROS)) == general(template, data, ZEROS)


def test_usual_files_take_the_shorter_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list may have 100,000 entries."""
    log = ima_ng(b"/a", b"content") + ima_record(b"ima-sig", LABELLED, b"/b\0", b"", pcr_index=11)
    monkeypatch.delattr(ima_records, "_file")
    assert list(read_records(log).files(2)) == [
        ImaFile(10, b"/a", DIGEST, b"", b"sha256"),
        ImaFile(11, b"/b", DIGEST, b"", b"sha256"),
    ]
    assert list(read_records(ima_ng(b"", b"content")).files(1)) == [ImaFile(10, b"", DIGEST, b"", b"sha256")]


def test_as_many_files_are_read_as_are_asked_for() -> None:
    log = b"".join(ima_ng(b"/%d" % number, b"") for number in range(4))
    for count in range(5):
        assert [file.path for file in read_records(log).files(count)] == [b"/%d" % number for number in range(count)]
        assert list(read_records(log).violations(count)) == [False] * count
