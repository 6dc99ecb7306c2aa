"""The kernel's side of IMA: records of the ``ima-ng`` template, and the digests that they extend. Pure.

Source: Linux ``security/integrity/ima`` (``ima_template_lib.c``, ``ima_crypto.c``); little-endian, as x86-64 and arm64
write it. The reading side is ``schemas.ima.records``; this module uses nothing of it.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from schemas.hashes import SHA256, HashAlgorithm
from schemas.tpm.pcr import PcrValues

PCR_INDEX: Final = 10  # CONFIG_IMA_MEASURE_PCR_IDX
BOOT_AGGREGATE: Final = "boot_aggregate"
AGGREGATED_PCRS: Final = range(10)  # ima_calc_boot_aggregate_tfm: PCRs 0 to 9 for algorithms other than SHA-1
_TEMPLATE: Final = b"ima-ng"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One entry of the list.

    Attributes:
        path: as in the kernel.
        digest: SHA-256 of the file.
        record: the entry's bytes in ``binary_runtime_measurements``.
        template_data: its hash by each bank's algorithm extends the PCR (Linux 5.8 and later).
    """

    path: str
    digest: bytes
    record: bytes
    template_data: bytes

    def extensions(self, banks: Iterable[HashAlgorithm]) -> dict[HashAlgorithm, bytes]:
        """The digest that extends PCR 10, by bank."""
        return {bank: bank.digest(self.template_data) for bank in banks}


def measurement(path: str, digest: bytes) -> Measurement:
    """The entry for a file.

    Args:
        path: the file's absolute path.
        digest: SHA-256 of its content.
    """
    template_data = _field(b"sha256:\0" + digest) + _field(path.encode("utf-8", "surrogateescape") + b"\0")
    template_hash = hashlib.sha1(template_data, usedforsecurity=False).digest()
    head = struct.pack("<I", PCR_INDEX) + template_hash
    return Measurement(
        path=path, digest=digest, record=head + _field(_TEMPLATE) + _field(template_data), template_data=template_data
    )


def boot_aggregate(registers: PcrValues) -> Measurement:
    """The first entry of every list: a digest over the PCRs of the boot.

    Args:
        registers: with the SHA-256 bank of PCRs 0 to 9.
    """
    bank = registers.bank(SHA256)
    return measurement(BOOT_AGGREGATE, SHA256.digest(b"".join(bank[index] for index in AGGREGATED_PCRS)))


def _field(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content
