"""Verifies RFC 3161 tokens to the roots that the operator trusts. The only importer of rfc3161-client.

A returned :class:`TstInfo` guarantees: the token has exactly one signer. The signer's certificate chains to a trusted
root, was valid at genTime, and is for time stamping only (critical EKU). The signer signed, with SHA-256 or stronger,
this TSTInfo and the hash of its own certificate. The TSTInfo stamps exactly the given imprint.

rfc3161-client checks the chain, EKU, signature and imprint. This module checks the rest. The signed attributes must
exist and name TSTInfo, the content's digest and the signer's certificate (RFC 3161, 2.4.1; RFC 5816). No two
certificates may have the name that identifies the signer. SHA-1 must not carry the signature. Version and algorithm
fields, which no signature covers, have one allowed value. Tokens must be DER with ordered sets; the distributor makes
them so.

Not checked: revocation (operators remove a root instead) and a token's age (a handle's ``exp`` limits it). A token
must be in the one form that distributors issue, see ADR 21.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final, TypeVar

import rfc3161_client
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client.tsp import TimeStampResponse

from runtime.keys import read_file
from runtime.time_stamps.token_form import has_one_form
from schemas.codecs.tst_info import TstInfo, extract_tst_info, parse_tst_info
from schemas.errors import ConfigError, PeerError
from schemas.reasons import Reason

T = TypeVar("T")

_OID_TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"  # RFC 3161, 2.4.2
_OID_CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"  # RFC 5652, 11.1
_OID_MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"  # RFC 5652, 11.2
_OID_SIGNING_CERTIFICATE: Final = "1.2.840.113549.1.9.16.2.12"  # RFC 5035, 5.4.1 (hash is SHA-1)
_OID_SIGNING_CERTIFICATE_V2: Final = "1.2.840.113549.1.9.16.2.47"  # RFC 5035, 5.4.1.1
_SIGNED_DATA_VERSION: Final = 3  # RFC 5652, 5.1: the content is not id-data
_SIGNER_INFO_VERSION: Final = 1  # RFC 5652, 5.3: named by issuer and serial number
_OID_RSA: Final = "1.2.840.113549.1.1.1"
# digestAlgorithm → (hashlib's name, the signatureAlgorithms that match it); RFC 5754, 2 and 3. No SHA-1.
_DIGESTS: Final = {
    "2.16.840.1.101.3.4.2.1": ("sha256", (_OID_RSA, "1.2.840.113549.1.1.11", "1.2.840.10045.4.3.2")),
    "2.16.840.1.101.3.4.2.2": ("sha384", (_OID_RSA, "1.2.840.113549.1.1.12", "1.2.840.10045.4.3.3")),
    "2.16.840.1.101.3.4.2.3": ("sha512", (_OID_RSA, "1.2.840.113549.1.1.13", "1.2.840.10045.4.3.4")),
}
_OID_SHA256: Final = "2.16.840.1.101.3.4.2.1"
# The two libraries raise these on certificates and names that are DER but wrong.
_CERTIFICATE_ERRORS: Final = (
    ValueError,
    KeyError,  # rfc3161-client on a name with a string type it does not know
    TypeError,  # cryptography on a name with a bit string in place of text
    UserWarning,  # cryptography on odd names and serial numbers, if warnings are errors
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_FOR_TIME_STAMPING: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
_GRANTED: Final = bytes.fromhex("3003020100")  # PKIStatusInfo {status granted}


@asn1.sequence
class _Algorithm:
    oid: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _Attribute:
    oid: ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _SignerInfo:
    version: int
    signer: asn1.TLV
    digest_algorithm: _Algorithm
    signed_attributes: Annotated[asn1.SetOf[_Attribute] | None, asn1.Implicit(0)]
    signature_algorithm: _Algorithm
    signature: bytes
    unsigned_attributes: Annotated[asn1.SetOf[_Attribute] | None, asn1.Implicit(1)]


@asn1.sequence
class _IssuerAndSerial:
    issuer: asn1.TLV
    serial: int


@asn1.sequence
class _CertificateBody:  # RFC 5280, 4.1
    version: Annotated[int, asn1.Explicit(0)]
    serial: int
    signature_algorithm: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    public_key: asn1.TLV
    issuer_id: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_id: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]


@asn1.sequence
class _Certificate:
    body: _CertificateBody
    signature_algorithm: asn1.TLV
    signature: asn1.BitString


@asn1.sequence
class _SignedData:
    version: int
    digest_algorithms: asn1.SetOf[_Algorithm]
    content: asn1.TLV
    certificates: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(0)]
    crls: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(1)]
    signer_infos: asn1.SetOf[_SignerInfo]


@asn1.sequence
class _ContentInfo:
    content_type: ObjectIdentifier
    content: Annotated[_SignedData, asn1.Explicit(0)]


@asn1.sequence
class _EssCertId:  # ESSCertID, and ESSCertIDv2 with the default algorithm left out (RFC 5035, 5.4.1)
    cert_hash: bytes
    issuer_serial: list[asn1.TLV] | None


@asn1.sequence
class _EssCertIdV2:
    hash_algorithm: _Algorithm
    cert_hash: bytes
    issuer_serial: list[asn1.TLV] | None


@asn1.sequence
class _SigningCertificate:
    certificates: list[asn1.TLV]
    policies: list[asn1.TLV] | None


class TimeStampVerifier:
    """Implements :class:`schemas.messages.handle.StampVerifier`. Immutable after construction; threads may share it.

    Attributes:
        roots, intermediates: the trusted root certificates, and the intermediate ones it was given, DER.
    """

    def __init__(self, roots_pem: bytes, intermediates_pem: bytes = b"") -> None:
        """Parses the trust anchors.

        Args:
            roots_pem: one or more self-signed root certificates, PEM.
            intermediates_pem: intermediate certificates that the tokens do not contain, PEM; may be empty.

        Raises:
            ConfigError: these are not PEM certificates, there is no root, or a root is not self-signed.
        """
        roots = _certificates(roots_pem, "TSA roots")
        if not roots:
            raise ConfigError("TSA roots: no PEM certificate; give the root of every TSA you trust")
        for root in roots:
            if root.issuer != root.subject:
                raise ConfigError(
                    f"TSA root {root.subject.rfc4514_string()!r}: issued by {root.issuer.rfc4514_string()!r}; "
                    "give that root here and this certificate as an intermediate"
                )
        intermediates = _certificates(intermediates_pem, "TSA intermediates")
        self.roots, self.intermediates = map(_der, (roots, intermediates))
        # The library's builder shares and changes the lists it gets, so it gets copies.
        self._verifier = rfc3161_client.VerifierBuilder(roots=list(roots), intermediates=list(intermediates)).build()

    def verify_stamp(self, token: bytes, imprint: bytes) -> TstInfo:
        """Verifies a token over ``imprint`` and returns its TSTInfo.

        Args:
            token: DER TimeStampToken, a CMS ContentInfo (RFC 3161, 2.4.2).
            imprint: the SHA-256 that must have been stamped, 32 bytes.

        Raises:
            PeerError: ``handle-stamp-imprint-mismatch`` if the token stamps something else,
                ``handle-stamp-not-for-time-stamping`` if the signer's certificate is not for time stamping only,
                ``handle-stamp-invalid`` for everything else.
        """
        try:
            content = extract_tst_info(token)
            info = parse_tst_info(content)
        except PeerError as error:
            raise PeerError(Reason.HANDLE_STAMP_INVALID, error.detail) from error
        if info.imprint != imprint:
            raise PeerError(
                Reason.HANDLE_STAMP_IMPRINT_MISMATCH,
                f"the token stamps {info.imprint.hex()}, expected {imprint.hex()}",
            )
        signed = _signed_data(token)
        signer = _only_signer(signed)
        _check_signed_attributes(signer, _signer_certificate(signed, signer), content)
        try:
            self._verifier.verify(_granted(token), imprint)
        except (rfc3161_client.VerificationError, *_CERTIFICATE_ERRORS) as error:
            raise _invalid(str(error)) from error
        if not has_one_form(token):
            raise _invalid("not in the one form that distributors issue: see ADR 21")
        return info


def time_stamp_verifier_of(roots: Iterable[bytes], intermediates: Iterable[bytes] = ()) -> TimeStampVerifier:
    """A verifier from DER certificates: :attr:`TimeStampVerifier.roots` and ``intermediates`` of another one.

    Raises:
        ConfigError: as its constructor.
    """
    return TimeStampVerifier(b"".join(map(_pem, roots)), b"".join(map(_pem, intermediates)))


def load_time_stamp_verifier(roots: Iterable[Path], intermediates: Iterable[Path] = ()) -> TimeStampVerifier:
    """A verifier from PEM files.

    Raises:
        ConfigError: names the missing file, or the fault of the certificates.
    """
    root_files = tuple(roots)
    try:
        return TimeStampVerifier(_joined(root_files), _joined(intermediates))
    except ConfigError as error:
        raise ConfigError(f"{error.detail} (read from {', '.join(map(str, root_files)) or 'no file'})") from error


def _pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


def _der(certificates: Iterable[x509.Certificate]) -> tuple[bytes, ...]:
    return tuple(each.public_bytes(Encoding.DER) for each in certificates)


def _joined(files: Iterable[Path]) -> bytes:
    return b"\n".join(read_file(path) for path in files)


def _certificates(pem: bytes, field: str) -> Sequence[x509.Certificate]:
    if b"-----BEGIN" not in pem:
        if pem.strip():
            raise ConfigError(f"{field}: not PEM certificates")
        return ()
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigError(f"{field}: not PEM certificates ({error})") from error


def _invalid(detail: str) -> PeerError:
    return PeerError(Reason.HANDLE_STAMP_INVALID, f"time-stamp token: {detail}")


def _granted(token: bytes) -> TimeStampResponse:
    """Puts the token into a response that grants it, as the library requires."""
    body = _GRANTED + token
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    head = b"\x30" + (length if len(body) < 0x80 else bytes([0x80 | len(length)]) + length)  # noqa: PLR2004 X.690, 8.1.3.4
    return rfc3161_client.decode_timestamp_response(head + body)


def _signed_data(token: bytes) -> _SignedData:
    try:
        return asn1.decode_der(_ContentInfo, token).content
    except ValueError as error:
        raise _invalid(f"not DER SignedData with plain algorithms ({error})") from error


def _only_signer(signed: _SignedData) -> _SignerInfo:
    """The one SignerInfo, after checking each field that no signature covers for its one allowed value."""
    signers = signed.signer_infos.as_list()
    if len(signers) != 1:
        raise _invalid(f"{len(signers)} signers, expected exactly one")
    signer = signers[0]
    if signed.version != _SIGNED_DATA_VERSION or signer.version != _SIGNER_INFO_VERSION:
        raise _invalid(f"CMS versions {signed.version} and {signer.version}, expected 3 and 1")
    digest = signer.digest_algorithm.oid.dotted_string
    if digest not in _DIGESTS:
        raise _invalid(f"signed with digest {digest}, expected SHA-256, SHA-384 or SHA-512")
    if [algorithm.oid.dotted_string for algorithm in signed.digest_algorithms.as_list()] != [digest]:
        raise _invalid("digestAlgorithms is not exactly the signer's digest")
    if signer.signature_algorithm.oid.dotted_string not in _DIGESTS[digest][1]:
        raise _invalid(f"signature algorithm {signer.signature_algorithm.oid.dotted_string} does not match its digest")
    return signer


def _signer_certificate(signed: _SignedData, signer: _SignerInfo) -> x509.Certificate:
    """The one embedded certificate that the signer names, which must be for time stamping only.

    The library would accept any certificate with that name.
    """
    try:
        name = signer.signer.parse(_IssuerAndSerial)
        embedded = [asn1.encode_der(certificate) for certificate in _items(signed.certificates)]
        named = [der for der in embedded if _is_named(asn1.decode_der(_Certificate, der).body, name)]
        if len(named) != 1:
            raise _invalid(f"{len(named)} certificates with the signer's issuer and serial number, expected one")
        certificate = x509.load_der_x509_certificate(named[0])
        usages = [each for each in certificate.extensions if isinstance(each.value, x509.ExtendedKeyUsage)]
    except _CERTIFICATE_ERRORS as error:
        raise _invalid(f"certificates: {error}") from error
    if [(each.critical, each.value) for each in usages] != [(True, _FOR_TIME_STAMPING)]:
        raise PeerError(
            Reason.HANDLE_STAMP_NOT_FOR_TIME_STAMPING,
            "time-stamp token: signer's certificate: extended key usage is not critical and timeStamping alone "
            "(RFC 3161, 2.3)",
        )
    return certificate


def _is_named(body: _CertificateBody, name: _IssuerAndSerial) -> bool:
    """Compares the bytes of the issuer's name: names that differ only in their string types are different."""
    return body.serial == name.serial and asn1.encode_der(body.issuer) == asn1.encode_der(name.issuer)


