"""File signatures from the attribute ``security.ima``, which IMA shows in the ``sig`` field of its list.

Version 2 signs the file's digest itself. Version 3 signs the digest of ``struct ima_file_id``, which also states
whether the file's digest is its hash or its fs-verity digest. Accepted are RSASSA-PKCS1-v1_5, and ECDSA over P-256,
P-384, P-521 and secp256k1 (tools sign with the last one, though no kernel verifies it). Refused are SHA-1 (an attacker
can make two files of one digest and have one of them signed), RSA below 2048 bits, and signatures of other attributes.

A signature vouches for a *digest*. It does not vouch for the path, and a signed file may be outdated.

Source: Linux ``security/integrity/integrity.h`` (``signature_v2_hdr``, ``ima_file_id``), ``digsig_asymmetric.c``,
``include/uapi/linux/hash_info.h``.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from schemas.errors import PeerError
from schemas.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from schemas.limits import MAX_SIGNATURE_BYTES, MAX_TEXT_BYTES
from schemas.reasons import Reason

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_HEADER: Final = struct.Struct(">BBB4sH")  # type, version, hash algorithm, key id, size of the signature
_KEY_ID_BYTES: Final = 4
_ALGORITHMS: Final = {4: SHA256, 5: SHA384, 6: SHA512}  # hash_info.h, enum hash_algo
_PREHASHED: Final = {
    SHA256: Prehashed(hashes.SHA256()),
    SHA384: Prehashed(hashes.SHA384()),
    SHA512: Prehashed(hashes.SHA512()),
}
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1, ec.SECP256K1)
_RSA_BITS: Final = range(2048, 8193)
_PKCS1V15: Final = padding.PKCS1v15()


class SignatureType(IntEnum):
    """The first byte: the kind of digest that was signed (``integrity.h``, ``enum evm_ima_xattr_type``)."""

    DIGSIG = 3  # a file's hash
    VERITY_DIGSIG = 6  # a file's fs-verity digest


_TYPES: Final = {(SignatureType.DIGSIG, 2), (SignatureType.DIGSIG, 3), (SignatureType.VERITY_DIGSIG, 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileKey:
    """A key that signs files.

    Attributes:
        id: last four bytes of SHA-1 of the public key's bits (RFC 5280, 4.2.1.2, method 1). Signatures name their key
            by it, unless the key's certificate has another key identifier.
        public: RSA or elliptic curve.
    """

    id: bytes
    public: PublicKey

    def pem(self) -> str:
        """The key as SubjectPublicKeyInfo in PEM."""
        return self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSignature:
    """A well-formed signature; it proves nothing until :func:`verify_file_signature` accepts it.

    Attributes:
        type: the kind of digest that was signed.
        version: 2 or 3.
        algorithm: algorithm of the file's digest, and in version 3 also of the signed digest.
        key_id: four bytes that name the key; only a hint.
        value: RSA: the signature. ECDSA: DER of ``SEQUENCE { r, s }``.
    """

    type: SignatureType
    version: int
    algorithm: HashAlgorithm
    key_id: bytes
    value: bytes


def make_file_key(public: object) -> FileKey:
    """Checks that we accept the kind of a public key.

    Raises:
        PeerError: ``malformed``.
    """
    match public:
        case rsa.RSAPublicKey() if public.key_size in _RSA_BITS:
            bits = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        case ec.EllipticCurvePublicKey() if isinstance(public.curve, _CURVES):
            bits = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        case _:
            raise PeerError(Reason.MALFORMED, "file key: neither RSA of 2048 bits or more nor of an accepted curve")
    return FileKey(id=hashlib.sha1(bits, usedforsecurity=False).digest()[-_KEY_ID_BYTES:], public=public)


def parse_file_key(raw: bytes) -> FileKey:
    """Reads a key from a SubjectPublicKeyInfo in PEM or DER.

    Raises:
        PeerError: ``malformed``, ``too-large``.
    """
    if len(raw) > MAX_TEXT_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"file key: {len(raw)} bytes")
    try:
        public = load_pem_public_key(raw) if raw.lstrip().startswith(b"-----BEGIN") else load_der_public_key(raw)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PeerError(Reason.MALFORMED, "file key: not a public key in SubjectPublicKeyInfo form") from error
    return make_file_key(public)


def parse_file_signature(raw: bytes) -> FileSignature:
    """Parses a ``security.ima`` attribute that holds a signature.

    Raises:
        PeerError: ``log-malformed``.
    """
    if not _HEADER.size < len(raw) <= _HEADER.size + MAX_SIGNATURE_BYTES:
        raise _refused(f"{len(raw)} bytes")
    kind, version, algorithm_id, key_id, size = _HEADER.unpack_from(raw)
    if (kind, version) not in _TYPES:
        raise _refused(f"type {kind}, version {version}")
    if algorithm_id not in _ALGORITHMS:
        raise _refused(f"hash algorithm {algorithm_id}, expected SHA-256, SHA-384 or SHA-512")
    if size != len(raw) - _HEADER.size:
        raise _refused(f"{len(raw) - _HEADER.size} bytes of signature, its header states {size}")
    return FileSignature(
        type=SignatureType(kind),
        version=version,
        algorithm=_ALGORITHMS[algorithm_id],
        key_id=key_id,
        value=raw[_HEADER.size :],
    )


def verify_file_signature(raw: bytes, label: bytes, digest: bytes, keys: Sequence[FileKey]) -> FileKey:
    """Verifies that one of ``keys`` signed a file.

    Args:
        raw: the signature, as in the list.
        label: kind of the file's digest, as in the list: ``sha256``, ``ima:sha256``, ``verity:sha256``.
        digest: the file's digest.
        keys: the keys that may sign files. Tries those that the signature names, or all if it names no known key.

    Returns:
        The key that signed the file.

    Raises:
        PeerError: ``log-malformed`` if the signature is not well-formed or of another kind of digest;
            ``file-unexpected`` if no key verifies it.
    """
    signature = parse_file_signature(raw)
    of_verity = label.startswith(b"verity:")
    if of_verity is not (signature.type is SignatureType.VERITY_DIGSIG):
        raise _refused("of another kind of digest than the entry's")
    algorithm = signature.algorithm
    if label.rpartition(b":")[2] != algorithm.name.encode() or len(digest) != algorithm.size:
        raise _refused("of another hash algorithm than the entry's digest")
    if signature.version == 3:  # noqa: PLR2004 struct ima_file_id: type, algorithm, digest
        digest = algorithm.digest(bytes([signature.type, raw[2]]) + digest)
    for key in [key for key in keys if key.id == signature.key_id] or keys:
        try:
            _verify(key.public, signature, digest)
        except InvalidSignature:
            continue
        return key
    raise PeerError(Reason.FILE_UNEXPECTED, "no trusted key made the file's signature")


def _verify(public: PublicKey, signature: FileSignature, digest: bytes) -> None:
    """Raises ``InvalidSignature`` if ``public`` did not sign ``digest``."""
    prehashed = _PREHASHED[signature.algorithm]
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature.value, digest, _PKCS1V15, prehashed)
    else:
        public.verify(signature.value, digest, ec.ECDSA(prehashed))


def _refused(detail: str) -> PeerError:
    return PeerError(Reason.LOG_MALFORMED, f"file signature: {detail}")
