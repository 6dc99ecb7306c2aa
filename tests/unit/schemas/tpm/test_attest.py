"""TPMS_ATTEST: each field where it belongs, each wrong byte refused by name, and a real quote."""

import struct

import pytest

from schemas import limits
from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256
from schemas.reasons import Reason
from schemas.tpm.attest import Attest, AttestType, ClockInfo, QuoteInfo, TimeAttestInfo, parse_attest
from schemas.tpm.pcr import PcrValues, composite_digest, initial_value, selection_text
from tests.builders.tpm_bytes import (
    REAL_QUALIFIED_NAME,
    REAL_QUOTE,
    REAL_TIME,
    TPM_ST_ATTEST_QUOTE,
    TPM_ST_ATTEST_TIME,
    attest_bytes,
    clock_bytes,
    quote_bytes,
    selection_bytes,
    sized,
    time_bytes,
)

FIRMWARE = 0x2019_1023_0016_3636
SELECTION = selection_bytes((0x000B, b"\x01\x00\x00"))


def refused(raw: bytes) -> PeerError:
    with pytest.raises(PeerError) as caught:
        parse_attest(raw)
    return caught.value


def test_every_field_of_a_quote_is_read() -> None:
    attest = parse_attest(quote_bytes(digest=b"d" * 32))
    assert attest == Attest(
        type=AttestType.QUOTE,
        qualified_signer=b"\x00\x0b" + bytes(32),
        extra_data=b"nonce",
        clock_info=ClockInfo(clock=1000, reset_count=3, restart_count=1, safe=True),
        firmware_version=FIRMWARE,
        attested=attest.attested,
    )
    assert isinstance(attest.attested, QuoteInfo)
    assert selection_text(attest.attested.pcr_selection) == "sha256:0"
    assert attest.attested.pcr_digest == b"d" * 32


def test_every_field_of_a_time_attest_is_read_inner_and_outer_apart() -> None:
    attest = parse_attest(time_bytes(clock_bytes(clock=1, reset_count=2, restart_count=3, safe=0), time=77))
    assert attest.type is AttestType.TIME
    assert attest.clock_info == ClockInfo(clock=1000, reset_count=3, restart_count=1, safe=True)
    assert attest.attested == TimeAttestInfo(
        time=77,
        clock_info=ClockInfo(clock=1, reset_count=2, restart_count=3, safe=False),
        firmware_version=FIRMWARE,
    )


def test_a_real_quote_is_read_and_its_digest_is_that_of_fresh_registers() -> None:
    attest = parse_attest(REAL_QUOTE)
    assert attest.type is AttestType.QUOTE
    assert attest.qualified_signer == REAL_QUALIFIED_NAME
    assert attest.extra_data == bytes(range(32))
    assert attest.clock_info == ClockInfo(clock=7, reset_count=1, restart_count=0, safe=True)
    assert isinstance(attest.attested, QuoteInfo)
    selection = attest.attested.pcr_selection
    assert selection_text(selection) == "sha256:0,1,7,17+sha1:10"
    fresh = PcrValues({bank: {index: initial_value(bank, index) for index in range(24)} for bank in (SHA1, SHA256)})
    assert composite_digest(selection, fresh, SHA256) == attest.attested.pcr_digest


def test_a_real_time_attest_of_an_endorsement_key_says_the_same_inside_and_outside() -> None:
    attest = parse_attest(REAL_TIME)
    assert attest.attested == TimeAttestInfo(time=6, clock_info=attest.clock_info, firmware_version=FIRMWARE)
    assert attest.firmware_version == FIRMWARE


@pytest.mark.parametrize("raw", [REAL_QUOTE, REAL_TIME], ids=["quote", "time"])
def test_no_byte_may_be_missing_and_none_may_follow(raw: bytes) -> None:
    for cut in range(len(raw)):
        assert refused(raw[:cut]).reason is Reason.MALFORMED
    assert refused(raw + b"\x00").reason is Reason.MALFORMED


def test_what_a_tpm_did_not_generate_is_refused() -> None:
    raw = attest_bytes(SELECTION + sized(bytes(32)), kind=TPM_ST_ATTEST_QUOTE, magic=0xFF544348)
    assert refused(raw).reason is Reason.ATTEST_NOT_TPM_GENERATED


