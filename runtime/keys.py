"""Reads and makes key files: one ES256 private key a file (PEM), any number of public keys a file (PEM or JWKS)."""

import re
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from runtime.durable import write_durable
from schemas.codecs import cose, jwks
from schemas.errors import ConfigError, WorldError, as_config_error

_PEM_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
_PEM = b"-----BEGIN "


def load_signing_key(path: Path, *, made_by: str | None = None) -> EllipticCurvePrivateKey:
    """A P-256 private key from an unencrypted PEM file (PKCS#8 or SEC 1).

    Args:
        path: the file.
        made_by: the command that makes such a file, for the error message.

    Raises:
        ConfigError: the file is missing, unreadable, or holds something else.
    """
    hint = f"; make one with {made_by}" if made_by is not None else ""
    try:
        key = load_pem_private_key(read_file(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: not an unencrypted PEM private key{hint}") from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise ConfigError(f"{path}: expected a P-256 (ES256) private key{hint}")
    return key


def load_public_keys(paths: Iterable[Path]) -> dict[bytes, EllipticCurvePublicKey]:
    """All P-256 public keys in PEM or JWKS files (RFC 7517), by :func:`schemas.codecs.cose.key_id`.

    Raises:
        ConfigError: a file is missing or holds no such key.
    """
    keys: dict[bytes, EllipticCurvePublicKey] = {}
    for path in paths:
        content = read_file(path)
        if content.lstrip().startswith(b"{"):
            with as_config_error(path):
                keys |= {cose.key_id(key): key for key in jwks.parse_jwks(content)}
            continue
        blocks = _PEM_BLOCK.findall(content)
        if not blocks:
            raise ConfigError(f"{path}: no PEM public key in it, and no JWKS")
        for block in blocks:
            try:
                key = load_pem_public_key(block)
            except (ValueError, UnsupportedAlgorithm) as error:
                raise ConfigError(f"{path}: not a PEM public key ({error})") from error
            if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
                raise ConfigError(f"{path}: expected P-256 (ES256) public keys")
            keys[cose.key_id(key)] = key
    return keys


def load_certificates(path: Path) -> list[x509.Certificate]:
    """All certificates in a PEM file, or the one in a DER file.

    Raises:
        ConfigError: the file is missing or holds something else.
    """
    content = read_file(path)
    try:
        if _PEM in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(content)]
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigError(f"{path}: expected certificates, PEM or DER ({error})") from error


def generate_key_pair(private_path: Path) -> EllipticCurvePrivateKey:
    """Makes a P-256 key pair: ``private_path`` (mode 600), and the public key beside it with the suffix ``.pub``.

    Raises:
        ConfigError: the private key's file exists already; a key is never overwritten.
    """
    if private_path.exists():
        raise ConfigError(f"{private_path}: exists; move it away first, keys are never overwritten")
    key = generate_private_key(SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        write_durable(private_path, private, mode=0o600)
        write_durable(public_path(private_path), public)
    except WorldError as error:
        raise ConfigError(error.detail) from error
    return key


def public_path(private_path: Path) -> Path:
    """The file of the public key that belongs to ``private_path``."""
    return private_path.with_suffix(".pub")


def read_file(path: Path) -> bytes:
    """Reads a small file that the configuration names.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
