"""TPMS_ATTEST of TPM2_Certify: each field where it belongs, each wrong byte refused by name."""

import struct

import pytest

from schemas.errors import PeerError
from schemas.reasons import Reason
from schemas.tpm.certify import Certified, parse_certify
from tests.builders.tpm_bytes import REAL_NAME, REAL_QUOTE, attest_bytes, sized

CERTIFY = 0x8017  # Part 2, TPM_ST_ATTEST_CERTIFY
QUALIFIED = b"\x00\x0b" + b"q" * 32


def certify_bytes(name: bytes = REAL_NAME, qualified_name: bytes = QUALIFIED, rest: bytes = b"") -> bytes:
    return attest_bytes(sized(name) + sized(qualified_name) + rest, kind=CERTIFY)


def refused(raw: bytes) -> PeerError:
    with pytest.raises(PeerError) as caught:
        parse_certify(raw)
    return caught.value


def test_the_certified_name_and_the_callers_data_are_read() -> None:
    assert parse_certify(certify_bytes()) == Certified(extra_data=b"nonce", name=REAL_NAME)


def test_sizes_at_their_limits_are_accepted() -> None:
    attested = sized(b"n" * 66) + sized(bytes(66))
    raw = attest_bytes(attested, kind=CERTIFY, signer=bytes(66), extra_data=b"e" * 66)
    assert parse_certify(raw) == Certified(extra_data=b"e" * 66, name=b"n" * 66)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (certify_bytes(name=bytes(67)), "attest name: 67 bytes"),
        (certify_bytes(qualified_name=bytes(67)), "attest qualifiedName: 67 bytes"),
        (attest_bytes(sized(b"") * 2, kind=CERTIFY, signer=bytes(67)), "attest qualifiedSigner: 67 bytes"),
        (attest_bytes(sized(b"") * 2, kind=CERTIFY, extra_data=bytes(67)), "attest extraData: 67 bytes"),
        (certify_bytes(rest=b"\0"), "attest: 1 bytes after its end"),
        (certify_bytes()[:30], "attest qualifiedSigner"),
    ],
)
def test_a_wrong_field_is_named(raw: bytes, field: str) -> None:
    error = refused(raw)
    assert error.reason is Reason.MALFORMED
    assert field in error.detail


def test_no_byte_may_be_missing() -> None:
    raw = certify_bytes()
    for cut in range(len(raw)):
        assert refused(raw[:cut]).reason is Reason.MALFORMED


def test_what_a_tpm_did_not_generate_is_refused() -> None:
    """A restricted key signs no such bytes that come from outside."""
    for magic in (0xFF544348, 0xFF544346):
        raw = attest_bytes(sized(REAL_NAME) + sized(QUALIFIED), kind=CERTIFY, magic=magic)
        assert refused(raw).reason is Reason.ATTEST_NOT_TPM_GENERATED


@pytest.mark.parametrize("kind", [0x8014, 0x8016, 0x8018, 0x8019, 0x801A])
def test_another_kind_of_attest_is_no_certification(kind: int) -> None:
    """The name in it would be bytes that mean something else."""
    raw = attest_bytes(sized(REAL_NAME) + sized(QUALIFIED), kind=kind)
    assert refused(raw).reason is Reason.ATTEST_TYPE_WRONG
    assert refused(REAL_QUOTE).reason is Reason.ATTEST_TYPE_WRONG


def test_size_is_checked_before_anything_else() -> None:
    head = struct.pack(">IH", 0xFF544347, CERTIFY)
    assert refused(head + bytes(2048 - 6)).reason is Reason.MALFORMED
    assert refused(head + bytes(2049 - 6)).reason is Reason.TOO_LARGE
