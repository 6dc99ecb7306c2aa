"""Verifies that a certificate belongs to the endorsement key of a genuine TPM. Pure.

:func:`verify_ek_certificate` checks, in this order:

1. A path leads to a configured root, and nothing on it is revoked (:mod:`endorser.core.certificate_path`).
2. The content follows the TCG EK Credential Profile 2.5 (3.2): it has the EK key purpose, is not a CA's, has a key
   usage for decryption or key agreement, and a subject alternative name with the TPM's manufacturer, model and version.

Old EK certificates without the key purpose are refused.
"""

from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ObjectIdentifier

from endorser.core.certificate_path import Kind, TpmCertificate, Vendors, extension, load_certificate, verify_path
from schemas.errors import PeerError
from schemas.reasons import Reason

_KIND: Final = Kind(
    name="EK certificate", untrusted=Reason.EK_CERTIFICATE_UNTRUSTED, revoked=Reason.EK_CERTIFICATE_REVOKED
)
_EK_PURPOSE: Final = ObjectIdentifier("2.23.133.8.1")  # tcg-kp-EKCertificate
_SUBJECT_ATTRIBUTES: Final = {  # EK Credential Profile 2.5, 3.2.9
    ObjectIdentifier("2.23.133.2.1"): "manufacturer",
    ObjectIdentifier("2.23.133.2.2"): "model",
    ObjectIdentifier("2.23.133.2.3"): "version",
}
_MAX_TEXT: Final = 64


def verify_ek_certificate(raw: bytes, chain: Iterable[bytes], vendors: Vendors, now_s: int) -> TpmCertificate:
    """Verifies an EK certificate.

    Args:
        raw: DER.
        chain: DER of certificates that the device sent along; helpful, not trusted.
        vendors: whom to trust.
        now_s: UTC seconds.

    Raises:
        PeerError: ``ek-certificate-untrusted``, ``ek-certificate-unfit``, ``ek-certificate-revoked``,
            ``revocation-unknown``, ``malformed``.
    """
    certificate = load_certificate(raw)
    root = verify_path(certificate, chain, _KIND, vendors.roots, vendors, now_s)
    return TpmCertificate(
        key=certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        serial=format(certificate.serial_number, "x"),
        root=root,
        subject=_check_profile(certificate),
    )


def _check_profile(certificate: x509.Certificate) -> str:
    """Checks the certificate's content; returns the TPM's manufacturer, model and version."""
    purposes = extension(certificate, x509.ExtendedKeyUsage)
    if purposes is None or _EK_PURPOSE not in purposes:
        raise _unfit(f"lacks the key purpose {_EK_PURPOSE.dotted_string}")
    constraints = extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise _unfit("it is a CA's")
    usage, key = extension(certificate, x509.KeyUsage), certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise _unfit("its key is neither RSA nor ECC")
    decrypts = usage is None or (usage.key_encipherment if isinstance(key, rsa.RSAPublicKey) else usage.key_agreement)
    if not decrypts:
        raise _unfit("its key usage does not fit an endorsement key")
    names = extension(certificate, x509.SubjectAlternativeName)
    found: dict[str, str] = {}
    for directory in [] if names is None else names.get_values_for_type(x509.DirectoryName):
        for attribute in directory:
            what = _SUBJECT_ATTRIBUTES.get(attribute.oid)
            if what is not None:
                found[what] = str(attribute.value)[:_MAX_TEXT]
    missing = [f"TPM {what}" for what in _SUBJECT_ATTRIBUTES.values() if what not in found]
    if missing:
        raise _unfit(f"its subject alternative name lacks the {', '.join(missing)}")
    return " ".join(found[what] for what in _SUBJECT_ATTRIBUTES.values())


def _unfit(why: str) -> PeerError:
    return PeerError(Reason.EK_CERTIFICATE_UNFIT, f"EK certificate: {why} (TCG EK Credential Profile)")
