"""Time-stamp tokens made by hand, byte by byte: honest ones at any time, and every kind of dishonest one.

Written from RFC 3161, RFC 5652 and RFC 5035 with nothing but TLVs, so it shares no code with what it tests.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

OID_SHA1 = "1.3.14.3.2.26"
OID_SHA256 = "2.16.840.1.101.3.4.2.1"
OID_SHA384 = "2.16.840.1.101.3.4.2.2"
OID_DATA = "1.2.840.113549.1.7.1"
OID_SIGNED_DATA = "1.2.840.113549.1.7.2"
OID_TST_INFO = "1.2.840.113549.1.9.16.1.4"
OID_CONTENT_TYPE = "1.2.840.113549.1.9.3"
OID_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
OID_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
OID_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
POLICY = "1.3.6.1.4.1.99999.1"
_HASHES = {
    OID_SHA1: hashes.SHA1(),  # noqa: S303 a token that must be refused
    OID_SHA256: hashes.SHA256(),
    OID_SHA384: hashes.SHA384(),
}
_ECDSA_WITH = {OID_SHA1: "1.2.840.10045.4.1", OID_SHA256: "1.2.840.10045.4.3.2", OID_SHA384: "1.2.840.10045.4.3.3"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SEQUENCE, SET, INTEGER, OCTETS, NULL = 0x30, 0x31, 0x02, 0x04, 0x05


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def integer(value: int, tag: int = INTEGER) -> bytes:
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    body = b""
    for arc in [40 * first + second, *rest]:
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(0x80 | arc & 0x7F)
        body += bytes(reversed(digits))
    return tlv(0x06, body)


def algorithm(dotted: str, *parameters: bytes) -> bytes:
    return tlv(SEQUENCE, oid(dotted), *parameters)


def set_of(items: Sequence[bytes], tag: int = SET) -> bytes:
    return tlv(tag, *sorted(items))


def generalized_time(time_us: int) -> bytes:
    when = _EPOCH + timedelta(microseconds=time_us)
    fraction = f".{when.microsecond:06}".rstrip("0").rstrip(".")
    return tlv(0x18, f"{when:%Y%m%d%H%M%S}{fraction}Z".encode())


@dataclass(frozen=True, kw_only=True)
class Certified:
    """A key with its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def certify(
    name: str,
    issuer: Certified | None = None,
    *,
    ca: bool = False,
    usages: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.TIME_STAMPING,),
    critical: bool = True,
    not_before: datetime = datetime(2020, 1, 1, tzinfo=UTC),
    not_after: datetime = datetime(2040, 1, 1, tzinfo=UTC),
    serial: int | None = None,
    signing_key: ec.EllipticCurvePrivateKey | None = None,
) -> Certified:
    """A certificate by ``issuer`` (self-signed without); ``signing_key`` replaces the issuer's, for forgeries."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if usages is not None and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=critical)
    signer = signing_key or (issuer.key if issuer else key)
    return Certified(key=key, certificate=builder.sign(signer, hashes.SHA256()))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make one token. The defaults make an honest one.

    Attributes:
        signer: who signs.
        embedded: certificates in the token; None for the signer's alone.
        ess_certificate: which certificate the signed attributes identify; None for the signer's.
        ess_oid: SigningCertificate, SigningCertificateV2, or "" for none.
        ess_algorithm: the hash in ESSCertIDv2; SHA-256 is the default and left out.
        signed_digest: what the message-digest attribute says; None for the truth.
        signers: how often the SignerInfo stands there.
    """

    signer: Certified
    imprint_oid: str = OID_SHA256
    content_oid: str = OID_TST_INFO
    signed_content_oid: str = OID_TST_INFO
    digest_oid: str = OID_SHA256
    embedded: Sequence[bytes] | None = None
    ess_certificate: bytes | None = None
    ess_oid: str = OID_SIGNING_CERTIFICATE_V2
    ess_algorithm: str = OID_SHA256
    signed_digest: bytes | None = None
    with_signed_attributes: bool = True
    signers: int = 1
    sorted_certificates: bool = True
    version: int = 3

    def token(self, imprint: bytes, time_us: int, *, accuracy_us: int = 500_000, nonce: int | None = None) -> bytes:
        content = tst_info(imprint, time_us, accuracy_us=accuracy_us, nonce=nonce, imprint_oid=self.imprint_oid)
        certificates = list(self.embedded if self.embedded is not None else [self.signer.der])
        infos = [self._signer_info(content)] * self.signers
        signed = tlv(
            SEQUENCE,
            integer(self.version),
            set_of([algorithm(self.digest_oid, tlv(NULL))]),
            tlv(SEQUENCE, oid(self.content_oid), tlv(0xA0, tlv(OCTETS, content))),
            set_of(certificates, 0xA0) if self.sorted_certificates else tlv(0xA0, *certificates),
            set_of(infos),
        )
        return tlv(SEQUENCE, oid(OID_SIGNED_DATA), tlv(0xA0, signed))

    def _signer_info(self, content: bytes) -> bytes:
        hashing = _HASHES[self.digest_oid]
        digest = hashlib.new(hashing.name, content).digest() if self.signed_digest is None else self.signed_digest
        attributes = [
            _attribute(OID_CONTENT_TYPE, oid(self.signed_content_oid)),
            _attribute(OID_MESSAGE_DIGEST, tlv(OCTETS, digest)),
        ]
        if self.ess_oid:
            attributes.append(_attribute(self.ess_oid, self._certificate_identifier()))
        signed = set_of(attributes) if self.with_signed_attributes else content
        certificate = self.signer.certificate
        return tlv(
            SEQUENCE,
            integer(1),
            tlv(SEQUENCE, certificate.issuer.public_bytes(), integer(certificate.serial_number)),
            algorithm(self.digest_oid, tlv(NULL)),
            set_of(attributes, 0xA0) if self.with_signed_attributes else b"",
            algorithm(_ECDSA_WITH[self.digest_oid]),
            tlv(OCTETS, self.signer.key.sign(signed, ec.ECDSA(hashing))),
        )

    def _certificate_identifier(self) -> bytes:
        certificate = self.signer.der if self.ess_certificate is None else self.ess_certificate
        name = "sha1" if self.ess_oid == OID_SIGNING_CERTIFICATE else _HASHES[self.ess_algorithm].name
        parts = [tlv(OCTETS, hashlib.new(name, certificate).digest())]
        if self.ess_oid == OID_SIGNING_CERTIFICATE_V2 and self.ess_algorithm != OID_SHA256:
            parts.insert(0, algorithm(self.ess_algorithm))
        return tlv(SEQUENCE, tlv(SEQUENCE, tlv(SEQUENCE, *parts)))


