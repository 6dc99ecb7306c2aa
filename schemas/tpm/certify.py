"""TPMS_ATTEST of TPM2_Certify: one key states that another object is in the same TPM (Part 2, TPMS_CERTIFY_INFO).

The parser is strict and pure. Its result is **untrusted until the signature over these exact bytes is verified**, as in
:mod:`schemas.tpm.attest`.
"""

from dataclasses import dataclass
from typing import Final

from schemas.codecs.reader import Reader
from schemas.errors import PeerError
from schemas.limits import MAX_ATTEST_BYTES
from schemas.reasons import Reason
from schemas.tpm.attest import MAX_EXTRA_DATA_BYTES, MAX_NAME_BYTES, TPM_GENERATED_VALUE

TPM_ST_ATTEST_CERTIFY: Final = 0x8017  # Part 2, table "TPM_ST Constants"
_CLOCK_INFO_BYTES: Final = 17  # Part 2, TPMS_CLOCK_INFO: clock, resetCount, restartCount, safe
_FIRMWARE_BYTES: Final = 8  # Part 2, TPMS_ATTEST.firmwareVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """The fields of the certification that we use.

    Attributes:
        extra_data: the caller's qualifyingData; at most 66 bytes.
        name: TPM name of the certified object; at most 66 bytes.
    """

    extra_data: bytes
    name: bytes


def parse_certify(raw: bytes) -> Certified:
    """Parses the content of a TPM2B_ATTEST, without its size.

    Raises:
        PeerError: ``too-large``, ``attest-not-tpm-generated``, ``attest-type-wrong``, ``malformed``.
    """
    if len(raw) > MAX_ATTEST_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"attest: {len(raw)} bytes, the limit is {MAX_ATTEST_BYTES}")
    reader = Reader(raw, "big")
    magic = reader.uint(4, "attest magic")
    if magic != TPM_GENERATED_VALUE:
        raise PeerError(Reason.ATTEST_NOT_TPM_GENERATED, f"attest magic {magic:#010x}")
    kind = reader.uint(2, "attest type")
    if kind != TPM_ST_ATTEST_CERTIFY:
        raise PeerError(Reason.ATTEST_TYPE_WRONG, f"attest type {kind:#06x}: not of TPM2_Certify")
    reader.sized(2, MAX_NAME_BYTES, "attest qualifiedSigner")
    extra_data = reader.sized(2, MAX_EXTRA_DATA_BYTES, "attest extraData")
    reader.take(_CLOCK_INFO_BYTES + _FIRMWARE_BYTES, "attest clockInfo, firmwareVersion")
    name = reader.sized(2, MAX_NAME_BYTES, "attest name")
    reader.sized(2, MAX_NAME_BYTES, "attest qualifiedName")
    reader.finish("attest")
    return Certified(extra_data=extra_data, name=name)
