"""Verifies the path from a TPM's certificate to a configured root, and checks that nothing on it is revoked. Pure.

Uses its own extension policies instead of those for web servers (docs/adr/0009): TPM certificates have no subject, and
a critical subject alternative name that web validators do not know. Revocation lists come from the operator's files; no
server is asked. ``ek_certificate`` and ``iak_certificate`` check the content of the certificate itself.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from schemas.errors import PeerError
from schemas.messages.enrolment import MAX_CHAIN
from schemas.reasons import Reason

_TCG_PURPOSES: Final = "2.23.133.8."  # tcg-kp: EK, attestation key, IAK and IDevID certificates

E = TypeVar("E", bound=x509.ExtensionType)

# The exceptions of ``cryptography`` for bytes that are not a certificate; some are not a ValueError.
_NO_CERTIFICATE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendors:
    """The certificates and revocation lists of the TPM vendors that the operator trusts.

    Attributes:
        roots: for endorsement keys: a name, used in approval rules and records, and the certificate.
        iak_roots: likewise, for initial attestation keys.
        intermediates: intermediate certificates that devices do not send.
        revocations: lists, each for the certificates of its issuer.
        require_revocation: whether every certificate below the root needs a list.
    """

    roots: Sequence[tuple[str, x509.Certificate]]
    intermediates: Sequence[x509.Certificate] = ()
    iak_roots: Sequence[tuple[str, x509.Certificate]] = ()
    revocations: Sequence[x509.CertificateRevocationList] = ()
    require_revocation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmCertificate:
    """A verified certificate of a key in a TPM.

    Attributes:
        key: DER SubjectPublicKeyInfo of the certified key.
        serial: serial number, lower-case hexadecimal.
        root: name of the root at the end of its path.
        subject: the certificate's description of the TPM or device, for people.
    """

    key: bytes
    serial: str
    root: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of certificate: its name in errors, and its reason codes."""

    name: str
    untrusted: Reason
    revoked: Reason


def load_certificate(raw: bytes) -> x509.Certificate:
    """A certificate from its DER, without trailing bytes.

    Raises:
        PeerError: ``malformed``.
    """
    try:
        certificate = x509.load_der_x509_certificate(raw)
        _ = certificate.extensions, certificate.public_key(), certificate.subject  # parsed on demand otherwise
    except _NO_CERTIFICATE as error:
        raise PeerError(Reason.MALFORMED, f"certificate: {error}") from error
    return certificate


def verify_path(
    certificate: x509.Certificate,
    chain: Iterable[bytes],
    kind: Kind,
    roots: Sequence[tuple[str, x509.Certificate]],
    vendors: Vendors,
    now_s: int,
) -> str:
    """Verifies the path from a certificate to one of ``roots``.

    1. The path has at most :data:`schemas.messages.enrolment.MAX_CHAIN` certificates. All are valid now. Each is signed
       by the next, which is a CA (RFC 5280, by ``cryptography``'s path builder) and may sign certificates. Where an
       intermediate limits the key purposes of its certificates, one of the TCG's purposes is among them.
    2. No certificate below the root is on a revocation list of its issuer. At least one list of each issuer is signed,
       complete and current, if there is any.

    Args:
        certificate: at the start of the path.
        chain: DER of certificates that the device sent along; helpful, not trusted.
        kind: of certificate, for errors.
        roots: possible ends of the path.
        vendors: intermediates and revocation lists.
        now_s: UTC seconds.

    Returns:
        the root's name.

    Raises:
        PeerError: ``kind.untrusted``, ``kind.revoked``, ``revocation-unknown``, ``malformed``.
    """
    helpers = [*map(load_certificate, chain), *vendors.intermediates]
    now = datetime.fromtimestamp(now_s, UTC)
    path = _build_path(certificate, helpers, kind, roots, now)
    for subject, issuer in itertools.pairwise(path):
        _check_revocation(subject, issuer, kind, vendors, now)
    return next(name for name, root in roots if root == path[-1])


def _build_path(
    certificate: x509.Certificate,
    helpers: Sequence[x509.Certificate],
    kind: Kind,
    roots: Sequence[tuple[str, x509.Certificate]],
    now: datetime,
) -> Sequence[x509.Certificate]:
    if not roots:
        raise PeerError(kind.untrusted, f"{kind.name}: no root is configured for this kind")
    authority = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    policy = (
        PolicyBuilder()
        .store(Store([root for _, root in roots]))
        .time(now)
        .max_chain_depth(MAX_CHAIN)
        .extension_policies(ee_policy=ExtensionPolicy.permit_all(), ca_policy=authority)
    )
    try:
        path = policy.build_client_verifier().verify(certificate, list(helpers)).chain
    except (VerificationError, ValueError, UnsupportedAlgorithm) as error:
        raise PeerError(kind.untrusted, f"{kind.name} {certificate.serial_number:x}: {error}") from error
    for each in path[1:]:
        usage = extension(each, x509.KeyUsage)
        if usage is not None and not usage.key_cert_sign:
            raise PeerError(kind.untrusted, f"{kind.name}: its issuer may not sign certificates")
    for each in path[1:-1]:  # the operator chose the root for TPMs
        purposes = extension(each, x509.ExtendedKeyUsage)
        if purposes is not None and not any(map(_is_for_tpms, purposes)):
            raise PeerError(kind.untrusted, f"{kind.name}: its issuer certifies other things than TPMs")
    return path


def _is_for_tpms(purpose: x509.ObjectIdentifier) -> bool:
    return purpose == ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE or purpose.dotted_string.startswith(_TCG_PURPOSES)


def _check_revocation(
    subject: x509.Certificate, issuer: x509.Certificate, kind: Kind, vendors: Vendors, now: datetime
) -> None:
    """Checks every list of this issuer. A list that is invalid or out of date never clears a certificate."""
    lists = [each for each in vendors.revocations if each.issuer == issuer.subject]
    if not lists and vendors.require_revocation:
        raise PeerError(Reason.REVOCATION_UNKNOWN, f"no revocation list of {issuer.subject.rfc4514_string()}")
    problems = []
    for each in lists:
        if each.get_revoked_certificate_by_serial_number(subject.serial_number) is not None and _is_signed(
            each, issuer
        ):
            raise PeerError(
                kind.revoked,
                f"certificate {subject.serial_number:x} of {issuer.subject.rfc4514_string()} is revoked",
            )
        problem = _problem_of(each, issuer, now)
        if problem is not None:
            problems.append(problem)
    if lists and len(problems) == len(lists):
        raise PeerError(
            Reason.REVOCATION_UNKNOWN, f"revocation list of {issuer.subject.rfc4514_string()}: {problems[0]}"
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
    usage = extension(issuer, x509.KeyUsage)
    if usage is not None and not usage.crl_sign:
        return "its issuer may not sign revocation lists"
    if revocations.last_update_utc > now:
        return f"from the future ({revocations.last_update_utc:%Y-%m-%d})"
    if revocations.next_update_utc is None or revocations.next_update_utc < now:
        return "out of date; put the vendor's newest one there"
    if any(extension.critical for extension in revocations.extensions):
        return "partial (it has a critical extension); only complete lists are understood"
    return None


def extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    """An extension of a certificate; None if it has none."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
