"""The one form of a time-stamp token that distributors issue and all others accept, so that it has no second spelling.

The TSA's signature covers TSTInfo and the signed attributes alone. So anyone could add unsigned attributes, CRLs and
certificates, or lengths that are not minimal, and make a token that verifies and has another digest. In the one form
all lengths are DER, there are no CRLs and no unsigned attributes, and the certificates are the signer's and those on
the way from it to a root, without the root (ADR 21).

Some freedom is left: parameters of algorithms, the second ``s`` of an ECDSA signature, a certificate on the way that
the receiver knows anyway.
"""

import functools
from typing import Annotated, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

_CONSTRUCTED: Final = 0x20
_LONG_TAG: Final = 0x1F
_LONG_LENGTH: Final = 0x80
_MAX_DEPTH: Final = 32


@asn1.sequence
class _SignerInfo:
    version: int
    signer: asn1.TLV
    digest_algorithm: asn1.TLV
    signed_attributes: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(0)]
    signature_algorithm: asn1.TLV
    signature: bytes
    unsigned_attributes: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]


@asn1.sequence
class _Issuer:
    issuer: asn1.TLV
    serial: int


@asn1.sequence
class SignedData:
    """RFC 5652, 5.1; its parts keep their bytes."""

    version: int
    digest_algorithms: asn1.SetOf[asn1.TLV]
    content: asn1.TLV
    certificates: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]  # SET OF, in any order
    crls: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]
    signer_infos: asn1.SetOf[_SignerInfo]


@asn1.sequence
class ContentInfo:
    """A TimeStampToken (RFC 3161, 2.4.2)."""

    content_type: ObjectIdentifier
    content: Annotated[SignedData, asn1.Explicit(0)]


def in_one_form(token: ContentInfo) -> bytes:
    """The token's one form.

    Raises:
        ValueError: it has parts that are not DER.
    """
    signed = token.content
    signers = signed.signer_infos.as_list()
    for signer in signers:
        signer.unsigned_attributes = None
    signed.signer_infos = asn1.SetOf(signers)
    signed.crls = None
    embedded = frozenset(asn1.encode_der(item) for item in signed.certificates or ())
    names = [signer.signer.parse(_Issuer) for signer in signers]
    used = set[bytes]()
    for name in names:
        used |= _way_up(embedded, asn1.encode_der(name.issuer), name.serial)
    if signed.certificates is not None:
        signed.certificates = sorted(
            (item for item in signed.certificates if asn1.encode_der(item) in used), key=asn1.encode_der
        )
    raw = asn1.encode_der(token)
    if not is_der(raw):
        raise ValueError("lengths that are not DER")
    return raw


def has_one_form(token: bytes) -> bool:
    """Whether a token is in the one form."""
    try:
        return in_one_form(asn1.decode_der(ContentInfo, token)) == token
    except ValueError:
        return False


def is_der(raw: bytes, depth: int = 0) -> bool:
    """Whether all lengths, at every depth, are definite and minimal (X.690, 10.1)."""
    place = 0
    while place < len(raw):
        tag = raw[place]
        if tag & _LONG_TAG == _LONG_TAG or place + 1 >= len(raw) or depth > _MAX_DEPTH:
            return False
        length, start = raw[place + 1], place + 2
        if length >= _LONG_LENGTH:
            count = length - _LONG_LENGTH
            written = raw[start : start + count]
            length, start = int.from_bytes(written, "big"), start + count
            if len(written) != count or not count or not written[0] or length < _LONG_LENGTH:
                return False
        end = start + length
        if end > len(raw) or (tag & _CONSTRUCTED and not is_der(raw[start:end], depth + 1)):
            return False
        place = end
    return True


@functools.lru_cache(maxsize=32)  # a TSA sends the same few certificates every time
def _way_up(embedded: frozenset[bytes], issuer: bytes, serial: int) -> frozenset[bytes]:
    """The signer's certificates by name, and from each the certificates towards a root; self-signed ones excluded."""
    parsed = {der: loaded for der in sorted(embedded) if (loaded := _loaded(der)) is not None}
    ahead = [
        der for der, each in parsed.items() if each.serial_number == serial and each.issuer.public_bytes() == issuer
    ]
    way: list[bytes] = []
    while ahead:
        way += ahead
        below = parsed[ahead[0]]
        above = (der for der, each in parsed.items() if der not in way and _is_issued_by(below, each))
        ahead = list(above)[:1]
    return frozenset(der for der in way if parsed[der].issuer != parsed[der].subject)


def _loaded(der: bytes) -> x509.Certificate | None:
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.issuer, certificate.subject  # noqa: B018 names are parsed here
    except (ValueError, TypeError, KeyError, UserWarning, x509.InvalidVersion):
        return None
    return certificate


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
