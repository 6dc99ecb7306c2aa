"""Is this the certificate of a genuine TPM's endorsement key? Bytes and the time in, the verified certificate out.

:func:`verify_ek_certificate` answers, in this order:

1. a chain of at most five certificates leads from it to a configured root, all valid now and signed one by the next
   (RFC 5280, by ``cryptography``'s path builder);
2. it says of itself what the TCG EK Credential Profile 2.5 (3.2) asks: the EK key purpose, not a CA, a key usage that
   decrypts or agrees, and in the subject alternative name the manufacturer, model and version of the TPM;
3. no certificate below the root is on its issuer's revocation list, and the lists there are, are signed and fresh.

The subject of EK certificates is empty or arbitrary and the subject alternative name then critical, with a
directoryName that web validators do not know: hence policies of our own instead of the web's. Old EK certificates
without the key purpose are refused. Does not ask anyone: lists are the operator's files.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ObjectIdentifier
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from schemas.enrolment import MAX_CHAIN
from schemas.errors import PeerError
from schemas.reasons import Reason

E = TypeVar("E", bound=x509.ExtensionType)
_EK_PURPOSE: Final = ObjectIdentifier("2.23.133.8.1")  # tcg-kp-EKCertificate
_SUBJECT_ATTRIBUTES: Final = {  # EK Credential Profile 2.5, 3.2.9
    ObjectIdentifier("2.23.133.2.1"): "manufacturer",
    ObjectIdentifier("2.23.133.2.2"): "model",
    ObjectIdentifier("2.23.133.2.3"): "version",
}
_MAX_TEXT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendors:
    """Whom the operator trusts to certify endorsement keys.

    Attributes:
        roots: name, for approval rules and records, and certificate.
        intermediates: certificates that devices do not carry.
        revocations: lists, from files; which certificates they are about, their issuers say.
        require_revocation: whether every certificate below the root needs a list.
    """

    roots: Sequence[tuple[str, x509.Certificate]]
    intermediates: Sequence[x509.Certificate] = ()
    revocations: Sequence[x509.CertificateRevocationList] = ()
    require_revocation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EkCertificate:
    """A verified EK certificate.

    Attributes:
        key: DER SubjectPublicKeyInfo of the certified key.
        serial: serial number, lower-case hexadecimal.
        root: name of the root it leads to.
        manufacturer, model, version: of the TPM, as certified: ``id:53544D20``.
    """

    key: bytes
    serial: str
    root: str
    manufacturer: str
    model: str
    version: str


def verify_ek_certificate(raw: bytes, chain: Iterable[bytes], vendors: Vendors, now_s: int) -> EkCertificate:
    """Verifies an EK certificate.

    Args:
        raw: DER.
        chain: DER of certificates that the device sent along; helpful, not trusted.
        vendors: whom to trust.
        now_s: UTC seconds.

    Raises:
        PeerError: ``ek-certificate-untrusted``, ``ek-certificate-unfit``, ``ek-certificate-revoked``,
            ``ek-revocation-unknown``, ``malformed``.
    """
    certificate = _load(raw)
    helpers = [*(_load(each) for each in chain), *vendors.intermediates]
    now = datetime.fromtimestamp(now_s, UTC)
    path = _build_path(certificate, helpers, vendors, now)
    manufacturer, model, version = _check_profile(certificate)
    for subject, issuer in itertools.pairwise(path):
        _check_revocation(subject, issuer, vendors, now)
    anchor = path[-1]
    return EkCertificate(
        key=certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        serial=format(certificate.serial_number, "x"),
        root=next(name for name, root in vendors.roots if root == anchor),
        manufacturer=manufacturer,
        model=model,
        version=version,
    )


def _load(raw: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(raw)
        _ = certificate.extensions, certificate.public_key(), certificate.subject  # parsed on demand otherwise
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise PeerError(Reason.MALFORMED, f"certificate: {error}") from error
    return certificate


def _build_path(
    certificate: x509.Certificate, helpers: Sequence[x509.Certificate], vendors: Vendors, now: datetime
) -> Sequence[x509.Certificate]:
    authority = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    policy = (
        PolicyBuilder()
        .store(Store([root for _, root in vendors.roots]))
        .time(now)
        .max_chain_depth(MAX_CHAIN)
        .extension_policies(ee_policy=ExtensionPolicy.permit_all(), ca_policy=authority)
    )
    try:
        path = policy.build_client_verifier().verify(certificate, list(helpers)).chain
    except (VerificationError, ValueError, UnsupportedAlgorithm) as error:
        raise PeerError(
            Reason.EK_CERTIFICATE_UNTRUSTED, f"EK certificate {certificate.serial_number:x}: {error}"
        ) from error
    for each in path[1:]:
        usage = _extension(each, x509.KeyUsage)
        if usage is not None and not usage.key_cert_sign:
            raise PeerError(Reason.EK_CERTIFICATE_UNTRUSTED, "EK certificate: its issuer may not sign certificates")
    return path


def _check_profile(certificate: x509.Certificate) -> tuple[str, str, str]:
    """What the profile asks of the certificate itself; returns the TPM's manufacturer, model and version."""
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    if purposes is None or _EK_PURPOSE not in purposes:
        raise _unfit(f"lacks the key purpose {_EK_PURPOSE.dotted_string}")
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise _unfit("it is a CA's")
    usage, key = _extension(certificate, x509.KeyUsage), certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise _unfit("its key is neither RSA nor ECC")
    decrypts = usage is None or (usage.key_encipherment if isinstance(key, rsa.RSAPublicKey) else usage.key_agreement)
    if not decrypts:
        raise _unfit("its key usage is not that of an endorsement key")
    names = _extension(certificate, x509.SubjectAlternativeName)
    found: dict[str, str] = {}
    for directory in [] if names is None else names.get_values_for_type(x509.DirectoryName):
        for attribute in directory:
            what = _SUBJECT_ATTRIBUTES.get(attribute.oid)
            if what is not None:
                found[what] = str(attribute.value)[:_MAX_TEXT]
    missing = [f"TPM {what}" for what in _SUBJECT_ATTRIBUTES.values() if what not in found]
    if missing:
        raise _unfit(f"its subject alternative name lacks the {', '.join(missing)}")
    return found["manufacturer"], found["model"], found["version"]


