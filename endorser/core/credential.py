"""TPM2_MakeCredential without a TPM (TPM 2.0 Part 1, "Credential Protection"; B.10.4 for RSA, C.6.4 for ECC).

Seals a secret so that only the TPM with the endorsement key can open it, and only while it holds an object with the
attesting key's TPM name. Uses ``cryptography`` only: tpm2-pytss can do this too, but needs libtss2, which the endorser
does without (docs/adr/0009). Only OAEP's padding and the ephemeral key are random; all other input is an argument.
"""

import struct
from typing import Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from schemas.errors import PeerError
from schemas.reasons import Reason
from schemas.tpm.public import TpmPublic

_HASHES: Final[dict[int, HashAlgorithm]] = {0x000B: SHA256(), 0x000C: SHA384(), 0x000D: SHA512()}
_IDENTITY: Final = b"IDENTITY\x00"  # labels include their final zero (Part 1, B.10.4 and C.6.4)
_BITS: Final = 8


def make_credential(ek: TpmPublic, name: bytes, secret: bytes, seed: bytes) -> tuple[bytes, bytes]:
    """Seals ``secret``.

    Args:
        ek: the endorsement key, a storage key: it has a symmetric algorithm.
        name: TPM name of the attesting key.
        secret: at most as long as a digest of the key's nameAlg.
        seed: for RSA, as many random bytes as a digest of the nameAlg has; ignored for ECC.

    Returns:
        The contents of TPM2B_ID_OBJECT and of TPM2B_ENCRYPTED_SECRET.

    Raises:
        PeerError: ``ek-template-mismatch`` if ``ek`` is not a storage key; ``malformed`` if it is not a key.
    """
    if ek.symmetric_bits is None:
        raise PeerError(Reason.EK_TEMPLATE_MISMATCH, "endorsement key: not a storage key")
    algorithm = _HASHES[ek.name_alg.tpm_id]
    key = ek.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        seed = seed[: algorithm.digest_size]
        oaep = padding.OAEP(mgf=padding.MGF1(algorithm), algorithm=algorithm, label=_IDENTITY)
        try:
            encrypted = key.encrypt(seed, oaep)
        except ValueError as error:
            raise PeerError(Reason.MALFORMED, f"endorsement key: {error}") from error
    else:
        seed, encrypted = _ecc_seed(key, algorithm)
    symmetric = _kdfa(algorithm, seed, b"STORAGE", name, ek.symmetric_bits // _BITS)
    encryptor = Cipher(AES(symmetric), CFB(bytes(AES.block_size // _BITS))).encryptor()
    identity = encryptor.update(_sized(secret)) + encryptor.finalize()
    integrity = hmac.HMAC(_kdfa(algorithm, seed, b"INTEGRITY", b"", algorithm.digest_size), algorithm)
    integrity.update(identity + name)
    return _sized(integrity.finalize()) + identity, encrypted


def _ecc_seed(key: ec.EllipticCurvePublicKey, algorithm: HashAlgorithm) -> tuple[bytes, bytes]:
    """One-pass Diffie-Hellman, then KDFe (Part 1, "KDFe for ECDH")."""
    ephemeral = ec.generate_private_key(key.curve)
    ours, theirs = ephemeral.public_key().public_numbers(), key.public_numbers()
    size = (key.curve.key_size + 7) // _BITS
    x, y, their_x = (each.to_bytes(size, "big") for each in (ours.x, ours.y, theirs.x))
    kdfe = ConcatKDFHash(algorithm, length=algorithm.digest_size, otherinfo=_IDENTITY + x + their_x)
    return kdfe.derive(ephemeral.exchange(ec.ECDH(), key)), _sized(x) + _sized(y)


def _kdfa(algorithm: HashAlgorithm, key: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """KDFa (Part 1, "KDFa()"): SP 800-108 in counter mode; the label's final zero is SP 800-108's separator."""
    kdf = KBKDFHMAC(
        algorithm=algorithm,
        mode=Mode.CounterMode,
        length=length,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=label,
        context=context,
        fixed=None,
    )
    return kdf.derive(key)


def _sized(content: bytes) -> bytes:
    return struct.pack(">H", len(content)) + content
