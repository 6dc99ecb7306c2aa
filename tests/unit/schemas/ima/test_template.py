"""IMA templates: which fields an entry has, and which of them is the file's digest."""

import struct

import pytest

from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS, SHA1, SHA256, HashAlgorithm
from schemas.ima.template import (
    BOOT_AGGREGATE,
    BUILT_IN_TEMPLATES,
    EVENT_NAME_BYTES,
    MAX_NAME_BYTES,
    NO_DIGEST,
    UINT_FIELDS,
    FileDigest,
    cut_fields,
    digest_of,
    field_names,
    path_of,
)
from schemas.reasons import Reason
from tests.builders.log_bytes import field

DIGEST = SHA256.digest(b"content")
LABELLED = b"sha256:\0" + DIGEST
# ima_template.c, builtin_templates
BUILT_IN = {
    b"ima": ("d", "n"),
    b"ima-ng": ("d-ng", "n-ng"),
    b"ima-sig": ("d-ng", "n-ng", "sig"),
    b"ima-ngv2": ("d-ngv2", "n-ng"),
    b"ima-sigv2": ("d-ngv2", "n-ng", "sig"),
    b"ima-buf": ("d-ng", "n-ng", "buf"),
    b"ima-modsig": ("d-ng", "n-ng", "sig", "d-modsig", "modsig"),
    b"evm-sig": ("d-ng", "n-ng", "evmsig", "xattrnames", "xattrlengths", "xattrvalues", "iuid", "igid", "imode"),
}
EVERY_FIELD = "d-ng|n-ng|sig|buf|d-modsig|modsig|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode"


def test_the_kernels_templates_have_their_fields() -> None:
    assert BUILT_IN.keys() == BUILT_IN_TEMPLATES
    assert {name: field_names(name) for name in BUILT_IN} == BUILT_IN
    assert (BOOT_AGGREGATE, EVENT_NAME_BYTES, MAX_NAME_BYTES) == (b"boot_aggregate", 256, 255)
    assert UINT_FIELDS == {"iuid": 4, "igid": 4, "imode": 2}


@pytest.mark.parametrize("template", ["d|n", "d-ng|n", "d-ng|n-ng", "d-ngv2|n-ng", "n-ng|d-ng", "n|d", EVERY_FIELD])
def test_a_list_of_fields_is_a_template(template: str) -> None:
    assert field_names(template.encode()) == tuple(template.split("|"))


@pytest.mark.parametrize(
    "template",
    [
        "",
        "ima-other",
        "d-ng",  # no path
        "n-ng",  # no digest
        "n-ng|sig",
        "d-ng|sig",
        "d-ng|n-ng|d-ng",
        "d-ng|n-ng|sig|sig",
        "d-ng|d|n-ng",
        "d-ng|n|n-ng",
        "d-ng|n-ng|d-ngv2",
        "d-ng|n-ng|other",
        "sig|d-ng|n-ng",  # the first field may be chosen by a user of the device
        "n-ng|sig|d-ng",
        "sig|n-ng|d-ng",
        "d-modsig|n-ng",
        "d-ng|n-ng|",
        "D-NG|n-ng",
    ],
)
def test_other_lists_of_fields_are_unknown(template: str) -> None:
    assert field_names(template.encode()) == ()
    assert cut_fields(template.encode(), b"anything") == {}


def test_a_name_that_is_not_ascii_is_unknown() -> None:
    assert field_names(b"d-ng|n-ng\xff") == ()


# ── cutting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def refused(template: bytes, data: bytes) -> str:
    with pytest.raises(PeerError) as caught:
        cut_fields(template, data)
    assert caught.value.reason is Reason.LOG_MALFORMED
    return caught.value.detail


def test_fields_are_cut_by_their_lengths_and_paths_lose_their_nul() -> None:
    data = field(LABELLED) + field(b"/f\0") + field(b"sig")
    assert cut_fields(b"ima-sig", data) == {"d-ng": LABELLED, "n-ng": b"/f", "sig": b"sig"}
    assert cut_fields(b"ima-sig", field(LABELLED) + field(b"\0") + field(b"")) == {
        "d-ng": LABELLED,
        "n-ng": b"",
        "sig": b"",
    }
    assert cut_fields(b"d|n", field(SHA1.digest(b"")) + field(b"/f\0")) == {"d": SHA1.digest(b""), "n": b"/f"}


