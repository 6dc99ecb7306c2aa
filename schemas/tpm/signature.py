"""TPMT_SIGNATURE and its verification (TCG TPM 2.0 Library Part 2, "Signatures").

Accepts RSASSA-PKCS1-v1_5, RSA-PSS and ECDSA with SHA-256, SHA-384 or SHA-512, over NIST P-256, P-384 and P-521 or RSA
of 2048 to 8192 bits. Refuses SHA-1. Pure; verification raises or returns nothing.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from schemas import limits
from schemas.codecs.reader import Reader
from schemas.errors import PeerError
from schemas.hashes import BY_TPM_ID, SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from schemas.reasons import Reason

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
"""A key that can verify a TPM's signature."""

MIN_RSA_BITS: Final = 2048
MAX_RSA_BYTES: Final = 1024  # of a modulus, and of a signature
MAX_RSA_BITS: Final = 8 * MAX_RSA_BYTES
MIN_RSA_EXPONENT: Final = 65537
MAX_ECC_PARAMETER_BYTES: Final = 66  # P-521: 521 bits


class SignatureScheme(IntEnum):
    """TPM_ALG_ID of the signature schemes we accept (TCG Algorithm Registry, table 3)."""

    RSASSA = 0x0014
    RSAPSS = 0x0016
    ECDSA = 0x0018


_SCHEMES: Final = {int(scheme): scheme for scheme in SignatureScheme}
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_HASHES: Final = {SHA256.name: hashes.SHA256(), SHA384.name: hashes.SHA384(), SHA512.name: hashes.SHA512()}
_ECDSA: Final = {name: ec.ECDSA(algorithm) for name, algorithm in _HASHES.items()}
_PKCS1V15: Final = padding.PKCS1v15()
# TPMs use the longest salt that fits, in FIPS mode one as long as the digest (Part 1, "RSASSA_PSS"): accept any length.
_PSS: Final = {
    name: padding.PSS(mgf=padding.MGF1(algorithm), salt_length=padding.PSS.AUTO) for name, algorithm in _HASHES.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """TPMT_SIGNATURE, well-formed; it proves nothing until :func:`verify_signature` accepts it.

    Attributes:
        scheme: RSASSA, RSAPSS or ECDSA.
        hash: SHA-256, SHA-384 or SHA-512.
        value: RSA: the signature, big-endian. ECDSA: DER of ``SEQUENCE { r, s }`` (RFC 3279, 2.2.3).
    """

    scheme: SignatureScheme
    hash: HashAlgorithm
    value: bytes


def parse_signature(raw: bytes) -> Signature:
    """Parses a TPMT_SIGNATURE.

    Args:
        raw: untrusted bytes, exactly one structure.

    Raises:
        PeerError: ``too-large``; ``malformed`` for an unknown scheme, SHA-1 or an unknown hash, an empty or oversized
            value, trailing bytes.
    """
    if len(raw) > limits.MAX_SIGNATURE_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"signature: {len(raw)} bytes, the limit is {limits.MAX_SIGNATURE_BYTES}")
    reader = Reader(raw, "big")
    number = reader.uint(2, "signature scheme")
    scheme = _SCHEMES.get(number)
    if scheme is None:
        raise PeerError(Reason.MALFORMED, f"signature scheme {number:#06x}: expected RSASSA, RSAPSS or ECDSA")
    algorithm = signing_hash(reader.uint(2, "signature hash"))
    if scheme is SignatureScheme.ECDSA:
        r = reader.sized(2, MAX_ECC_PARAMETER_BYTES, "signature r")
        s = reader.sized(2, MAX_ECC_PARAMETER_BYTES, "signature s")
        value = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    else:
        value = reader.sized(2, MAX_RSA_BYTES, "signature value")
        if not value:
            raise PeerError(Reason.MALFORMED, "signature value: empty")
    reader.finish("signature")
    return Signature(scheme=scheme, hash=algorithm, value=value)


def verify_signature(key: PublicKey, signature: Signature, message: bytes, reason: Reason) -> None:
    """Verifies a TPM's signature.

    1. the key is of an accepted kind (:func:`check_key`);
    2. the signature's scheme fits the key's type;
    3. the signature over ``message`` is valid.

    Args:
        key: a key that the caller trusts; never one that came with the evidence.
        signature: from :func:`parse_signature`.
        message: the exact bytes that were signed.
        reason: the code to raise with, for instance ``quote-signature-invalid``.

    Raises:
        PeerError: ``reason``.
    """
    check_key(key, reason)
    name = signature.hash.name
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            if signature.scheme is not SignatureScheme.ECDSA:
                raise PeerError(reason, f"{signature.scheme.name} signature for an elliptic curve key")
            key.verify(signature.value, message, _ECDSA[name])
        elif signature.scheme is SignatureScheme.RSASSA:
            key.verify(signature.value, message, _PKCS1V15, _HASHES[name])
        elif signature.scheme is SignatureScheme.RSAPSS:
            key.verify(signature.value, message, _PSS[name], _HASHES[name])
        else:
            raise PeerError(reason, f"{signature.scheme.name} signature for an RSA key")
    except InvalidSignature as error:
        raise PeerError(reason, f"{signature.scheme.name} signature with {name} does not verify") from error


def check_key(key: PublicKey, reason: Reason) -> None:
    """Checks that we accept the kind of a key: P-256, P-384, P-521; RSA of 2048 to 8192 bits, exponent 65537 or more.

    Raises:
        PeerError: ``reason``.
    """
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, _CURVES):
            raise PeerError(reason, f"curve {key.curve.name}: expected P-256, P-384 or P-521")
        return
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise PeerError(reason, f"RSA key of {key.key_size} bits: expected {MIN_RSA_BITS} to {MAX_RSA_BITS}")
    exponent = key.public_numbers().e
    if exponent < MIN_RSA_EXPONENT:  # the cryptography library refuses even exponents
        raise PeerError(reason, f"RSA exponent {exponent}: expected at least {MIN_RSA_EXPONENT}")


def signing_hash(tpm_id: int) -> HashAlgorithm:
    """The hash algorithm of a signature or a TPM name: SHA-256, SHA-384 or SHA-512.

    Raises:
        PeerError: ``malformed`` for SHA-1 and for unknown numbers.
    """
    algorithm = BY_TPM_ID.get(tpm_id)
    if algorithm is None or algorithm is SHA1:
        raise PeerError(Reason.MALFORMED, f"hash algorithm {tpm_id:#06x}: expected SHA-256, SHA-384 or SHA-512")
    return algorithm
