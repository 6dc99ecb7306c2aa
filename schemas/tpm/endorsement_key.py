"""The endorsement key as the TCG defines it: templates L-1 (RSA 2048) and L-2 (NIST P-256), certificates in NV.

Sources: TCG EK Credential Profile for TPM Family 2.0, 2.5: B.3 (templates), 2.2.1.4 (NV indices of certificates),
2.2.1.5 (handles); TPM 2.0 Part 2, "Public Area Structures".
"""

from typing import Final

from schemas.errors import PeerError
from schemas.hashes import SHA256
from schemas.reasons import Reason
from schemas.tpm.public import EccCurve, EccKey, ObjectAttributes, TpmPublic

EK_ATTRIBUTES: Final = (
    ObjectAttributes.FIXED_TPM
    | ObjectAttributes.FIXED_PARENT
    | ObjectAttributes.SENSITIVE_DATA_ORIGIN
    | ObjectAttributes.ADMIN_WITH_POLICY
    | ObjectAttributes.RESTRICTED
    | ObjectAttributes.DECRYPT
)
# PolicyA, TPM2_PolicySecret(TPM_RH_ENDORSEMENT) with SHA-256.
EK_POLICY: Final = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
EK_SYMMETRIC_BITS: Final = 128
EK_RSA_BITS: Final = 2048

NV_CERTIFICATE_RSA: Final = 0x01C0_0002
NV_CERTIFICATE_P256: Final = 0x01C0_000A
NV_CHAIN: Final = range(0x01C0_0100, 0x01C0_0200)
_DER_SEQUENCE: Final = 0x30
_DER_TWO_BYTES: Final = 0x82  # certificates are 256 to 65,535 bytes long


def check_endorsement_key(public: TpmPublic) -> None:
    """Checks that a public area matches template L-1 or L-2.

    A certificate covers only the public key, not the rest of the public area. A key with the same modulus but other
    attributes could be used for something else.

    Raises:
        PeerError: ``ek-template-mismatch`` naming the field that differs.
    """
    key = public.key
    expected = (
        ("nameAlg is SHA-256", public.name_alg == SHA256),
        (f"attributes are {EK_ATTRIBUTES:#010x}", public.attributes == EK_ATTRIBUTES),
        ("policy is PolicyA", public.auth_policy == EK_POLICY),
        (f"children are protected with AES-{EK_SYMMETRIC_BITS}", public.symmetric_bits == EK_SYMMETRIC_BITS),
        ("it has no scheme of its own", public.scheme is None),
        (
            "it is RSA 2048 or NIST P-256",
            key.curve == EccCurve.NIST_P256 if isinstance(key, EccKey) else key.bits == EK_RSA_BITS,
        ),
    )
    for rule, holds in expected:
        if not holds:
            raise PeerError(Reason.EK_TEMPLATE_MISMATCH, f"endorsement key: templates L-1 and L-2 require that {rule}")


def split_certificates(raw: bytes) -> tuple[bytes, ...]:
    """Splits the content of NV indices into DER certificates. The indices are often larger than their certificates.

    Args:
        raw: certificates one after the other, then padding: the first bytes that do not begin a certificate.

    Returns:
        The bytes of each certificate, not parsed. The last one may be cut short.
    """
    found = []
    while len(raw) > 4 and raw[0] == _DER_SEQUENCE and raw[1] == _DER_TWO_BYTES:  # noqa: PLR2004 a DER head
        end = 4 + int.from_bytes(raw[2:4], "big")
        found.append(raw[:end])
        raw = raw[end:]
    return tuple(found)