def _check_signed_attributes(signer: _SignerInfo, certificate: x509.Certificate, content: bytes) -> None:
    """Checks that the signed attributes name this content and this certificate (RFC 3161, 2.4.1; RFC 5652, 5.4)."""
    attributes: dict[str, asn1.SetOf[asn1.TLV]] = {}
    for attribute in _items(signer.signed_attributes):
        if attributes.setdefault(attribute.oid.dotted_string, attribute.values) is not attribute.values:
            raise _invalid(f"signed attribute {attribute.oid.dotted_string} twice")
    hash_name, _ = _DIGESTS[signer.digest_algorithm.oid.dotted_string]
    try:
        content_type = _single(attributes, _OID_CONTENT_TYPE).parse(ObjectIdentifier)
        digest = _single(attributes, _OID_MESSAGE_DIGEST).parse(bytes)
        names_signer = _names_certificate(attributes, certificate)
    except ValueError as error:
        raise _invalid(f"signed attributes: {error}") from error
    if content_type.dotted_string != _OID_TST_INFO:
        raise _invalid(f"signed content type {content_type.dotted_string}, expected TSTInfo")
    if digest != hashlib.new(hash_name, content).digest():
        raise _invalid("the signed message digest is not the content's")
    if not names_signer:
        raise _invalid("the signed certificate identifier (ESSCertID) names another certificate than the signer's")


