"""File signatures: which bytes are one, and for which digest and key."""

import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.errors import PeerError
from schemas.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from schemas.ima.signature import (
    SignatureType,
    make_file_key,
    parse_file_key,
    parse_file_signature,
    verify_file_signature,
)
from schemas.reasons import Reason
from tests.builders.damage import flipped
from tests.builders.file_signing import PrivateKey, file_key, sign_file

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.derive_private_key(7, ec.SECP256R1())
EC384 = ec.derive_private_key(7, ec.SECP384R1())
STRANGER = ec.derive_private_key(8, ec.SECP256R1())
SIGNERS: tuple[PrivateKey, ...] = (RSA, EC, EC384)
KEYS = tuple(file_key(key) for key in SIGNERS)
CONTENT = b"#!/bin/sh\n"
DIGEST = SHA256.digest(CONTENT)


def refusal(raw: bytes, label: bytes = b"sha256", digest: bytes = DIGEST) -> Reason:
    with pytest.raises(PeerError) as caught:
        verify_file_signature(raw, label, digest, KEYS)
    return caught.value.reason


@pytest.mark.parametrize("algorithm", [SHA256, SHA384, SHA512])
@pytest.mark.parametrize("key", [RSA, EC, EC384])
@pytest.mark.parametrize(
    ("kind", "version", "label"), [(3, 2, b""), (3, 2, b"ima:"), (3, 3, b""), (3, 3, b"ima:"), (6, 3, b"verity:")]
)
def test_a_signature_by_a_listed_key_is_accepted(
    algorithm: HashAlgorithm, key: PrivateKey, kind: int, version: int, label: bytes
) -> None:
    digest = algorithm.digest(CONTENT)
    raw = sign_file(key, digest, algorithm, kind=kind, version=version)
    named = label + algorithm.name.encode()
    assert verify_file_signature(raw, named, digest, KEYS) == file_key(key)


def test_a_signature_is_parsed() -> None:
    raw = sign_file(EC, DIGEST, key_id=b"abcd")
    signature = parse_file_signature(raw)
    assert (signature.type, signature.version, signature.algorithm) == (SignatureType.DIGSIG, 2, SHA256)
    assert (signature.key_id, signature.value) == (b"abcd", raw[9:])


def test_the_key_id_is_a_hint_that_a_certificate_may_have_changed() -> None:
    assert verify_file_signature(sign_file(EC, DIGEST, key_id=b"skid"), b"sha256", DIGEST, KEYS) == file_key(EC)
    wrong = sign_file(EC, DIGEST, key_id=file_key(RSA).id)
    assert refusal(wrong) is Reason.FILE_UNEXPECTED


def test_the_key_id_is_the_end_of_sha1_of_the_keys_bits() -> None:
    # openssl pkey -pubin -outform DER | tail -c 65 | sha1sum, for the key derived from 7
    assert file_key(EC).id.hex() == "86319bcd"


@pytest.mark.parametrize(
    ("raw", "label", "digest"),
    [
        (sign_file(STRANGER, DIGEST), b"sha256", DIGEST),
        (sign_file(EC, SHA256.digest(b"another")), b"sha256", DIGEST),
        (flipped(sign_file(EC, DIGEST)), b"sha256", DIGEST),
        (flipped(sign_file(RSA, DIGEST)), b"sha256", DIGEST),
        (
            sign_file(EC, DIGEST, kind=3, version=3)[:1] + b"\x02" + sign_file(EC, DIGEST, version=3)[2:],
            b"sha256",
            DIGEST,
        ),
    ],
)
def test_what_no_listed_key_signed_is_unexpected(raw: bytes, label: bytes, digest: bytes) -> None:
    assert refusal(raw, label, digest) is Reason.FILE_UNEXPECTED


@pytest.mark.parametrize(
    ("raw", "label"),
    [
        (b"", b"sha256"),
        (sign_file(EC, DIGEST)[:9], b"sha256"),
        (sign_file(EC, DIGEST) + b"\0", b"sha256"),
        (b"\x05" + sign_file(EC, DIGEST)[1:], b"sha256"),  # EVM_XATTR_PORTABLE_DIGSIG: over other attributes
        (b"\x03\x01" + sign_file(EC, DIGEST)[2:], b"sha256"),
        (b"\x03\x02\x02" + sign_file(EC, DIGEST)[3:], b"sha256"),  # SHA-1
        (b"\x06\x02" + sign_file(EC, DIGEST)[2:], b"verity:sha256"),
        (sign_file(EC, DIGEST), b"verity:sha256"),
        (sign_file(EC, DIGEST, version=3), b"verity:sha256"),
        (sign_file(EC, DIGEST, kind=6, version=3), b"ima:sha256"),
        (sign_file(EC, DIGEST), b"sha512"),
        (sign_file(EC, DIGEST), b"sm3"),
        (struct.pack(">BBB4sH", 3, 2, 4, bytes(4), 2000) + bytes(2000), b"sha256"),
    ],
)
def test_what_is_no_signature_of_the_digest_is_refused(raw: bytes, label: bytes) -> None:
    assert refusal(raw, label) is Reason.LOG_MALFORMED


def test_a_digest_of_another_length_is_not_what_was_signed() -> None:
    assert refusal(sign_file(EC, DIGEST), b"sha256", DIGEST[:-1]) is Reason.LOG_MALFORMED


@pytest.mark.parametrize("key", [RSA, EC, EC384])
def test_a_key_is_read_from_pem_and_der(key: PrivateKey) -> None:
    for encoding in (Encoding.PEM, Encoding.DER):
        raw = key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
        assert parse_file_key(raw) == file_key(key)
    assert parse_file_key(file_key(key).pem().encode()) == file_key(key)


@pytest.mark.parametrize(
    "public",
    [
        rsa.generate_private_key(65537, 1024).public_key(),  # noqa: S505 that is the point
        ec.derive_private_key(7, ec.SECP224R1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
        "a key",
    ],
)
def test_weak_and_unknown_keys_are_refused(public: object) -> None:
    with pytest.raises(PeerError) as caught:
        make_file_key(public)
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("raw", [b"", b"-----BEGIN PUBLIC KEY-----\n", b"\x30\x03\x02\x01\x00", bytes(5000)])
def test_what_is_no_key_is_refused(raw: bytes) -> None:
    with pytest.raises(PeerError):
        parse_file_key(raw)
