"""Verifies a TPM as genuine without an EK certificate: an initial attestation key (IAK) certifies the attesting key.

TCG "TPM 2.0 Keys for Device Identity and Attestation" 1.0 and IEEE 802.1AR: the device's manufacturer left a restricted
signing key in its TPM, with a certificate for the attestation key purpose. A TPM2_Certify by that key over the
attesting key's TPM name proves that both keys are in one TPM.

It proves nothing about the endorsement key. Therefore the registry accepts each IAK for one device only.
"""

from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ObjectIdentifier

from endorser.core.certificate_path import Kind, TpmCertificate, Vendors, extension, load_certificate, verify_path
from schemas.errors import PeerError
from schemas.messages.enrolment import IakProof
from schemas.reasons import Reason
from schemas.tpm.certify import parse_certify
from schemas.tpm.signature import parse_signature, verify_signature

_ATTESTATION_PURPOSE: Final = ObjectIdentifier("2.23.133.8.3")  # tcg-kp-AIKCertificate
_MAX_TEXT: Final = 128
_KIND: Final = Kind(
    name="IAK certificate", untrusted=Reason.IAK_CERTIFICATE_UNTRUSTED, revoked=Reason.IAK_CERTIFICATE_REVOKED
)


def verify_iak(
    proof: IakProof, name: bytes, nonce: bytes, chain: Iterable[bytes], vendors: Vendors, now_s: int
) -> TpmCertificate:
    """Verifies that an IAK with a certificate certified an attesting key.

    1. A path leads from the certificate to an IAK root, and nothing on it is revoked. 2. The certificate has the
    attestation key purpose and is not a CA's. 3. Its key signed a TPM2_Certify. 4. That is for this name and nonce.

    Args:
        proof: certificate, TPMS_ATTEST and TPMT_SIGNATURE.
        name: TPM name of the attesting key.
        nonce: of the request.
        chain: DER of certificates that the device sent along; helpful, not trusted.
        vendors: whom to trust.
        now_s: UTC seconds.

    Raises:
        PeerError: ``iak-certificate-untrusted``, ``iak-certificate-revoked``, ``revocation-unknown``,
            ``iak-certificate-unfit``, ``iak-certification-invalid``, ``malformed``, ``too-large``,
            ``attest-not-tpm-generated``, ``attest-type-wrong``.
    """
    certificate = load_certificate(proof.certificate)
    root = verify_path(certificate, chain, _KIND, vendors.iak_roots, vendors, now_s)
    key = certificate.public_key()
    purposes = extension(certificate, x509.ExtendedKeyUsage)
    constraints = extension(certificate, x509.BasicConstraints)
    if purposes is None or _ATTESTATION_PURPOSE not in purposes or (constraints is not None and constraints.ca):
        raise PeerError(
            Reason.IAK_CERTIFICATE_UNFIT,
            f"IAK certificate: not one of key purpose {_ATTESTATION_PURPOSE.dotted_string}",
        )
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise PeerError(Reason.IAK_CERTIFICATE_UNFIT, "IAK certificate: its key is neither RSA nor ECC")
    verify_signature(key, parse_signature(proof.signature), proof.attest, Reason.IAK_CERTIFICATION_INVALID)
    certified = parse_certify(proof.attest)
    if certified.name != name or certified.extra_data != nonce:
        raise PeerError(Reason.IAK_CERTIFICATION_INVALID, "the IAK certified another key, or for another request")
    return TpmCertificate(
        key=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        serial=format(certificate.serial_number, "x"),
        root=root,
        subject=certificate.subject.rfc4514_string()[:_MAX_TEXT],
    )
