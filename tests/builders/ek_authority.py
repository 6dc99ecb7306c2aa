"""A manufacturer's certificates, made to measure: what swtpm_localca cannot be made to do wrong."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from schemas.tpm.signature import PublicKey

NOW_S = 1_900_000_000
_DAY = timedelta(days=1)
EK_PURPOSE = ObjectIdentifier("2.23.133.8.1")
TPM_NAMES = {"2.23.133.2.1": "id:54455354", "2.23.133.2.2": "model", "2.23.133.2.3": "id:0001"}


def _now() -> datetime:
    return datetime.fromtimestamp(NOW_S, UTC)


def _usage(**chosen: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: chosen.get(name, False) for name in names})


@dataclass
class Authority:
    """A CA: a root without ``parent``."""

    name: str
    parent: "Authority | None" = None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    usage: x509.KeyUsage = field(default_factory=lambda: _usage(key_cert_sign=True, crl_sign=True))
    is_ca: bool = True
    purposes: tuple[ObjectIdentifier, ...] = ()

    def __post_init__(self) -> None:
        above = self.parent or self
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        builder = (
            x509.CertificateBuilder(above.subject, self.subject, self.key.public_key(), x509.random_serial_number())
            .not_valid_before(_now() - 100 * _DAY)
            .not_valid_after(_now() + 100 * _DAY)
            .add_extension(x509.BasicConstraints(ca=self.is_ca, path_length=None), critical=True)
            .add_extension(self.usage, critical=True)
        )
        if self.purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.purposes), critical=False)
        self.certificate = builder.sign(above.key, SHA256())

    def pem(self) -> bytes:
        """The CA's certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def certify(
        self,
        key: PublicKey,
        *,
        purposes: tuple[ObjectIdentifier, ...] = (EK_PURPOSE,),
        names: dict[str, str] | None = None,
        usage: x509.KeyUsage | None = None,
        ca: bool = False,
        valid_days: int = 1,
    ) -> x509.Certificate:
        """An EK certificate: no subject, a critical subject alternative name."""
        chosen = TPM_NAMES if names is None else names
        builder = (
            x509.CertificateBuilder(self.subject, x509.Name([]), key, x509.random_serial_number())
            .not_valid_before(_now() - 10 * _DAY)
            .not_valid_after(_now() + valid_days * _DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(usage or _usage(key_agreement=True), critical=True)
        )
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        if chosen:
            attributes = [x509.NameAttribute(ObjectIdentifier(oid), text) for oid, text in chosen.items()]
            directory = x509.DirectoryName(x509.Name(attributes))
            builder = builder.add_extension(x509.SubjectAlternativeName([directory]), critical=True)
        return builder.sign(self.key, SHA256())

    def revocations(
        self, *certificates: x509.Certificate, made_days_ago: int = 1, key: ec.EllipticCurvePrivateKey | None = None
    ) -> x509.CertificateRevocationList:
        """A list that holds for two days."""
        made = _now() - made_days_ago * _DAY
        builder = x509.CertificateRevocationListBuilder(self.subject, made, made + 2 * _DAY)
        for each in certificates:
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(each.serial_number, made).build())
        return builder.sign(key or self.key, SHA256())


def signing_usage() -> x509.KeyUsage:
    """Of a key that signs things, not certificates."""
    return _usage(digital_signature=True)


def der(certificate: x509.Certificate) -> bytes:
    """Its bytes."""
    return certificate.public_bytes(Encoding.DER)
