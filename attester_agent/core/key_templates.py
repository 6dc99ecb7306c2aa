"""Templates (TPMT_PUBLIC) of a device's attesting key and endorsement key.

Both are primary keys: the TPM derives them from its seed and the template, so an evicted key can be made again.
Sources: TPM 2.0 Part 2, "Public Area Structures"; TCG EK Credential Profile 2.5, B.3 (templates L-1 and L-2).
"""

import struct
from typing import Final

from schemas.hashes import SHA256
from schemas.tpm.endorsement_key import EK_ATTRIBUTES, EK_POLICY
from schemas.tpm.public import (
    ATTESTATION_KEY_ATTRIBUTES,
    EccCurve,
    ObjectAttributes,
)
from schemas.tpm.signature import SignatureScheme

AK_ATTRIBUTES: Final = ATTESTATION_KEY_ATTRIBUTES | ObjectAttributes.USER_WITH_AUTH | ObjectAttributes.NO_DA
"""noDA: a lockout after wrong passwords elsewhere must not stop attestation. This key has no password to guess."""

_ALG_RSA: Final = 0x0001
_ALG_AES: Final = 0x0006
_ALG_NULL: Final = 0x0010
_ALG_ECC: Final = 0x0023
_ALG_CFB: Final = 0x0043
_RSA_BITS: Final = 2048
_AES_BITS: Final = 128
_COORDINATE_BYTES: Final = 32
_NO_SYMMETRIC: Final = struct.pack(">H", _ALG_NULL)
_EK_SYMMETRIC: Final = struct.pack(">HHH", _ALG_AES, _AES_BITS, _ALG_CFB)
_NO_SCHEME: Final = struct.pack(">H", _ALG_NULL)


def ak_template(*, rsa: bool) -> bytes:
    """TPMT_PUBLIC of a restricted signing key: ECDSA over P-256, or RSASSA with 2048 bits."""
    if rsa:
        scheme = struct.pack(">HH", SignatureScheme.RSASSA, SHA256.tpm_id)
        return _head(_ALG_RSA, AK_ATTRIBUTES, b"") + _NO_SYMMETRIC + scheme + _rsa(b"")
    scheme = struct.pack(">HH", SignatureScheme.ECDSA, SHA256.tpm_id)
    return _head(_ALG_ECC, AK_ATTRIBUTES, b"") + _NO_SYMMETRIC + scheme + _p256(b"")


def ek_template(*, rsa: bool) -> bytes:
    """TPMT_PUBLIC of the endorsement key that every TPM can make: L-1 (RSA 2048) or L-2 (P-256)."""
    if rsa:
        return _head(_ALG_RSA, EK_ATTRIBUTES, EK_POLICY) + _EK_SYMMETRIC + _NO_SCHEME + _rsa(bytes(_RSA_BITS // 8))
    return _head(_ALG_ECC, EK_ATTRIBUTES, EK_POLICY) + _EK_SYMMETRIC + _NO_SCHEME + _p256(bytes(_COORDINATE_BYTES))


def _head(kind: int, attributes: ObjectAttributes, policy: bytes) -> bytes:
    return struct.pack(">HHI", kind, SHA256.tpm_id, attributes) + _sized(policy)


def _rsa(unique: bytes) -> bytes:
    return struct.pack(">HI", _RSA_BITS, 0) + _sized(unique)


def _p256(coordinate: bytes) -> bytes:
    return struct.pack(">HH", EccCurve.NIST_P256, _ALG_NULL) + 2 * _sized(coordinate)


def _sized(content: bytes) -> bytes:
    return struct.pack(">H", len(content)) + content