def _check_revocation(subject: x509.Certificate, issuer: x509.Certificate, vendors: Vendors, now: datetime) -> None:
    """Every list of this issuer is looked at; what cannot be believed counts as no answer, never as a good one."""
    lists = [each for each in vendors.revocations if each.issuer == issuer.subject]
    if not lists and vendors.require_revocation:
        raise PeerError(Reason.EK_REVOCATION_UNKNOWN, f"no revocation list of {issuer.subject.rfc4514_string()}")
    problems = []
    for each in lists:
        if each.get_revoked_certificate_by_serial_number(subject.serial_number) is not None and _is_signed(
            each, issuer
        ):
            raise PeerError(
                Reason.EK_CERTIFICATE_REVOKED,
                f"certificate {subject.serial_number:x} of {issuer.subject.rfc4514_string()} is revoked",
            )
        problem = _problem_of(each, issuer, now)
        if problem is not None:
            problems.append(problem)
    if lists and len(problems) == len(lists):
        raise PeerError(
            Reason.EK_REVOCATION_UNKNOWN, f"revocation list of {issuer.subject.rfc4514_string()}: {problems[0]}"
        )


def _is_signed(revocations: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        return revocations.is_signature_valid(key)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False


def _problem_of(revocations: x509.CertificateRevocationList, issuer: x509.Certificate, now: datetime) -> str | None:
    if not _is_signed(revocations, issuer):
        return "its signature does not verify"
    usage = _extension(issuer, x509.KeyUsage)
    if usage is not None and not usage.crl_sign:
        return "its issuer may not sign revocation lists"
    if revocations.last_update_utc > now:
        return f"from the future ({revocations.last_update_utc:%Y-%m-%d})"
    if revocations.next_update_utc is None or revocations.next_update_utc < now:
        return "out of date; put the vendor's newest one there"
    if any(extension.critical for extension in revocations.extensions):
        return "partial (it has a critical extension); only complete lists are understood"
    return None


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _unfit(why: str) -> PeerError:
    return PeerError(Reason.EK_CERTIFICATE_UNFIT, f"EK certificate: {why} (TCG EK Credential Profile)")
