"""Handles: valid ones, and the limits of an attacker with each of the keys."""

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from runtime.time_stamps.verifier import TimeStampVerifier
from schemas import media_types
from schemas.codecs import cbor, cmw, cose
from schemas.codecs.tst_info import extract_tst_info, parse_tst_info
from schemas.errors import PeerError
from schemas.identifiers import HandleId
from schemas.media_types import Indicator
from schemas.messages.handle import (
    EPOCH_BELL_IMPRINT,
    MAX_LIFETIME_S,
    Handle,
    HandleClaims,
    attach_stamp,
    handle_id,
    sign_claims,
    verify_handle,
)
from schemas.reasons import Reason
from tests.builders import token_forge
from tests.builders.token_forge import ForgedAuthority, tst_info

NOW_US = 1_790_000_000_250_000
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
KEY = generate_private_key(SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
TSA = ForgedAuthority.make()
STAMPS = TimeStampVerifier(TSA.root.pem)
PREVIOUS = HandleId(hashlib.sha256(b"the handle before").digest())
ACCURACY_US = 500_000


def claims(marker_us: int = NOW_US, *, lifetime_s: int = 300, accuracy_us: int = ACCURACY_US) -> HandleClaims:
    """A handle that any holder of the distributor's key can write: the marker has no TSA signature anyway."""
    return HandleClaims(
        issuer="main",
        not_before_s=marker_us // SECOND_US,
        expires_s=marker_us // SECOND_US + lifetime_s,
        nonce=b"n" * 32,
        epoch_marker=tst_info(EPOCH_BELL_IMPRINT, marker_us, accuracy_us=accuracy_us),
        previous=PREVIOUS,
    )


def stamped(signed: cose.Sign1, stamp_us: int, *, accuracy_us: int = ACCURACY_US) -> bytes:
    return attach_stamp(signed, TSA.token(cose.ctt_imprint(signed), stamp_us, accuracy_us=accuracy_us))


def make(stamp_us: int = NOW_US + 20_000, **changes: int) -> bytes:
    return stamped(sign_claims(claims(**changes), KEY), stamp_us)


def verify(raw: bytes) -> Handle:
    return verify_handle(raw, KEYS, STAMPS)


def reason_of(raw: bytes) -> Reason:
    with pytest.raises(PeerError) as caught:
        verify(raw)
    return caught.value.reason


HANDLE = make()


def test_a_handle_verifies_and_its_time_is_the_stamps() -> None:
    handle = verify(HANDLE)
    assert handle.time_us == NOW_US + 20_000
    assert handle.earliest_us == NOW_US + 20_000 - ACCURACY_US
    assert handle.expires_us == (NOW_US // SECOND_US + 300) * SECOND_US
    assert handle.id == handle_id(HANDLE) == hashlib.sha256(HANDLE).digest()
    assert handle.claims == claims()
    assert handle.raw == HANDLE


def test_the_first_of_a_chain_has_no_previous() -> None:
    signed = sign_claims(replace(claims(), previous=None), KEY)
    assert verify(stamped(signed, NOW_US)).claims.previous is None


# ── the distributor's key is stolen ──────────────────────────────────────────────────────────────────────────────────


def test_a_stolen_key_makes_no_handle_for_tomorrow() -> None:
    """The thief signs a handle for tomorrow, but the TSA stamps the time of today."""
    assert reason_of(make(marker_us=NOW_US + DAY_US, stamp_us=NOW_US)) is Reason.HANDLE_TIME_INCONSISTENT


def test_a_stolen_key_cannot_widen_the_marker_until_tomorrow_fits() -> None:
    """The thief chooses the marker's accuracy; only the accuracy in the stamp is used."""
    raw = make(marker_us=NOW_US + DAY_US, accuracy_us=DAY_US, stamp_us=NOW_US)
    assert reason_of(raw) is Reason.HANDLE_TIME_INCONSISTENT


def test_a_stolen_key_cannot_date_a_handle_back() -> None:
    assert reason_of(make(marker_us=NOW_US - DAY_US, stamp_us=NOW_US)) is Reason.HANDLE_TIME_INCONSISTENT
    assert reason_of(make(marker_us=NOW_US - 62 * SECOND_US, stamp_us=NOW_US)) is Reason.HANDLE_TIME_INCONSISTENT


def test_a_stolen_key_cannot_make_a_handle_last() -> None:
    assert reason_of(make(lifetime_s=MAX_LIFETIME_S + 1)) is Reason.HANDLE_TIME_INCONSISTENT
    assert reason_of(make(lifetime_s=0)) is Reason.HANDLE_TIME_INCONSISTENT


def test_a_stolen_key_needs_a_trusted_tsa() -> None:
    signed = sign_claims(claims(marker_us=NOW_US + DAY_US), KEY)
    own_tsa = ForgedAuthority.make()
    token = own_tsa.token(cose.ctt_imprint(signed), NOW_US + DAY_US)
    assert reason_of(attach_stamp(signed, token)) is Reason.HANDLE_STAMP_INVALID
    assert reason_of(attach_stamp(signed, own_tsa.signer.der)) is Reason.HANDLE_STAMP_INVALID


def test_the_stamp_of_one_handle_does_not_fit_another() -> None:
    other = sign_claims(replace(claims(), nonce=b"m" * 32), KEY)
    token = cose.parse(HANDLE, "handle").unprotected[cose.HEADER_3161_CTT]
    assert isinstance(token, bytes)
    assert reason_of(attach_stamp(other, token)) is Reason.HANDLE_STAMP_IMPRINT_MISMATCH


def test_stamping_again_later_does_not_rejuvenate_a_handle() -> None:
    """Anyone can get the signature of an old handle stamped again, but the epoch marker shows its age."""
    signed = cose.parse(HANDLE, "handle")
    assert reason_of(stamped(signed, NOW_US + 3600 * SECOND_US)) is Reason.HANDLE_TIME_INCONSISTENT


def test_a_stamp_on_the_payload_instead_of_the_signature_is_refused() -> None:
    signed = sign_claims(claims(), KEY)
    token = TSA.token(hashlib.sha256(signed.unverified_payload).digest(), NOW_US)
    assert reason_of(attach_stamp(signed, token)) is Reason.HANDLE_STAMP_IMPRINT_MISMATCH


# ── a TSA, or its token, is odd ──────────────────────────────────────────────────────────────────────────────────────


def test_a_tsa_that_barely_knows_the_time_is_refused() -> None:
    signed = sign_claims(claims(), KEY)
    assert reason_of(stamped(signed, NOW_US, accuracy_us=61 * SECOND_US)) is Reason.HANDLE_TIME_INCONSISTENT


def test_a_stamp_after_expiry_is_refused() -> None:
    assert reason_of(make(lifetime_s=1, stamp_us=NOW_US + 5 * SECOND_US)) is Reason.HANDLE_TIME_INCONSISTENT


def test_the_marker_must_be_an_epoch_bell_and_give_nbf() -> None:
    for wrong in (
        replace(claims(), epoch_marker=tst_info(b"x" * 32, NOW_US)),
        replace(claims(), not_before_s=NOW_US // SECOND_US + 1),
    ):
        assert reason_of(stamped(sign_claims(wrong, KEY), NOW_US)) is Reason.HANDLE_TIME_INCONSISTENT


def test_a_marker_must_be_a_tst_info() -> None:
    wrong = replace(claims(), epoch_marker=b"0\x00")
    assert reason_of(stamped(sign_claims(wrong, KEY), NOW_US)) is Reason.MALFORMED


# ── a stranger on the way ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_strangers_signature_is_refused() -> None:
    signed = sign_claims(claims(), generate_private_key(SECP256R1()))
    assert reason_of(stamped(signed, NOW_US)) is Reason.HANDLE_SIGNATURE_INVALID


def test_an_object_of_another_type_is_not_a_handle() -> None:
    signed = cose.sign(cose.parse(HANDLE, "handle").unverified_payload, KEY, {cose.HEADER_TYPE: "application/other"})
    assert reason_of(stamped(signed, NOW_US)) is Reason.HANDLE_SIGNATURE_INVALID


def test_a_handle_without_its_stamp_or_with_more_headers_is_malformed() -> None:
    signed = sign_claims(claims(), KEY)
    assert reason_of(cose.encode(signed)) is Reason.MALFORMED
    parsed = cose.parse(HANDLE, "handle")
    assert reason_of(cose.encode(replace(parsed, unprotected={**parsed.unprotected, 99: 1}))) is Reason.MALFORMED


@given(at=st.integers(0, len(HANDLE) - 1), flip=st.integers(1, 255))
def test_no_flipped_byte_verifies(at: int, flip: int) -> None:
    """This includes the token: if it holds only the signer's certificate, each of its bytes is checked."""
    changed = bytearray(HANDLE)
    changed[at] ^= flip
    with pytest.raises(PeerError):
        verify(bytes(changed))


def test_a_handle_with_more_certificates_in_its_token_is_refused() -> None:
    """The certificates in a token are not signed: anyone can add one, and would make a handle with another id."""
    signed = cose.parse(HANDLE, "handle")
    token = TSA.recipe(embedded=[TSA.signer.der, TSA.root.der]).token(cose.ctt_imprint(signed), NOW_US + 20_000)
    assert reason_of(attach_stamp(signed, token)) is Reason.HANDLE_STAMP_INVALID


def test_a_message_of_another_media_type_is_not_a_handle() -> None:
    message = cmw.wrap(media_types.EVIDENCE, make(), Indicator.EVIDENCE)
    with pytest.raises(PeerError) as caught:
        cmw.unwrap(message, media_types.HANDLE, Indicator.HANDLE)
    assert caught.value.reason is Reason.UNKNOWN_MEDIA_TYPE


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(PeerError):
        verify(noise)


def test_too_large_is_refused_before_parsing() -> None:
    assert reason_of(HANDLE + bytes(70_000)) is Reason.TOO_LARGE


@pytest.mark.parametrize("claim", [1, 4, 5, 10, 2000])
def test_every_claim_is_needed(claim: int) -> None:
    payload = cbor.decode(cose.parse(HANDLE, "handle").unverified_payload, "claims")
    assert isinstance(payload, dict)
    del payload[claim]
    signed = cose.sign(cbor.encode(payload), KEY, {cose.HEADER_TYPE: "application/vnd.attestream.handle+cose"})
    assert reason_of(stamped(signed, NOW_US)) is Reason.MALFORMED


# ── TSTInfo ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(time_us=st.integers(0, 4_102_444_800_000_000), accuracy_us=st.integers(0, 59_999_999))
def test_times_keep_every_microsecond(time_us: int, accuracy_us: int) -> None:
    info = parse_tst_info(tst_info(b"i" * 32, time_us, accuracy_us=accuracy_us))
    assert (info.gen_time_us, info.accuracy_us, info.serial) == (time_us, accuracy_us, 7)


@pytest.mark.parametrize(
    "der",
    [
        tst_info(b"i" * 32, NOW_US, accuracy_us=86_401 * SECOND_US),
        tst_info(b"i" * 20, NOW_US, imprint_oid=token_forge.OID_SHA1),
        tst_info(b"i" * 32, NOW_US).replace(b"\x02\x01\x01", b"\x02\x01\x02", 1),
        tst_info(b"i" * 32, NOW_US) + b"\0",
        b"",
    ],
    ids=["accuracy of more than a day", "SHA-1", "version 2", "bytes after it", "nothing"],
)
def test_a_wrong_tst_info_is_malformed(der: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        parse_tst_info(der)
    assert caught.value.reason is Reason.MALFORMED


def test_a_tst_info_is_found_in_its_token() -> None:
    token = TSA.token(b"i" * 32, NOW_US, nonce=5)
    assert parse_tst_info(extract_tst_info(token)).nonce == 5
    with pytest.raises(PeerError):
        extract_tst_info(TSA.recipe(content_oid=token_forge.OID_DATA).token(b"i" * 32, NOW_US))