@pytest.mark.parametrize("kind", [0x0000, 0x8014, 0x8015, 0x8016, 0x8017, 0x801A, 0x801C, 0x8001, 0xFFFF])
def test_other_kinds_of_attest_are_refused(kind: int) -> None:
    assert refused(attest_bytes(bytes(40), kind=kind)).reason is Reason.ATTEST_TYPE_WRONG


def test_size_is_checked_before_anything_else() -> None:
    assert limits.MAX_ATTEST_BYTES == 2048
    assert refused(bytes(2049)).reason is Reason.TOO_LARGE
    assert refused(bytes(2048)).reason is Reason.ATTEST_NOT_TPM_GENERATED


@pytest.mark.parametrize("safe", [2, 0x80, 0xFF])
def test_safe_is_zero_or_one(safe: int) -> None:
    quote = attest_bytes(SELECTION + sized(b""), kind=TPM_ST_ATTEST_QUOTE, clock_info=clock_bytes(safe=safe))
    for raw in (quote, time_bytes(clock_bytes(safe=safe))):
        error = refused(raw)
        assert error.reason is Reason.MALFORMED
        assert "safe" in error.detail


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"\xff", "cut short in header"),
        (attest_bytes(b"", kind=TPM_ST_ATTEST_TIME, signer=bytes(67)), "qualifiedSigner: 67 bytes, the limit is 66"),
        (attest_bytes(b"", kind=TPM_ST_ATTEST_TIME, extra_data=bytes(67)), "extraData: 67 bytes, the limit is 66"),
        (quote_bytes(digest=bytes(65)), "pcrDigest: 65 bytes, the limit is 64"),
        (attest_bytes(b"", kind=TPM_ST_ATTEST_QUOTE), "pcrSelect count"),
        (attest_bytes(SELECTION, kind=TPM_ST_ATTEST_QUOTE), "pcrDigest"),
        (attest_bytes(SELECTION + b"\x00", kind=TPM_ST_ATTEST_QUOTE), "pcrDigest"),
        (attest_bytes(SELECTION + b"\x00\x02\x00", kind=TPM_ST_ATTEST_QUOTE), "pcrDigest"),
        (attest_bytes(bytes(32), kind=TPM_ST_ATTEST_TIME), "time: 32 bytes, expected 33"),
        (attest_bytes(bytes(34), kind=TPM_ST_ATTEST_TIME), "time: 34 bytes, expected 33"),
        (quote_bytes(selection_bytes((0x0012, bytes(3)))), "unknown bank"),
        (quote_bytes(selection_bytes((0x000B, bytes(3)), (0x000B, bytes(3)))), "same bank twice"),
        (quote_bytes(selection_bytes((0x000B, b"\x00\x00\x00\x01"))), "pcr 24"),
        (quote_bytes(selection_bytes((0x000B, bytes(5)))), "5 bytes"),
        (quote_bytes(selection_bytes(*[(0x000B, bytes(3))] * 9)), "9 banks"),
        (struct.pack(">IHH", 0xFF544347, 0x8018, 10) + bytes(9), "qualifiedSigner or extraData"),
        (struct.pack(">IHH", 0xFF544347, 0x8018, 0) + b"\x00\x05" + bytes(20), "clockInfo"),
        (b"\xff\x54\x43\x47\x80", "header"),
    ],
)
def test_a_wrong_field_is_named(raw: bytes, field: str) -> None:
    error = refused(raw)
    assert error.reason is Reason.MALFORMED
    assert field in error.detail


def test_sizes_at_their_limits_are_accepted() -> None:
    raw = attest_bytes(
        selection_bytes() + sized(bytes(64)), kind=TPM_ST_ATTEST_QUOTE, signer=bytes(66), extra_data=bytes(66)
    )
    attest = parse_attest(raw)
    assert attest.qualified_signer == attest.extra_data == bytes(66)
    assert isinstance(attest.attested, QuoteInfo)
    assert attest.attested.pcr_digest == bytes(64)
