"""Loads certificates and revocation lists from the operator's files, PEM or DER."""

from pathlib import Path
from typing import Final

from cryptography import x509

from endorser.core.certificate_path import Vendors
from endorser.settings import VendorSettings
from runtime.keys import load_certificates, read_file
from runtime.settings import naming
from schemas.errors import ConfigError

_PEM: Final = b"-----BEGIN "


def load_vendors(settings: VendorSettings) -> Vendors:
    """Loads all files of table ``[vendors]``.

    Raises:
        ConfigError: names the setting and the file that is missing or wrong.
    """
    with naming("vendors.roots"):
        roots = tuple((name, each) for name, path in settings.roots.items() for each in load_certificates(path))
    with naming("vendors.iak_roots"):
        iak_roots = tuple((name, each) for name, path in settings.iak_roots.items() for each in load_certificates(path))
    with naming("vendors.intermediates"):
        intermediates = tuple(each for path in settings.intermediates for each in load_certificates(path))
    with naming("vendors.revocations"):
        revocations = tuple(_revocations(path) for path in settings.revocations)
    return Vendors(
        roots=roots,
        iak_roots=iak_roots,
        intermediates=intermediates,
        revocations=revocations,
        require_revocation=settings.require_revocation,
    )


def _revocations(path: Path) -> x509.CertificateRevocationList:
    raw = read_file(path)
    try:
        return x509.load_pem_x509_crl(raw) if _PEM in raw else x509.load_der_x509_crl(raw)
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigError(f"{path}: expected a certificate revocation list, PEM or DER ({error})") from error
