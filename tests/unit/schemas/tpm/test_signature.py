"""TPMT_SIGNATURE: parsing, and verification with keys made here and with a real TPM's."""

import struct
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from schemas import limits
from schemas.errors import PeerError
from schemas.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from schemas.reasons import Reason
from schemas.tpm.public import parse_public
from schemas.tpm.signature import Signature, SignatureScheme, check_key, parse_signature, verify_signature
from tests.builders.tpm_bytes import (
    REAL_PUBLIC,
    REAL_QUOTE,
    REAL_QUOTE_SIGNATURE,
    REAL_TIME,
    REAL_TIME_SIGNATURE,
    sized,
)

MESSAGE = b"the exact bytes"
REASON = Reason.SYNC_SIGNATURE_INVALID
LIBRARY_HASHES: dict[HashAlgorithm, hashes.HashAlgorithm] = {
    SHA256: hashes.SHA256(),
    SHA384: hashes.SHA384(),
    SHA512: hashes.SHA512(),
}
OTHER_RSA_KEY = rsa.RSAPublicNumbers(65537, 2**2047 + 1).public_key()
by_name = pytest.mark.parametrize("algorithm", LIBRARY_HASHES, ids=lambda algorithm: algorithm.name)


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def ecdsa_bytes(r: int, s: int, size: int, algorithm: HashAlgorithm) -> bytes:
    head = struct.pack(">HH", SignatureScheme.ECDSA, algorithm.tpm_id)
    return head + sized(r.to_bytes(size, "big")) + sized(s.to_bytes(size, "big"))


def rsa_bytes(scheme: int, value: bytes, tpm_id: int = 0x000B) -> bytes:
    return struct.pack(">HH", scheme, tpm_id) + sized(value)


def refused(raw: bytes) -> PeerError:
    with pytest.raises(PeerError) as caught:
        parse_signature(raw)
    return caught.value


def check_refused(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, signature: Signature, message: bytes) -> None:
    with pytest.raises(PeerError, match="does not verify") as caught:
        verify_signature(key, signature, message, REASON)
    assert caught.value.reason is REASON


def test_schemes_have_the_numbers_of_the_registry() -> None:
    """TCG Algorithm Registry, table 3."""
    assert {scheme.name: scheme.value for scheme in SignatureScheme} == {
        "RSASSA": 0x0014,
        "RSAPSS": 0x0016,
        "ECDSA": 0x0018,
    }