def _attribute(dotted: str, value: bytes) -> bytes:
    return tlv(SEQUENCE, oid(dotted), set_of([value]))


def tst_info(
    imprint: bytes,
    time_us: int,
    *,
    accuracy_us: int = 500_000,
    nonce: int | None = None,
    imprint_oid: str = OID_SHA256,
    serial: int = 7,
) -> bytes:
    """A DER TSTInfo; unsigned, so anyone can make one."""
    seconds, rest = divmod(accuracy_us, 1_000_000)
    millis, micros = divmod(rest, 1000)
    accuracy = [integer(value, tag) for value, tag in ((seconds, 0x02), (millis, 0x80), (micros, 0x81)) if value]
    return tlv(
        SEQUENCE,
        integer(1),
        oid(POLICY),
        tlv(SEQUENCE, algorithm(imprint_oid, tlv(NULL)), tlv(OCTETS, imprint)),
        integer(serial),
        generalized_time(time_us),
        tlv(SEQUENCE, *accuracy) if accuracy else b"",
        b"" if nonce is None else integer(nonce),
    )


def granted(token: bytes) -> bytes:
    """The TimeStampResp that grants ``token``."""
    return tlv(SEQUENCE, tlv(SEQUENCE, integer(0)), token)


def rejected(text: str) -> bytes:
    """A TimeStampResp with status rejection and failure systemFailure."""
    failure = tlv(0x03, bytes([6, 0, 0, 0, 0b0100_0000]))  # bit 25
    return tlv(SEQUENCE, tlv(SEQUENCE, integer(2), tlv(SEQUENCE, tlv(0x0C, text.encode())), failure))


@dataclass(frozen=True, kw_only=True)
class ForgedAuthority:
    """A root and a TSA below it."""

    root: Certified
    signer: Certified

    @classmethod
    def make(cls) -> "ForgedAuthority":
        root = certify("test TSA root", ca=True)
        return cls(root=root, signer=certify("test TSA", root))

    def recipe(self, **changes: object) -> Recipe:
        return replace(Recipe(signer=self.signer), **changes)  # type: ignore[arg-type]  # a test names the fields

    def token(self, imprint: bytes, time_us: int, *, accuracy_us: int = 500_000, nonce: int | None = None) -> bytes:
        return self.recipe().token(imprint, time_us, accuracy_us=accuracy_us, nonce=nonce)