def test_the_oldest_template_has_no_lengths() -> None:
    data = SHA1.digest(b"content") + b"/usr/bin/X".ljust(256, b"\0")
    assert cut_fields(b"ima", data) == {"d": SHA1.digest(b"content"), "n": b"/usr/bin/X"}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "no d-ng"),
        (b"\0\0\0", "no d-ng"),
        (field(LABELLED)[:-1], "d-ng is cut short"),
        (field(LABELLED), "no n-ng"),
        (field(LABELLED) + b"\0\0\0", "no n-ng"),
        (field(LABELLED) + field(b"/f\0")[:-1], "n-ng is cut short"),
        (field(LABELLED) + struct.pack("<I", 2**32 - 1) + b"/f\0", "n-ng is cut short"),
        (field(LABELLED) + field(b"/f\0") + b"\0", "1 bytes after the last field"),
        (field(LABELLED) + field(b""), "the path has no NUL at its end"),
        (field(LABELLED) + field(b"/f"), "the path has no NUL at its end"),
        (field(LABELLED) + field(b"/f\0x"), "a NUL in the path"),
        (field(LABELLED) + field(b"/f\0\0"), "a NUL in the path"),
        (field(LABELLED) + field(b"\0/f\0"), "a NUL in the path"),
    ],
)
def test_data_that_are_not_the_fields_are_refused(data: bytes, complaint: str) -> None:
    assert refused(b"ima-ng", data).endswith(complaint)


# ── path and digest ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_entry_has_the_path_of_its_name_field() -> None:
    assert path_of({"d-ng": LABELLED, "n-ng": b"/a"}) == b"/a"
    assert path_of({"d": DIGEST, "n": b"/b"}) == b"/b"
    assert path_of({"sig": b"x"}) == b""


@pytest.mark.parametrize("algorithm", HASH_ALGORITHMS, ids=lambda algorithm: algorithm.name)
def test_a_digest_has_the_size_of_its_algorithm(algorithm: HashAlgorithm) -> None:
    label, digest = algorithm.name.encode(), algorithm.digest(b"x")
    assert digest_of({"d-ng": label + b":\0" + digest}) == FileDigest(label, digest)
    for wrong in (digest[:-1], digest + b"\0", b""):
        with pytest.raises(PeerError, match=f"{algorithm.name} digest of {len(wrong)} bytes") as caught:
            digest_of({"d-ng": label + b":\0" + wrong})
        assert caught.value.reason is Reason.LOG_MALFORMED
        assert digest_of({"d-ng": label + b":\0" + wrong}, violation=True) == FileDigest(label, wrong)


def test_a_digest_of_an_unknown_algorithm_has_any_size() -> None:
    for digest in (b"", bytes(32), b"x:\0sha256:\0" + DIGEST):
        assert digest_of({"d-ng": b"sm3:\0" + digest}) == FileDigest(b"sm3", digest)
    assert digest_of({"d-ng": b"\xff:\0x"}) == FileDigest(b"\xff", b"x")


def test_the_oldest_field_is_sha1_without_a_label() -> None:
    assert digest_of({"d": SHA1.digest(b"x")}) == FileDigest(b"sha1", SHA1.digest(b"x"))
    with pytest.raises(PeerError, match="sha1 digest of 32 bytes"):
        digest_of({"d": DIGEST})


def test_an_entry_without_a_digest_field_has_no_digest() -> None:
    assert digest_of({}) == digest_of({"sig": b"x", "n-ng": b"/f"}) == NO_DIGEST == FileDigest(b"", b"")


@pytest.mark.parametrize("kind", [b"ima", b"verity"])
def test_the_second_version_states_the_kind_of_digest(kind: bytes) -> None:
    assert digest_of({"d-ngv2": kind + b":" + LABELLED}) == FileDigest(kind + b":sha256", DIGEST)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"d-ngv2": LABELLED}, "labelled b'sha256'"),
        ({"d-ngv2": b":" + LABELLED}, "labelled b':sha256'"),
        ({"d-ngv2": b"other:" + LABELLED}, "labelled b'other:sha256'"),
        ({"d-ng": b"ima:" + LABELLED}, "labelled b'ima:sha256'"),
        ({"d-ng": b":" + LABELLED}, "labelled b':sha256'"),
        ({"d-ng": b"x:" * 40 + LABELLED}, f"labelled {b'x:' * 16!r}"),
        ({"d-ng": DIGEST.replace(b":\0", b"::")}, "without the name of its algorithm"),
        ({"d-ng": b"sha256:" + b"x" * 32}, "without the name of its algorithm"),
    ],
)
def test_a_digest_with_another_label_is_refused(fields: dict[str, bytes], complaint: str) -> None:
    with pytest.raises(PeerError) as caught:
        digest_of(fields)
    assert caught.value.reason is Reason.LOG_MALFORMED
    assert caught.value.detail.endswith(complaint)
