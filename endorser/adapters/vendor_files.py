"""Certificates and revocation lists from the operator's files, PEM or DER."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509

from endorser.core.certificate_path import Vendors
from endorser.settings import VendorSettings
from runtime.keys import read_file
from runtime.settings import naming
from schemas.errors import ConfigError

_PEM: Final = b"-----BEGIN "


def load_vendors(settings: VendorSettings) -> Vendors:
    """Reads everything that ``[vendors]`` names.

    Raises:
        ConfigError: names the setting and the file that is missing or wrong.
    """
    with naming("vendors.roots"):
        roots = tuple((name, each) for name, path in settings.roots.items() for each in _certificates(path))
    with naming("vendors.iak_roots"):
        iak_roots = tuple((name, each) for name, path in settings.iak_roots.items() for each in _certificates(path))
    with naming("vendors.intermediates"):
        intermediates = tuple(_all_certificates(settings.intermediates))
    with naming("vendors.revocations"):
        revocations = tuple(_revocations(path) for path in settings.revocations)
    return Vendors(
        roots=roots,
        iak_roots=iak_roots,
        intermediates=intermediates,
        revocations=revocations,
        require_revocation=settings.require_revocation,
    )


def _all_certificates(paths: Iterable[Path]) -> Iterable[x509.Certificate]:
    for path in paths:
        yield from _certificates(path)


def _certificates(path: Path) -> list[x509.Certificate]:
    raw = read_file(path)
    try:
        return x509.load_pem_x509_certificates(raw) if _PEM in raw else [x509.load_der_x509_certificate(raw)]
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigError(f"{path}: expected certificates, PEM or DER ({error})") from error


def _revocations(path: Path) -> x509.CertificateRevocationList:
    raw = read_file(path)
    try:
        return x509.load_pem_x509_crl(raw) if _PEM in raw else x509.load_der_x509_crl(raw)
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigError(f"{path}: expected a certificate revocation list, PEM or DER ({error})") from error
