"""TPMT_PUBLIC: keys, names, and which of them may attest."""

import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from schemas.errors import PeerError
from schemas.hashes import SHA256, SHA384, HashAlgorithm
from schemas.reasons import Reason
from schemas.tpm.public import (
    ATTESTATION_KEY_ATTRIBUTES,
    TPM_RH_ENDORSEMENT,
    TPM_RH_OWNER,
    TPM_RH_PLATFORM,
    EccCurve,
    EccKey,
    KeyScheme,
    ObjectAttributes,
    RsaKey,
    check_attestation_key,
    parse_public,
    parse_sized_public,
    qualified_name,
)
from schemas.tpm.signature import SignatureScheme
from tests.builders.tpm_bytes import REAL_NAME, REAL_PUBLIC, REAL_QUALIFIED_NAME, sized

AK = 0x0005_0072  # sign, restricted, userWithAuth, sensitiveDataOrigin, fixedParent, fixedTPM
NULL = struct.pack(">H", 0x0010)
AES_128_CFB = struct.pack(">HHH", 0x0006, 128, 0x0043)
ECDSA_SHA256 = struct.pack(">HH", 0x0018, 0x000B)
RSASSA_SHA256 = struct.pack(">HH", 0x0014, 0x000B)
POINT = ec.derive_private_key(1, ec.SECP256R1()).public_key().public_numbers()
MODULUS = (2**2047 + 1).to_bytes(256, "big")


def head(kind: int, attributes: int = AK, policy: bytes = b"", name_alg: int = 0x000B) -> bytes:
    return struct.pack(">HHI", kind, name_alg, attributes) + sized(policy)


def ecc_tail(curve: int = 3, kdf: bytes = NULL, x: int = POINT.x, y: int = POINT.y, size: int = 32) -> bytes:
    return struct.pack(">H", curve) + kdf + sized(x.to_bytes(size, "big")) + sized(y.to_bytes(size, "big"))


def rsa_tail(bits: int = 2048, exponent: int = 0, modulus: bytes = MODULUS) -> bytes:
    return struct.pack(">HI", bits, exponent) + sized(modulus)


def ecc_public(attributes: int = AK, scheme: bytes = ECDSA_SHA256) -> bytes:
    return head(0x0023, attributes) + NULL + scheme + ecc_tail()


def rsa_public(attributes: int = AK, scheme: bytes = RSASSA_SHA256) -> bytes:
    return head(0x0001, attributes) + NULL + scheme + rsa_tail()


def test_a_real_attestation_key_is_read() -> None:
    public = parse_public(REAL_PUBLIC)
    assert public.raw == REAL_PUBLIC
    assert public.name_alg is SHA256
    assert public.attributes == ObjectAttributes(AK)
    assert public.auth_policy == b""
    assert public.symmetric_bits is None
    assert public.scheme == KeyScheme(tpm_id=SignatureScheme.ECDSA, hash=SHA256)
    assert isinstance(public.key, EccKey)
    assert public.key.curve is EccCurve.NIST_P256
    check_attestation_key(public)


def test_the_name_of_a_real_key_is_the_one_its_tpm_gave() -> None:
    assert parse_public(REAL_PUBLIC).name == REAL_NAME
    assert qualified_name(TPM_RH_ENDORSEMENT, REAL_NAME) == REAL_QUALIFIED_NAME
    assert qualified_name(TPM_RH_OWNER, REAL_NAME) != REAL_QUALIFIED_NAME


def test_the_sized_form_is_the_same_key() -> None:
    assert parse_sized_public(sized(REAL_PUBLIC)) == parse_public(REAL_PUBLIC)
    for raw in (sized(REAL_PUBLIC) + b"\x00", sized(REAL_PUBLIC)[:-1], sized(REAL_PUBLIC + b"\x00"), REAL_PUBLIC):
        with pytest.raises(PeerError):
            parse_sized_public(raw)


def test_an_rsa_key_is_read() -> None:
    public = parse_public(rsa_public())
    assert public.key == RsaKey(bits=2048, exponent=65537, modulus=MODULUS)
    key = public.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.public_numbers() == rsa.RSAPublicNumbers(65537, 2**2047 + 1)
    check_attestation_key(public)


def test_a_storage_key_is_read_and_may_not_attest() -> None:
    raw = head(0x0023, 0x0003_0072, b"p" * 32) + AES_128_CFB + NULL + ecc_tail()
    public = parse_public(raw)
    assert (public.symmetric_bits, public.scheme, public.auth_policy) == (128, None, b"p" * 32)
    with pytest.raises(PeerError, match="SIGN_ENCRYPT") as caught:
        check_attestation_key(public)
    assert caught.value.reason is Reason.ATTESTING_KEY_MISMATCH


