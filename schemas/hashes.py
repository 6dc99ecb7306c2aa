"""Hash algorithms, with their names and numbers in the standards that use them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from typing_extensions import override


class Hash(Protocol):
    """The part of a ``hashlib`` object that is used here."""

    def update(self, data: bytes, /) -> None:
        """Hashes more bytes."""

    def digest(self) -> bytes:
        """The digest of all bytes so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HashAlgorithm:
    """One hash algorithm.

    Attributes:
        name: as in ``hashlib``, in IMA digest prefixes and in our configuration (``sha256``).
        tpm_id: TPM_ALG_ID (TCG Algorithm Registry, table 3).
        size: digest length in bytes.
        ni_id: id in the Named Information Hash Algorithm Registry, for CoRIM digests; None if it has none.
        new: the ``hashlib`` constructor, for loops that hash often: ``new(data).digest()``.
    """

    name: str
    tpm_id: int
    size: int
    ni_id: int | None
    new: Callable[[bytes], Hash] = field(repr=False, compare=False)

    @override
    def __hash__(self) -> int:
        """By number: instances are dictionary keys in hot loops, and hashing all fields is four times slower."""
        return self.tpm_id

    def digest(self, data: bytes) -> bytes:
        """Hash ``data``; returns ``size`` bytes."""
        return self.new(data).digest()


SHA1: Final = HashAlgorithm(name="sha1", tpm_id=0x0004, size=20, ni_id=None, new=hashlib.sha1)
SHA256: Final = HashAlgorithm(name="sha256", tpm_id=0x000B, size=32, ni_id=1, new=hashlib.sha256)
SHA384: Final = HashAlgorithm(name="sha384", tpm_id=0x000C, size=48, ni_id=7, new=hashlib.sha384)
SHA512: Final = HashAlgorithm(name="sha512", tpm_id=0x000D, size=64, ni_id=8, new=hashlib.sha512)

HASH_ALGORITHMS: Final = (SHA1, SHA256, SHA384, SHA512)
BY_TPM_ID: Final = {algorithm.tpm_id: algorithm for algorithm in HASH_ALGORITHMS}
BY_NAME: Final = {algorithm.name: algorithm for algorithm in HASH_ALGORITHMS}
BY_NI_ID: Final = {algorithm.ni_id: algorithm for algorithm in HASH_ALGORITHMS if algorithm.ni_id is not None}