@by_name
@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_ecdsa_verifies_for_every_curve_and_hash(curve: ec.EllipticCurve, algorithm: HashAlgorithm) -> None:
    key = ec.generate_private_key(curve)
    r, s = decode_dss_signature(key.sign(MESSAGE, ec.ECDSA(LIBRARY_HASHES[algorithm])))
    signature = parse_signature(ecdsa_bytes(r, s, (curve.key_size + 7) // 8, algorithm))
    assert (signature.scheme, signature.hash) == (SignatureScheme.ECDSA, algorithm)
    verify_signature(key.public_key(), signature, MESSAGE, REASON)
    with pytest.raises(PeerError) as caught:
        verify_signature(key.public_key(), signature, MESSAGE + b".", REASON)
    assert caught.value.reason is REASON


@by_name
def test_rsassa_verifies(rsa_key: rsa.RSAPrivateKey, algorithm: HashAlgorithm) -> None:
    value = rsa_key.sign(MESSAGE, padding.PKCS1v15(), LIBRARY_HASHES[algorithm])
    signature = parse_signature(rsa_bytes(SignatureScheme.RSASSA, value, algorithm.tpm_id))
    assert signature == Signature(scheme=SignatureScheme.RSASSA, hash=algorithm, value=value)
    verify_signature(rsa_key.public_key(), signature, MESSAGE, REASON)
    check_refused(rsa_key.public_key(), signature, MESSAGE + b".")
    check_refused(OTHER_RSA_KEY, signature, MESSAGE)
    check_refused(rsa_key.public_key(), replace(signature, value=bytes(256)), MESSAGE)


@by_name
@pytest.mark.parametrize("salt", [padding.PSS.MAX_LENGTH, padding.PSS.DIGEST_LENGTH], ids=["longest", "digest"])
def test_rsapss_verifies_with_either_salt_a_tpm_takes(
    rsa_key: rsa.RSAPrivateKey, algorithm: HashAlgorithm, salt: int
) -> None:
    library_hash = LIBRARY_HASHES[algorithm]
    value = rsa_key.sign(MESSAGE, padding.PSS(mgf=padding.MGF1(library_hash), salt_length=salt), library_hash)
    signature = parse_signature(rsa_bytes(SignatureScheme.RSAPSS, value, algorithm.tpm_id))
    verify_signature(rsa_key.public_key(), signature, MESSAGE, REASON)
    check_refused(rsa_key.public_key(), signature, MESSAGE + b".")
    check_refused(OTHER_RSA_KEY, signature, MESSAGE)
    check_refused(rsa_key.public_key(), replace(signature, value=bytes(256)), MESSAGE)


def test_real_signatures_verify_over_what_they_signed_and_nothing_else() -> None:
    key = parse_public(REAL_PUBLIC).public_key()
    verify_signature(key, parse_signature(REAL_QUOTE_SIGNATURE), REAL_QUOTE, REASON)
    verify_signature(key, parse_signature(REAL_TIME_SIGNATURE), REAL_TIME, REASON)
    with pytest.raises(PeerError, match="does not verify"):
        verify_signature(key, parse_signature(REAL_QUOTE_SIGNATURE), REAL_TIME, REASON)


def test_another_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(PeerError, match="does not verify"):
        verify_signature(key, parse_signature(REAL_QUOTE_SIGNATURE), REAL_QUOTE, REASON)


def test_another_hash_is_refused() -> None:
    raw = REAL_QUOTE_SIGNATURE[:2] + b"\x00\x0c" + REAL_QUOTE_SIGNATURE[4:]
    with pytest.raises(PeerError, match="does not verify"):
        verify_signature(parse_public(REAL_PUBLIC).public_key(), parse_signature(raw), REAL_QUOTE, REASON)


@pytest.mark.parametrize(("r", "s"), [(0, 0), (0, 1), (1, 0), (2**528 - 1, 1)])
def test_numbers_out_of_range_do_not_verify(r: int, s: int) -> None:
    signature = parse_signature(ecdsa_bytes(r, s, 66, SHA256))
    with pytest.raises(PeerError, match="does not verify"):
        verify_signature(parse_public(REAL_PUBLIC).public_key(), signature, REAL_QUOTE, REASON)


def test_a_scheme_that_does_not_fit_the_key_is_refused(rsa_key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(PeerError, match="ECDSA signature for an RSA key") as caught:
        verify_signature(rsa_key.public_key(), parse_signature(REAL_QUOTE_SIGNATURE), REAL_QUOTE, REASON)
    assert caught.value.reason is REASON
    signature = parse_signature(rsa_bytes(SignatureScheme.RSAPSS, bytes(256)))
    with pytest.raises(PeerError, match="RSAPSS signature for an elliptic curve key") as caught:
        verify_signature(parse_public(REAL_PUBLIC).public_key(), signature, REAL_QUOTE, REASON)
    assert caught.value.reason is REASON


def test_one_rsa_scheme_is_not_taken_for_the_other(rsa_key: rsa.RSAPrivateKey) -> None:
    pkcs1 = rsa_key.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    check_refused(rsa_key.public_key(), parse_signature(rsa_bytes(SignatureScheme.RSAPSS, pkcs1)), MESSAGE)
    salted = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
    pss = rsa_key.sign(MESSAGE, salted, hashes.SHA256())
    check_refused(rsa_key.public_key(), parse_signature(rsa_bytes(SignatureScheme.RSASSA, pss)), MESSAGE)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (ec.generate_private_key(ec.SECP256K1()).public_key(), "secp256k1"),
        (ec.generate_private_key(ec.SECP224R1()).public_key(), "secp224r1"),
        (rsa.RSAPublicNumbers(65537, 2**1535 + 1).public_key(), "1536 bits"),
        (rsa.RSAPublicNumbers(65537, 2**2046 + 1).public_key(), "2047 bits"),
        (rsa.RSAPublicNumbers(65537, 2**8192 + 1).public_key(), "8193 bits"),
        (rsa.RSAPublicNumbers(3, 2**2047 + 1).public_key(), "exponent 3"),
        (rsa.RSAPublicNumbers(257, 2**2047 + 1).public_key(), "exponent 257"),
        (rsa.RSAPublicNumbers(65535, 2**2047 + 1).public_key(), "exponent 65535"),
    ],
)
def test_weak_and_unknown_keys_are_refused(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, why: str) -> None:
    with pytest.raises(PeerError, match=why) as caught:
        check_key(key, Reason.ATTESTING_KEY_MISMATCH)
    assert caught.value.reason is Reason.ATTESTING_KEY_MISMATCH
    with pytest.raises(PeerError, match=why) as caught:
        verify_signature(key, parse_signature(REAL_QUOTE_SIGNATURE), REAL_QUOTE, REASON)
    assert caught.value.reason is REASON


@pytest.mark.parametrize(
    ("bits", "exponent"), [(2048, 65537), (2048, 65539), (3072, 65537), (8192, 65537), (8192, 2**32 - 1)]
)
def test_rsa_keys_at_the_limits_are_accepted(bits: int, exponent: int) -> None:
    check_key(rsa.RSAPublicNumbers(exponent, 2 ** (bits - 1) + 1).public_key(), REASON)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"", "scheme"),
        (b"\x00\x18\x00", "hash"),
        (struct.pack(">HH", 0x0018, 0x000B), "signature r"),
        (struct.pack(">HH", 0x0018, 0x000B) + sized(bytes(32)), "signature s"),
        (struct.pack(">HH", 0x0018, 0x000B) + sized(bytes(67)) + sized(bytes(32)), "67 bytes"),
        (rsa_bytes(0x0014, b""), "empty"),
        (rsa_bytes(0x0014, bytes(1025)), "1025 bytes"),
        (rsa_bytes(0x0014, bytes(256)) + b"\x00", "after its end"),
        (rsa_bytes(0x0014, bytes(256))[:-1], "needs 256 bytes"),
        (rsa_bytes(0x0014, bytes(256), 0x0004), "hash algorithm 0x0004"),
        (rsa_bytes(0x0014, bytes(256), 0x0012), "hash algorithm 0x0012"),
        (rsa_bytes(0x0010, bytes(256)), "scheme 0x0010"),
        (rsa_bytes(0x0005, bytes(256)), "scheme 0x0005"),
        (rsa_bytes(0x001A, bytes(256)), "scheme 0x001a"),
        (REAL_QUOTE_SIGNATURE + b"\x00", "after its end"),
    ],
)
def test_a_wrong_signature_is_refused_by_name(raw: bytes, field: str) -> None:
    error = refused(raw)
    assert error.reason is Reason.MALFORMED
    assert field in error.detail


def test_the_largest_rsa_signature_fits_and_size_is_checked_first() -> None:
    assert len(parse_signature(rsa_bytes(0x0014, bytes(1024))).value) == 1024
    assert limits.MAX_SIGNATURE_BYTES == 1088
    assert refused(bytes(1089)).reason is Reason.TOO_LARGE
    assert refused(bytes(1088)).reason is Reason.MALFORMED
