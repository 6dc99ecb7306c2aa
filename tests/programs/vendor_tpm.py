"""TPMs as they leave a factory: swtpm with an EK certificate from swtpm_localca, and the CA's own files."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.programs.swtpm import Swtpm, require_tool, running_swtpm


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A manufacturer: a root, and a CA below it that certifies endorsement keys."""

    root: Path
    intermediate: Path
    intermediate_key: Path
    folder: Path


def make_vendor(folder: Path) -> Vendor:
    """Where swtpm_localca will keep its keys and certificates; it makes them with the first TPM."""
    folder.mkdir(parents=True)
    (folder / "localca.conf").write_text(
        f"statedir = {folder}\nsigningkey = {folder}/signing.key\nissuercert = {folder}/issuer.pem\n"
        f"certserial = {folder}/serial\n"
    )
    (folder / "localca.options").write_text(
        "--platform-manufacturer Example\n--platform-version 1\n--platform-model Board\n"
    )
    (folder / "setup.conf").write_text(
        f"create_certs_tool = {require_tool('swtpm_localca')}\ncreate_certs_tool_config = {folder}/localca.conf\n"
        f"create_certs_tool_options = {folder}/localca.options\nactive_pcr_banks = sha256\n"
    )
    return Vendor(
        root=folder / "swtpm-localca-rootca-cert.pem",
        intermediate=folder / "issuer.pem",
        intermediate_key=folder / "signing.key",
        folder=folder,
    )


@contextlib.contextmanager
def vendor_tpm(folder: Path, vendor: Vendor, name: str = "tpm") -> Iterator[Swtpm]:
    """A running TPM with an RSA EK certificate in its memory (swtpm's other one is of a P-384 key)."""
    folder.mkdir(parents=True)
    command = [require_tool("swtpm_setup"), "--tpm2", "--tpmstate", str(folder), "--create-ek-cert", "--lock-nvram"]
    command += ["--overwrite", "--config", str(vendor.folder / "setup.conf"), "--vmid", name]
    made = subprocess.run([*command, "--logfile", str(folder / "setup.log")], check=False, capture_output=True)
    if made.returncode:
        message = f"swtpm_setup: {made.stderr.decode()} {(folder / 'setup.log').read_text()}"
        raise RuntimeError(message)
    with running_swtpm(folder) as running:
        yield running


def revocation_list(issuer: x509.Certificate, key: bytes, serials: tuple[int, ...], now_s: int) -> bytes:
    """A list of one day, PEM.

    Args:
        issuer: the CA's certificate.
        key: its private key, PEM.
        serials: what is revoked.
        now_s: UTC seconds; an hour after the list was made.
    """
    now = datetime.fromtimestamp(now_s, UTC)
    builder = x509.CertificateRevocationListBuilder(issuer.subject, now - timedelta(hours=1), now + timedelta(hours=23))
    for serial in serials:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder(serial, now - timedelta(hours=2)).build()
        )
    signing = load_pem_private_key(key, None)
    assert isinstance(signing, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    return builder.sign(signing, SHA256()).public_bytes(Encoding.PEM)