@pytest.mark.parametrize("bit", ["FIXED_TPM", "FIXED_PARENT", "SENSITIVE_DATA_ORIGIN", "RESTRICTED", "SIGN_ENCRYPT"])
def test_an_attestation_key_lacks_no_attribute(bit: str) -> None:
    with pytest.raises(PeerError, match=bit) as caught:
        check_attestation_key(parse_public(ecc_public(AK & ~ObjectAttributes[bit])))
    assert caught.value.reason is Reason.ATTESTING_KEY_MISMATCH


def test_an_attestation_key_does_not_decrypt() -> None:
    with pytest.raises(PeerError, match="decrypt") as caught:
        check_attestation_key(parse_public(ecc_public(AK | ObjectAttributes.DECRYPT)))
    assert caught.value.reason is Reason.ATTESTING_KEY_MISMATCH


@pytest.mark.parametrize(
    ("raw", "fitting"),
    [
        (ecc_public(scheme=NULL), "ECDSA"),
        (ecc_public(scheme=RSASSA_SHA256), "ECDSA"),
        (ecc_public(scheme=struct.pack(">HH", 0x0019, 0x000B)), "ECDSA"),
        (rsa_public(scheme=NULL), "RSASSA or RSAPSS"),
        (rsa_public(scheme=ECDSA_SHA256), "RSASSA or RSAPSS"),
        (rsa_public(scheme=struct.pack(">H", 0x0015)), "RSASSA or RSAPSS"),
        (rsa_public(scheme=struct.pack(">HH", 0x0017, 0x000B)), "RSASSA or RSAPSS"),
    ],
)
def test_an_attestation_key_has_a_signature_scheme_that_fits_it(raw: bytes, fitting: str) -> None:
    with pytest.raises(PeerError, match=f"its scheme is not {fitting}$") as caught:
        check_attestation_key(parse_public(raw))
    assert caught.value.reason is Reason.ATTESTING_KEY_MISMATCH


@pytest.mark.parametrize(
    ("tail", "why"),
    [
        (rsa_tail(1024, 0, (2**1023 + 1).to_bytes(128, "big")), "1024 bits"),
        (rsa_tail(2048, 3), "exponent 3"),
    ],
)
def test_a_weak_key_may_not_attest(tail: bytes, why: str) -> None:
    with pytest.raises(PeerError, match=why) as caught:
        check_attestation_key(parse_public(head(0x0001) + NULL + RSASSA_SHA256 + tail))
    assert caught.value.reason is Reason.ATTESTING_KEY_MISMATCH


@pytest.mark.parametrize(
    "raw",
    [
        head(0x0023) + NULL + ECDSA_SHA256 + ecc_tail(y=POINT.y ^ 1),
        head(0x0023) + NULL + ECDSA_SHA256 + ecc_tail(x=0, y=0, size=0),
        head(0x0023) + NULL + ECDSA_SHA256 + ecc_tail(x=2**527, size=66),
        head(0x0001) + NULL + RSASSA_SHA256 + rsa_tail(modulus=b""),
        head(0x0001) + NULL + RSASSA_SHA256 + rsa_tail(modulus=MODULUS[:-1] + b"\0"),
        head(0x0001) + NULL + RSASSA_SHA256 + rsa_tail(3072),
        head(0x0001) + NULL + RSASSA_SHA256 + rsa_tail(exponent=2),
        head(0x0001) + NULL + RSASSA_SHA256 + rsa_tail(exponent=65538),
    ],
)
def test_what_is_no_key_becomes_none(raw: bytes) -> None:
    public = parse_public(raw)
    with pytest.raises(PeerError) as caught:
        public.public_key()
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (head(0x0008) + bytes(8), "type 0x0008"),
        (head(0x0025) + bytes(8), "type 0x0025"),
        (head(0x0023, name_alg=0x0004) + NULL + NULL + ecc_tail(), "hash algorithm 0x0004"),
        (head(0x0023, name_alg=0x0010) + NULL + NULL + ecc_tail(), "hash algorithm 0x0010"),
        (ecc_public(AK | 1), "reserved bits"),
        (ecc_public(AK | 1 << 31), "reserved bits"),
        (head(0x0023, policy=bytes(65)) + NULL + NULL + ecc_tail(), "authPolicy: 65 bytes"),
        (head(0x0023) + struct.pack(">HHH", 0x0006, 64, 0x0043) + NULL + ecc_tail(), "symmetric"),
        (head(0x0023) + struct.pack(">HHH", 0x0006, 128, 0x0042) + NULL + ecc_tail(), "symmetric"),
        (head(0x0023) + struct.pack(">HHH", 0x0013, 128, 0x0043) + NULL + ecc_tail(), "symmetric"),
        (head(0x0023) + NULL + struct.pack(">HH", 0x001A, 0x000B) + ecc_tail(), "scheme 0x001a"),
        (head(0x0023) + NULL + struct.pack(">HH", 0x0018, 0x0004) + ecc_tail(), "hash algorithm 0x0004"),
        (head(0x0023) + NULL + NULL + ecc_tail(curve=0x0010), "curveID 0x0010"),
        (head(0x0023) + NULL + NULL + ecc_tail(kdf=b"\x00\x07"), "kdf 0x0007"),
        (head(0x0023) + NULL + NULL + ecc_tail(size=67), "x: 67 bytes"),
        (head(0x0001) + NULL + NULL + rsa_tail(modulus=bytes(1025)), "modulus: 1025 bytes"),
    ],
)
def test_a_wrong_field_is_named(raw: bytes, field: str) -> None:
    with pytest.raises(PeerError) as caught:
        parse_public(raw)
    assert caught.value.reason is Reason.MALFORMED
    assert field in caught.value.detail


