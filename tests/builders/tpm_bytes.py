"""TPM structures as bytes: small builders, and one real key with what it signed.

The ``REAL_*`` bytes were made by libtpms 0.9 (swtpm 0.7.1) right after its first start: a primary P-256 attestation key
in the endorsement hierarchy, a TPM2_GetTime and a TPM2_Quote of ``sha256:0,1,7,17+sha1:10``, qualifyingData 00 to 1f.
"""

import struct
from typing import Final

TPM_GENERATED: Final = 0xFF544347
TPM_ST_ATTEST_TIME: Final = 0x8019
TPM_ST_ATTEST_QUOTE: Final = 0x8018


def sized(content: bytes) -> bytes:
    """A TPM2B."""
    return struct.pack(">H", len(content)) + content


def selection_bytes(*banks: tuple[int, bytes]) -> bytes:
    """A TPML_PCR_SELECTION of (TPM_ALG_ID, bits)."""
    parts = [struct.pack(">HB", tpm_id, len(bits)) + bits for tpm_id, bits in banks]
    return struct.pack(">I", len(banks)) + b"".join(parts)


def clock_bytes(clock: int = 1000, reset_count: int = 3, restart_count: int = 1, safe: int = 1) -> bytes:
    """A TPMS_CLOCK_INFO."""
    return struct.pack(">QIIB", clock, reset_count, restart_count, safe)


def attest_bytes(
    attested: bytes,
    *,
    kind: int,
    magic: int = TPM_GENERATED,
    signer: bytes = b"\x00\x0b" + bytes(32),
    extra_data: bytes = b"nonce",
    clock_info: bytes | None = None,
    firmware_version: int = 0x2019_1023_0016_3636,
) -> bytes:
    """A TPMS_ATTEST around ``attested``."""
    clock_info = clock_bytes() if clock_info is None else clock_info
    head = struct.pack(">IH", magic, kind) + sized(signer) + sized(extra_data)
    return head + clock_info + struct.pack(">Q", firmware_version) + attested


def quote_bytes(selection: bytes | None = None, digest: bytes = bytes(32)) -> bytes:
    """A TPMS_ATTEST of a quote; by default of sha256:0."""
    selection = selection_bytes((0x000B, b"\x01\x00\x00")) if selection is None else selection
    return attest_bytes(selection + sized(digest), kind=TPM_ST_ATTEST_QUOTE)


def time_bytes(inner: bytes | None = None, time: int = 900) -> bytes:
    """A TPMS_ATTEST of TPM2_GetTime."""
    inner = clock_bytes() if inner is None else inner
    attested = struct.pack(">Q", time) + inner + struct.pack(">Q", 0x2019_1023_0016_3636)
    return attest_bytes(attested, kind=TPM_ST_ATTEST_TIME)


REAL_PUBLIC: Final = bytes.fromhex(
    "0023000b00050072000000100018000b000300100020206485e713e026a3798a54fe435151068874d2aeaf25b15e3d84289da981"
    "98c40020f9e455879df23dda5183bedc7f3bae3e912d6a1ff60746cb16c8241f1381acbf"
)
REAL_NAME: Final = bytes.fromhex("000b705e6d773a0526ca645b353f623f8cd28a02f5c489af6cd2398c372e36c9ca75")
REAL_QUALIFIED_NAME: Final = bytes.fromhex("000b74bcf8d44dad4163d8a12bd9bdd4591b10d69e84e902af369845f13a945e54c4")
REAL_TIME: Final = bytes.fromhex(
    "ff54434780190022000b74bcf8d44dad4163d8a12bd9bdd4591b10d69e84e902af369845f13a945e54c400200001020304050607"
    "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00000000000000060000000100000000012019102300163636000000"
    "000000000600000000000000060000000100000000012019102300163636"
)
REAL_TIME_SIGNATURE: Final = bytes.fromhex(
    "0018000b0020017ee6c88df14f30bab289336491cd2da8435f4c76cfa3014d958ce339bd4fa700200a86ca1358068b3482ee2d35"
    "8ad607d18c975faae822ec1c2a3ef6e0f63d8013"
)
REAL_QUOTE: Final = bytes.fromhex(
    "ff54434780180022000b74bcf8d44dad4163d8a12bd9bdd4591b10d69e84e902af369845f13a945e54c400200001020304050607"
    "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00000000000000070000000100000000012019102300163636000000"
    "02000b038300020004030004000020a453d8522d6a13aee05632f1eb6c1668b0464c851b31d78f7d930931fdc09931"
)
REAL_QUOTE_SIGNATURE: Final = bytes.fromhex(
    "0018000b00209a1dc365d117561ab866f82da1934fee5139e5d351c461e968d7b1659b3127100020d46d048c595becfa13fc3b94"
    "ee8b1c3a7354e3ad3b4273a6efaa2adf2dc0598a"
)