def _items(values: asn1.SetOf[T] | None) -> list[T]:
    return [] if values is None else values.as_list()


def _single(attributes: dict[str, asn1.SetOf[asn1.TLV]], oid: str) -> asn1.TLV:
    values = _items(attributes.get(oid))
    if len(values) != 1:
        raise _invalid(f"{len(values)} values of signed attribute {oid}, expected one")
    return values[0]


def _names_certificate(attributes: dict[str, asn1.SetOf[asn1.TLV]], certificate: x509.Certificate) -> bool:
    """Whether every certificate identifier names ``certificate``; there must be one (RFC 5035)."""
    der = certificate.public_bytes(Encoding.DER)
    kinds = [oid for oid in (_OID_SIGNING_CERTIFICATE, _OID_SIGNING_CERTIFICATE_V2) if oid in attributes]
    if not kinds:
        return False
    for oid in kinds:
        identifiers = _single(attributes, oid).parse(_SigningCertificate).certificates
        if not identifiers:
            return False
        # The first identifies the signer's certificate (RFC 5035, 5.4); SHA-1 here is bound by the verified chain.
        hash_name, cert_hash = _certificate_hash(identifiers[0], oid)
        if hashlib.new(hash_name, der, usedforsecurity=False).digest() != cert_hash:
            return False
    return True


def _certificate_hash(identifier: asn1.TLV, oid: str) -> tuple[str, bytes]:
    if oid == _OID_SIGNING_CERTIFICATE:
        return "sha1", identifier.parse(_EssCertId).cert_hash
    try:
        return _DIGESTS[_OID_SHA256][0], identifier.parse(_EssCertId).cert_hash
    except ValueError:
        v2 = identifier.parse(_EssCertIdV2)
        digest = v2.hash_algorithm.oid.dotted_string
        if digest not in _DIGESTS:
            raise _invalid(f"certificate identifier with digest {digest}") from None
        return _DIGESTS[digest][0], v2.cert_hash