def test_a_key_derivation_scheme_is_read_past() -> None:
    raw = head(0x0023, 0x0002_0072) + NULL + NULL + ecc_tail(kdf=struct.pack(">HH", 0x0020, 0x000B))
    assert parse_public(raw).key == parse_public(ecc_public()).key


@pytest.mark.parametrize("raw", [REAL_PUBLIC, rsa_public()], ids=["ecc", "rsa"])
def test_no_byte_may_be_missing_and_none_may_follow(raw: bytes) -> None:
    for wrong in (raw + b"\x00", *(raw[:cut] for cut in range(len(raw)))):
        with pytest.raises(PeerError) as caught:
            parse_public(wrong)
        assert caught.value.reason is Reason.MALFORMED


def test_size_is_checked_before_anything_else() -> None:
    with pytest.raises(PeerError) as caught:
        parse_public(bytes(1281))
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_child_is_qualified_by_its_parents_qualified_name() -> None:
    parent = qualified_name(TPM_RH_OWNER, REAL_NAME)
    child = b"\x00\x0c" + bytes(48)
    assert qualified_name(parent, child) == b"\x00\x0c" + SHA384.digest(parent + child)


@pytest.mark.parametrize("name", [b"", b"\x00", b"\x00\x0b", REAL_NAME[:-1], REAL_NAME + b"\x00", b"\x40\x00\x00\x01"])
def test_what_is_no_name_is_not_qualified(name: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        qualified_name(TPM_RH_OWNER, name)
    assert caught.value.reason is Reason.MALFORMED


# ── numbers of the standard ──────────────────────────────────────────────────────────────────────────────────────────


def test_attributes_are_the_bits_of_the_standard() -> None:
    """TPM 2.0 Part 2, table "Definition of TPMA_OBJECT Bits"."""
    assert {attribute.name: attribute.bit_length() - 1 for attribute in ObjectAttributes} == {
        "FIXED_TPM": 1,
        "ST_CLEAR": 2,
        "FIXED_PARENT": 4,
        "SENSITIVE_DATA_ORIGIN": 5,
        "USER_WITH_AUTH": 6,
        "ADMIN_WITH_POLICY": 7,
        "FIRMWARE_LIMITED": 8,
        "SVN_LIMITED": 9,
        "NO_DA": 10,
        "ENCRYPTED_DUPLICATION": 11,
        "RESTRICTED": 16,
        "DECRYPT": 17,
        "SIGN_ENCRYPT": 18,
        "X509_SIGN": 19,
    }
    assert ATTESTATION_KEY_ATTRIBUTES == 0x0005_0032


@pytest.mark.parametrize("bit", range(32))
def test_only_bits_that_the_standard_defines_may_be_set(bit: int) -> None:
    raw = ecc_public(1 << bit)
    if bit in {attribute.bit_length() - 1 for attribute in ObjectAttributes}:
        assert parse_public(raw).attributes == 1 << bit
        return
    with pytest.raises(PeerError, match="reserved bits"):
        parse_public(raw)


def test_hierarchies_have_the_handles_of_the_standard() -> None:
    """TPM 2.0 Part 2, table "TPM_RH Constants"; a name begins with four bytes of it."""
    assert (TPM_RH_OWNER, TPM_RH_ENDORSEMENT, TPM_RH_PLATFORM) == (0x4000_0001, 0x4000_000B, 0x4000_000C)
    assert qualified_name(TPM_RH_OWNER, REAL_NAME)[2:] == SHA256.digest(b"\x40\0\0\x01" + REAL_NAME)


@pytest.mark.parametrize(
    ("number", "curve", "size"),
    [(3, ec.SECP256R1(), 32), (4, ec.SECP384R1(), 48), (5, ec.SECP521R1(), 66)],
    ids=["P-256", "P-384", "P-521"],
)
def test_each_curve_has_its_number(number: int, curve: ec.EllipticCurve, size: int) -> None:
    """TCG Algorithm Registry, table 4."""
    key = ec.derive_private_key(7, curve).public_key()
    point = key.public_numbers()
    public = parse_public(head(0x0023) + NULL + ECDSA_SHA256 + ecc_tail(number, x=point.x, y=point.y, size=size))
    assert public.public_key() == key
    check_attestation_key(public)


@pytest.mark.parametrize("number", [1, 2, 6])
def test_other_curves_are_refused(number: int) -> None:
    with pytest.raises(PeerError, match="curveID"):
        parse_public(head(0x0023) + NULL + ECDSA_SHA256 + ecc_tail(number))


def test_a_curve_that_the_library_lacks_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some builds of OpenSSL leave curves out."""

    class Missing(ec.SECP256R1):
        name = "missing"

    monkeypatch.setattr("schemas.tpm.public._CRYPTOGRAPHY_CURVES", {EccCurve.NIST_P256: Missing()})
    with pytest.raises(PeerError) as caught:
        parse_public(REAL_PUBLIC).public_key()
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_a_storage_key_protects_its_children_with_aes(bits: int) -> None:
    def storage(bits: int) -> bytes:
        return head(0x0023, 0x0003_0072) + struct.pack(">HHH", 0x0006, bits, 0x0043) + NULL + ecc_tail()

    assert parse_public(storage(bits)).symmetric_bits == bits
    for wrong in (bits - 1, bits + 1):
        with pytest.raises(PeerError, match="symmetric"):
            parse_public(storage(wrong))


@pytest.mark.parametrize("scheme", [0x0014, 0x0016, 0x0017, 0x0018, 0x0019])
@pytest.mark.parametrize("algorithm", [SHA256, SHA384], ids=lambda algorithm: algorithm.name)
def test_a_scheme_with_a_hash_is_read(scheme: int, algorithm: HashAlgorithm) -> None:
    public = parse_public(ecc_public(scheme=struct.pack(">HH", scheme, algorithm.tpm_id)))
    assert public.scheme == KeyScheme(tpm_id=scheme, hash=algorithm)


def test_rsaes_has_no_hash_and_other_schemes_are_unknown() -> None:
    assert parse_public(rsa_public(scheme=b"\x00\x15")).scheme == KeyScheme(tpm_id=0x0015, hash=None)
    for scheme in (0x0013, 0x001A):
        with pytest.raises(PeerError, match="scheme"):
            parse_public(ecc_public(scheme=struct.pack(">HH", scheme, 0x000B)))


def test_either_rsa_signature_scheme_may_attest() -> None:
    for scheme in (SignatureScheme.RSASSA, SignatureScheme.RSAPSS):
        check_attestation_key(parse_public(rsa_public(scheme=struct.pack(">HH", scheme, 0x000B))))


@pytest.mark.parametrize("kdf", [0x0020, 0x0021, 0x0022])
def test_a_key_derivation_scheme_has_a_hash(kdf: int) -> None:
    raw = head(0x0023) + NULL + NULL + ecc_tail(kdf=struct.pack(">HH", kdf, 0x000B))
    assert parse_public(raw).key == parse_public(ecc_public()).key
    with pytest.raises(PeerError, match="hash algorithm"):
        parse_public(head(0x0023) + NULL + NULL + ecc_tail(kdf=struct.pack(">HH", kdf, 0x0004)))


@pytest.mark.parametrize("kdf", [0x001F, 0x0023])
def test_other_key_derivation_schemes_are_refused(kdf: int) -> None:
    with pytest.raises(PeerError, match="kdf"):
        parse_public(head(0x0023) + NULL + NULL + ecc_tail(kdf=struct.pack(">HH", kdf, 0x000B)))


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_largest_key_we_accept_fits() -> None:
    modulus = b"\x80" + bytes(1022) + b"\x01"
    raw = head(0x0001, policy=bytes(64), name_alg=0x000D) + NULL + RSASSA_SHA256 + rsa_tail(8192, modulus=modulus)
    public = parse_public(raw)
    assert (len(public.auth_policy), public.name_alg.name) == (64, "sha512")
    check_attestation_key(public)


def test_a_public_area_at_its_limit_is_parsed_and_one_byte_more_is_not() -> None:
    raw = rsa_public()
    for size, reason in ((1280, Reason.MALFORMED), (1281, Reason.TOO_LARGE)):
        with pytest.raises(PeerError) as caught:
            parse_public(raw.ljust(size, b"\0"))
        assert caught.value.reason is reason
    with pytest.raises(PeerError, match="public area: 1281 bytes"):
        parse_sized_public(sized(raw.ljust(1281, b"\0")))
