"""TPMT_PUBLIC: the public area of a TPM object, its name, and whether it is an attestation key.

Covers RSA and elliptic curve keys (TCG TPM 2.0 Library Part 2, "Public Area Structures"). Pure and strict. A public
area is only a claim until its name has been certified, by credential activation or by a key that is already trusted.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from schemas.codecs.reader import Reader
from schemas.errors import PeerError
from schemas.hashes import HashAlgorithm
from schemas.reasons import Reason
from schemas.tpm.signature import (
    MAX_ECC_PARAMETER_BYTES,
    MAX_RSA_BYTES,
    PublicKey,
    SignatureScheme,
    check_key,
    signing_hash,
)

TPM_RH_OWNER: Final = 0x40000001  # Part 2, table "TPM_RH Constants"
TPM_RH_ENDORSEMENT: Final = 0x4000000B
TPM_RH_PLATFORM: Final = 0x4000000C

MAX_PUBLIC_BYTES: Final = 1280  # RSA-8192 with a SHA-512 policy is 1,114 bytes
MAX_POLICY_BYTES: Final = 64  # Part 2, TPM2B_DIGEST

_TPM_ALG_AES = 0x0006  # TCG Algorithm Registry, table 3, as the next five
_TPM_ALG_NULL = 0x0010
_TPM_ALG_CFB = 0x0043
_TPM_ALG_RSAES = 0x0015
_TPM_ALG_RSA = 0x0001
_TPM_ALG_ECC = 0x0023
_HASHED_SCHEMES = {0x0014, 0x0016, 0x0017, 0x0018, 0x0019}  # RSASSA, RSAPSS, OAEP, ECDSA, ECDH: TPMS_SCHEME_HASH
_KDF_SCHEMES = {0x0020, 0x0021, 0x0022}  # KDF1_SP800_56A, KDF2, KDF1_SP800_108: Part 2, TPMT_KDF_SCHEME
_AES_KEY_BITS = (128, 192, 256)
_DEFAULT_RSA_EXPONENT = 65537  # Part 2, TPMS_RSA_PARMS: encoded as zero
_ATTRIBUTES_DEFINED = 0x000F0FF6  # Part 2, TPMA_OBJECT: all other bits are reserved and zero


class ObjectAttributes(IntFlag):
    """TPMA_OBJECT (Part 2, table "Definition of TPMA_OBJECT Bits")."""

    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    FIRMWARE_LIMITED = 1 << 8
    SVN_LIMITED = 1 << 9
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN_ENCRYPT = 1 << 18
    X509_SIGN = 1 << 19


ATTESTATION_KEY_ATTRIBUTES: Final = (
    ObjectAttributes.FIXED_TPM
    | ObjectAttributes.FIXED_PARENT
    | ObjectAttributes.SENSITIVE_DATA_ORIGIN
    | ObjectAttributes.RESTRICTED
    | ObjectAttributes.SIGN_ENCRYPT
)
"""Attributes of a key that signs only structures made by its own TPM (TCG "TPM 2.0 Keys for Device Identity", AK)."""


class EccCurve(IntEnum):
    """TPM_ECC_CURVE (TCG Algorithm Registry, table 4)."""

    NIST_P256 = 0x0003
    NIST_P384 = 0x0004
    NIST_P521 = 0x0005


_CURVES: Final[dict[int, EccCurve]] = {int(curve): curve for curve in EccCurve}
_CRYPTOGRAPHY_CURVES: Final[dict[EccCurve, ec.EllipticCurve]] = {
    EccCurve.NIST_P256: ec.SECP256R1(),
    EccCurve.NIST_P384: ec.SECP384R1(),
    EccCurve.NIST_P521: ec.SECP521R1(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaKey:
    """TPMS_RSA_PARMS and TPM2B_PUBLIC_KEY_RSA.

    Attributes:
        bits: the declared length of the modulus.
        exponent: the public exponent; 65537 if the structure says zero.
        modulus: big-endian; empty in a template.
    """

    bits: int
    exponent: int
    modulus: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EccKey:
    """TPMS_ECC_PARMS and TPMS_ECC_POINT; the coordinates are big-endian, and empty in a template."""

    curve: EccCurve
    x: bytes
    y: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyScheme:
    """TPMT_RSA_SCHEME or TPMT_ECC_SCHEME other than NULL.

    Attributes:
        tpm_id: TPM_ALG_ID; compare with :class:`schemas.tpm.signature.SignatureScheme`.
        hash: None for RSAES, which has none.
    """

    tpm_id: int
    hash: HashAlgorithm | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmPublic:
    """TPMT_PUBLIC of an RSA or elliptic curve key.

    Attributes:
        raw: the exact bytes; the name is their digest.
        name_alg: SHA-256, SHA-384 or SHA-512.
        attributes: what the TPM lets the key do.
        auth_policy: policy digest of at most 64 bytes; may be empty.
        symmetric_bits: size of the AES-CFB key with which a storage key protects its children; None for other keys.
        scheme: the key's own scheme; None if it has no fixed one (TPM_ALG_NULL).
        key: the key material.
    """

    raw: bytes
    name_alg: HashAlgorithm
    attributes: ObjectAttributes
    auth_policy: bytes
    symmetric_bits: int | None
    scheme: KeyScheme | None
    key: RsaKey | EccKey

    @property
    def name(self) -> bytes:
        """``nameAlg || H(TPMT_PUBLIC)`` (Part 1, "Names")."""
        return self.name_alg.tpm_id.to_bytes(2, "big") + self.name_alg.digest(self.raw)

    def public_key(self) -> PublicKey:
        """The key as a ``cryptography`` object.

        Raises:
            PeerError: ``malformed`` for a template, a point that is not on the curve, and a modulus that is even or
                has another length than declared.
        """
        key = self.key
        try:
            if isinstance(key, EccKey):
                x, y = int.from_bytes(key.x, "big"), int.from_bytes(key.y, "big")
                return ec.EllipticCurvePublicNumbers(x, y, _CRYPTOGRAPHY_CURVES[key.curve]).public_key()
            modulus = int.from_bytes(key.modulus, "big")
            if modulus.bit_length() != key.bits:
                message = f"public modulus: {modulus.bit_length()} bits, declared {key.bits}"
                raise PeerError(Reason.MALFORMED, message)
            if modulus % 2 == 0:  # the cryptography library accepts such a key and fails when it is used
                raise PeerError(Reason.MALFORMED, "public modulus: even")
            return rsa.RSAPublicNumbers(key.exponent, modulus).public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            raise PeerError(Reason.MALFORMED, f"public key: {error}") from error


def parse_public(raw: bytes) -> TpmPublic:
    """Parses a TPMT_PUBLIC.

    Args:
        raw: untrusted bytes, exactly one structure, without the size of a TPM2B_PUBLIC.

    Raises:
        PeerError: ``too-large``; ``malformed`` naming the field, also for SHA-1, for reserved attribute bits, and for
            key types, curves, hash algorithms, schemes and symmetric algorithms that we do not use.
    """
    if len(raw) > MAX_PUBLIC_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"public area: {len(raw)} bytes, the limit is {MAX_PUBLIC_BYTES}")
    reader = Reader(raw, "big")
    kind = reader.uint(2, "public type")
    if kind not in (_TPM_ALG_RSA, _TPM_ALG_ECC):
        raise PeerError(Reason.MALFORMED, f"public type {kind:#06x}: neither RSA nor ECC")
    name_alg = signing_hash(reader.uint(2, "public nameAlg"))
    attributes = reader.uint(4, "public objectAttributes")
    if attributes & ~_ATTRIBUTES_DEFINED:
        raise PeerError(Reason.MALFORMED, f"public objectAttributes {attributes:#010x}: reserved bits are set")
    auth_policy = reader.sized(2, MAX_POLICY_BYTES, "public authPolicy")
    symmetric_bits = _read_symmetric(reader)
    scheme = _read_scheme(reader)
    key = _read_rsa(reader) if kind == _TPM_ALG_RSA else _read_ecc(reader)
    reader.finish("public area")
    return TpmPublic(
        raw=raw,
        name_alg=name_alg,
        attributes=ObjectAttributes(attributes),
        auth_policy=auth_policy,
        symmetric_bits=symmetric_bits,
        scheme=scheme,
        key=key,
    )


def parse_sized_public(raw: bytes) -> TpmPublic:
    """Parses a TPM2B_PUBLIC: two bytes of size and a TPMT_PUBLIC. The files of tpm2-tools hold this form.

    Raises:
        PeerError: as :func:`parse_public`.
    """
    reader = Reader(raw, "big")
    public = reader.sized(2, MAX_PUBLIC_BYTES, "public area")
    reader.finish("TPM2B_PUBLIC")
    return parse_public(public)


def check_attestation_key(public: TpmPublic) -> None:
    """Checks that a key signs only structures that its own TPM generated, and has never left that TPM.

    1. fixedTPM, fixedParent, sensitiveDataOrigin, restricted and sign are set, decrypt is not;
    2. its own scheme is RSASSA, RSAPSS or ECDSA with a hash we accept;
    3. we accept the kind of key (:func:`schemas.tpm.signature.check_key`).

    Raises:
        PeerError: ``attesting-key-mismatch`` naming the failed check; ``malformed`` if the public key is not valid.
    """
    missing = ATTESTATION_KEY_ATTRIBUTES & ~public.attributes
    if missing:
        raise PeerError(Reason.ATTESTING_KEY_MISMATCH, f"not an attestation key: lacks {missing.name}")
    if public.attributes & ObjectAttributes.DECRYPT:
        raise PeerError(Reason.ATTESTING_KEY_MISMATCH, "not an attestation key: it can decrypt")
    fitting = (
        (SignatureScheme.ECDSA,) if isinstance(public.key, EccKey) else (SignatureScheme.RSASSA, SignatureScheme.RSAPSS)
    )
    if public.scheme is None or public.scheme.tpm_id not in fitting:
        expected = " or ".join(scheme.name for scheme in fitting)
        raise PeerError(Reason.ATTESTING_KEY_MISMATCH, f"not an attestation key: its scheme is not {expected}")
    check_key(public.public_key(), Reason.ATTESTING_KEY_MISMATCH)


def qualified_name(parent: int | bytes, name: bytes) -> bytes:
    """The qualified name of an object (Part 1, "Qualified Names").

    It is ``nameAlg || H(qualified name of the parent || name)``.

    Args:
        parent: for a primary key the handle of its hierarchy, for instance ``TPM_RH_ENDORSEMENT``; for other keys the
            qualified name of the parent.
        name: name of the object; its first two bytes are the TPM_ALG_ID of its hash.

    Raises:
        PeerError: ``malformed`` if ``name`` is not an object's name.
    """
    reader = Reader(name, "big")
    algorithm = signing_hash(reader.uint(2, "name algorithm"))
    reader.take(algorithm.size, "name digest")
    reader.finish("name")
    above = parent.to_bytes(4, "big") if isinstance(parent, int) else parent
    return algorithm.tpm_id.to_bytes(2, "big") + algorithm.digest(above + name)


def _read_symmetric(reader: Reader) -> int | None:
    """Reads a TPMT_SYM_DEF_OBJECT: NULL or AES-CFB. Returns the key size."""
    algorithm = reader.uint(2, "public symmetric")
    if algorithm == _TPM_ALG_NULL:
        return None
    bits = reader.uint(2, "public symmetric keyBits")
    mode = reader.uint(2, "public symmetric mode")
    if algorithm != _TPM_ALG_AES or bits not in _AES_KEY_BITS or mode != _TPM_ALG_CFB:
        message = f"public symmetric {algorithm:#06x}, {bits} bits, mode {mode:#06x}: expected NULL or AES-CFB"
        raise PeerError(Reason.MALFORMED, message)
    return bits


def _read_scheme(reader: Reader) -> KeyScheme | None:
    """Reads a TPMT_RSA_SCHEME or TPMT_ECC_SCHEME. The caller checks that the scheme fits the key."""
    tpm_id = reader.uint(2, "public scheme")
    if tpm_id == _TPM_ALG_NULL:
        return None
    if tpm_id == _TPM_ALG_RSAES:
        return KeyScheme(tpm_id=tpm_id, hash=None)
    if tpm_id not in _HASHED_SCHEMES:
        raise PeerError(Reason.MALFORMED, f"public scheme {tpm_id:#06x}: unknown")
    return KeyScheme(tpm_id=tpm_id, hash=signing_hash(reader.uint(2, "public scheme hash")))


def _read_rsa(reader: Reader) -> RsaKey:
    bits = reader.uint(2, "public keyBits")
    exponent = reader.uint(4, "public exponent") or _DEFAULT_RSA_EXPONENT
    return RsaKey(bits=bits, exponent=exponent, modulus=reader.sized(2, MAX_RSA_BYTES, "public modulus"))


def _read_ecc(reader: Reader) -> EccKey:
    number = reader.uint(2, "public curveID")
    curve = _CURVES.get(number)
    if curve is None:
        raise PeerError(Reason.MALFORMED, f"public curveID {number:#06x}: expected P-256, P-384 or P-521")
    kdf = reader.uint(2, "public kdf")
    if kdf in _KDF_SCHEMES:
        signing_hash(reader.uint(2, "public kdf hash"))
    elif kdf != _TPM_ALG_NULL:
        raise PeerError(Reason.MALFORMED, f"public kdf {kdf:#06x}: unknown")
    x = reader.sized(2, MAX_ECC_PARAMETER_BYTES, "public x")
    y = reader.sized(2, MAX_ECC_PARAMETER_BYTES, "public y")
    return EccKey(curve=curve, x=x, y=y)
