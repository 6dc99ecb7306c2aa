"""Attacks on time-stamp tokens: each differs from the honest token in one thing, and each must be refused."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat import asn1
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from runtime.time_stamps.token_form import ContentInfo, in_one_form, is_der
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.errors import ConfigError, PeerError
from schemas.reasons import Reason
from tests.builders import token_forge
from tests.builders.token_forge import Certified, ForgedAuthority, Recipe, certify

IMPRINT = hashlib.sha256(b"what was stamped").digest()
NOW_US = 1_790_000_000_123_000
TSA = ForgedAuthority.make()
VERIFIER = TimeStampVerifier(TSA.root.pem)
TOKEN = TSA.token(IMPRINT, NOW_US, nonce=2**63 + 1)
WEB_SERVER = certify("web server", TSA.root, usages=[ExtendedKeyUsageOID.SERVER_AUTH])
BOTH = certify(
    "web server and TSA", TSA.root, usages=[ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.SERVER_AUTH]
)
NOT_CRITICAL = certify("not critical", TSA.root, critical=False)
NO_USAGE = certify("no usage", TSA.root, usages=None)
EXPIRED = certify("expired", TSA.root, not_after=datetime(2026, 1, 1, tzinfo=UTC))
NOT_YET = certify("not yet valid", TSA.root, not_before=datetime(2030, 1, 1, tzinfo=UTC))
STRANGER = ForgedAuthority.make()
SELF_SIGNED = certify("test TSA root")
BELOW_LEAF = certify("below a leaf", TSA.signer)
SAME_NAME = certify("x", TSA.root, serial=WEB_SERVER.certificate.serial_number, signing_key=STRANGER.root.key)


def refused(token: bytes, imprint: bytes = IMPRINT) -> PeerError:
    with pytest.raises(PeerError) as caught:
        VERIFIER.verify_stamp(token, imprint)
    return caught.value


def test_an_honest_token_verifies_to_the_microsecond() -> None:
    info = VERIFIER.verify_stamp(TOKEN, IMPRINT)
    assert (info.gen_time_us, info.accuracy_us, info.imprint, info.nonce) == (NOW_US, 500_000, IMPRINT, 2**63 + 1)


@pytest.mark.parametrize(
    "recipe",
    [
        TSA.recipe(digest_oid=token_forge.OID_SHA384),
        TSA.recipe(ess_oid=token_forge.OID_SIGNING_CERTIFICATE),
        TSA.recipe(ess_algorithm=token_forge.OID_SHA384),
    ],
    ids=["sha384", "ESSCertID", "ESSCertIDv2 with sha384"],
)
def test_honest_variants_verify(recipe: Recipe) -> None:
    assert VERIFIER.verify_stamp(recipe.token(IMPRINT, NOW_US), IMPRINT).gen_time_us == NOW_US


@pytest.mark.parametrize(
    "recipe",
    [
        TSA.recipe(embedded=[TSA.signer.der, TSA.root.der]),
        TSA.recipe(embedded=[TSA.signer.der, STRANGER.root.der, WEB_SERVER.der]),
    ],
    ids=["root embedded", "certificates of others beside"],
)
def test_a_token_is_spelled_in_one_form_alone(recipe: Recipe) -> None:
    """Anyone can add certificates; distributors issue tokens without them."""
    token = recipe.token(IMPRINT, NOW_US)
    error = refused(token)
    assert error.reason is Reason.HANDLE_STAMP_INVALID
    assert "one form" in error.detail
    mended = in_one_form(asn1.decode_der(ContentInfo, token))
    assert VERIFIER.verify_stamp(mended, IMPRINT).gen_time_us == NOW_US


def test_a_token_with_lengths_that_are_not_minimal_is_refused() -> None:
    assert is_der(TOKEN)
    content = TOKEN.index(bytes.fromhex("060b2a864886f70d0109100104"))  # its eContent follows, 13 bytes on
    assert not is_der(TOKEN[:content] + b"\x06\x81" + TOKEN[content + 1 :])
    for raw in (
        b"\x04\x81\x01a",
        b"\x04\x82\x00\x80" + bytes(128),
        b"\x30\x80\0\0",
        b"\x04\x02a",
        b"\x04",
        b"\x1f\x01\0",
    ):
        assert not is_der(raw)
        assert not is_der(b"\x30" + bytes([len(raw)]) + raw)
    assert is_der(b"\x04\x81\x80" + bytes(128))
    assert is_der(b"\x04\x00")
    assert not is_der(b"\x30\x02" * 40)


def test_another_imprint_has_its_own_reason() -> None:
    assert refused(TOKEN, hashlib.sha256(b"other").digest()).reason is Reason.HANDLE_STAMP_IMPRINT_MISMATCH


def altered_content() -> bytes:
    later = TSA.token(IMPRINT, NOW_US + 86_400_000_000, nonce=2**63 + 1)
    at, size = TOKEN.index(b"\x18\x13202"), 21
    return TOKEN[:at] + later[later.index(b"\x18\x13202") :][:size] + TOKEN[at + size :]


ATTACKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a look-alike certificate with the usage beside the real one without": (
        lambda: Recipe(signer=WEB_SERVER, embedded=[WEB_SERVER.der, SAME_NAME.der]).token(IMPRINT, NOW_US),
        "2 certificates with the signer's issuer",
    ),
    "a look-alike certificate alone": (
        lambda: Recipe(signer=SAME_NAME).token(IMPRINT, NOW_US),
        "verifying certificates",
    ),
    "another root": (lambda: STRANGER.token(IMPRINT, NOW_US), "verifying certificates"),
    "another root, embedded": (
        lambda: STRANGER.recipe(embedded=[STRANGER.signer.der, STRANGER.root.der]).token(IMPRINT, NOW_US),
        "verifying certificates",
    ),
    "a self-signed certificate with the root's name": (
        lambda: Recipe(signer=SELF_SIGNED).token(IMPRINT, NOW_US),
        "verifying certificates",
    ),
    "a certificate issued by a TSA": (
        lambda: Recipe(signer=BELOW_LEAF, embedded=[BELOW_LEAF.der, TSA.signer.der]).token(IMPRINT, NOW_US),
        "verifying certificates",
    ),
    "a certificate that had expired": (
        lambda: Recipe(signer=EXPIRED).token(IMPRINT, NOW_US),
        "verifying certificates",
    ),
    "a certificate that was not valid yet": (
        lambda: Recipe(signer=NOT_YET).token(IMPRINT, NOW_US),
        "verifying certificates",
    ),
    "a signature by another key": (
        lambda: Recipe(signer=Certified(key=STRANGER.signer.key, certificate=TSA.signer.certificate)).token(
            IMPRINT, NOW_US
        ),
        "verifying certificates",
    ),
    "no certificate": (lambda: TSA.recipe(embedded=[]).token(IMPRINT, NOW_US), "0 certificates"),
    "SHA-1 imprint": (
        lambda: TSA.recipe(imprint_oid=token_forge.OID_SHA1).token(IMPRINT, NOW_US),
        "expected SHA-256",
    ),
    "SHA-1 signature": (lambda: TSA.recipe(digest_oid=token_forge.OID_SHA1).token(IMPRINT, NOW_US), "digest 1.3.14"),
    "content that is no TSTInfo": (
        lambda: TSA.recipe(content_oid=token_forge.OID_DATA).token(IMPRINT, NOW_US),
        "TSTInfo",
    ),
    "signed as something else": (
        lambda: TSA.recipe(signed_content_oid=token_forge.OID_DATA).token(IMPRINT, NOW_US),
        "signed content type",
    ),
    "two signers": (lambda: TSA.recipe(signers=2).token(IMPRINT, NOW_US), "2 signers"),
    "no signer": (lambda: TSA.recipe(signers=0).token(IMPRINT, NOW_US), "0 signers"),
    "a digest of something else signed": (
        lambda: TSA.recipe(signed_digest=hashlib.sha256(b"x").digest()).token(IMPRINT, NOW_US),
        "message digest",
    ),
    "a time that was altered after signing": (altered_content, "message digest"),
    "no signed attributes": (
        lambda: TSA.recipe(with_signed_attributes=False).token(IMPRINT, NOW_US),
        "0 values of signed attribute",
    ),
    "no certificate identifier": (lambda: TSA.recipe(ess_oid="").token(IMPRINT, NOW_US), "ESSCertID"),
    "another certificate's identifier": (
        lambda: TSA.recipe(ess_certificate=WEB_SERVER.der).token(IMPRINT, NOW_US),
        "ESSCertID",
    ),
    "certificates out of order": (
        lambda: TSA.recipe(
            embedded=sorted([TSA.root.der, TSA.signer.der], reverse=True), sorted_certificates=False
        ).token(IMPRINT, NOW_US),
        "not DER",
    ),
    "another CMS version": (lambda: TSA.recipe(version=1).token(IMPRINT, NOW_US), "CMS versions"),
    "bytes after it": (lambda: TOKEN + b"\0", "not DER"),
    "half of it": (lambda: TOKEN[: len(TOKEN) // 2], "not DER"),
    "nothing": (lambda: b"", "not DER"),
    "a response instead of a token": (lambda: token_forge.granted(TOKEN), "not DER"),
    "more than the limit": (lambda: TOKEN + bytes(40_000), "bytes"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(name: str) -> None:
    make, words = ATTACKS[name]
    error = refused(make())
    assert error.reason is Reason.HANDLE_STAMP_INVALID
    assert words in error.detail


@pytest.mark.parametrize(
    "signer", [WEB_SERVER, BOTH, NOT_CRITICAL, NO_USAGE], ids=lambda each: str(each.certificate.subject)
)
def test_a_signer_who_is_not_for_time_stamping_alone_has_his_own_reason(signer: Certified) -> None:
    error = refused(Recipe(signer=signer).token(IMPRINT, NOW_US))
    assert error.reason is Reason.HANDLE_STAMP_NOT_FOR_TIME_STAMPING
    assert "extended key usage" in error.detail


@given(at=st.integers(0, len(TOKEN) - 1), flip=st.integers(1, 255))
def test_no_flipped_byte_verifies(at: int, flip: int) -> None:
    changed = bytearray(TOKEN)
    changed[at] ^= flip
    with pytest.raises(PeerError):
        VERIFIER.verify_stamp(bytes(changed), IMPRINT)


@given(st.binary(max_size=300))
def test_noise_is_refused_and_nothing_else_is_raised(noise: bytes) -> None:
    refused(noise)


@given(st.data())
def test_spliced_tokens_are_refused_and_nothing_else_is_raised(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(TOKEN)))
    end = data.draw(st.integers(start, len(TOKEN)))
    middle = data.draw(st.binary(max_size=16))
    spliced = TOKEN[:start] + middle + TOKEN[end:]
    if spliced != TOKEN:
        refused(spliced)


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        (b"", "no PEM certificate"),
        (b"hello", "not PEM certificates"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not PEM certificates"),
        (TSA.signer.pem, "give that root here"),
    ],
)
def test_wrong_roots_are_a_configuration_error(pem: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TimeStampVerifier(pem)


def test_an_intermediate_from_the_configuration_completes_the_chain() -> None:
    between = certify("between", TSA.root, ca=True)
    token = Recipe(signer=certify("far TSA", between)).token(IMPRINT, NOW_US)
    refused(token)
    assert TimeStampVerifier(TSA.root.pem, between.pem).verify_stamp(token, IMPRINT).gen_time_us == NOW_US


def test_an_intermediate_is_no_anchor() -> None:
    between = certify("between", STRANGER.root, ca=True)
    token = Recipe(signer=certify("far TSA", between)).token(IMPRINT, NOW_US)
    with pytest.raises(PeerError, match="verifying certificates"):
        TimeStampVerifier(TSA.root.pem, between.pem).verify_stamp(token, IMPRINT)


def test_two_verifiers_do_not_share_their_roots() -> None:
    TimeStampVerifier(STRANGER.root.pem)
    refused(STRANGER.token(IMPRINT, NOW_US))
