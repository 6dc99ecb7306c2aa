"""Measurement logs as bytes: small builders, and the recorded boot in ``deploy/demo/firmware``."""

import hashlib
import struct
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from schemas.hashes import BY_NAME, SHA1, SHA256, HashAlgorithm

FIRMWARE: Final = Path(__file__).resolve().parents[2] / "deploy" / "demo" / "firmware"

EV_NO_ACTION: Final = 3
EV_SEPARATOR: Final = 4
EV_HCRTM: Final = 0x80000010


def spec_id_record(algorithms: Mapping[int, int], vendor: bytes = b"") -> bytes:
    """Entry 0 of a crypto-agile log; ``algorithms``: TPM_ALG_ID to digest size."""
    header = struct.pack("<16sIBBBBI", b"Spec ID Event03", 0, 0, 2, 0, 2, len(algorithms))
    sizes = b"".join(struct.pack("<HH", *pair) for pair in algorithms.items())
    return sha1_event(0, EV_NO_ACTION, bytes(20), header + sizes + bytes([len(vendor)]) + vendor)


def sha1_event(pcr_index: int, event_type: int, digest: bytes, data: bytes) -> bytes:
    """A TCG_PCR_EVENT."""
    return struct.pack("<II20sI", pcr_index, event_type, digest, len(data)) + data


def agile_event(pcr_index: int, event_type: int, digests: Mapping[int, bytes], data: bytes) -> bytes:
    """A TCG_PCR_EVENT2."""
    listed = b"".join(struct.pack("<H", tpm_id) + digest for tpm_id, digest in digests.items())
    return struct.pack("<III", pcr_index, event_type, len(digests)) + listed + struct.pack("<I", len(data)) + data


def measured(
    pcr_index: int, data: bytes, event_type: int = EV_SEPARATOR, banks: tuple[HashAlgorithm, ...] = (SHA1, SHA256)
) -> bytes:
    """A TCG_PCR_EVENT2 whose digests are those of its data."""
    return agile_event(pcr_index, event_type, {bank.tpm_id: bank.digest(data) for bank in banks}, data)


def startup_locality(locality: int) -> bytes:
    """The EV_NO_ACTION event that names the locality of TPM2_Startup."""
    zeros = {SHA1.tpm_id: bytes(SHA1.size), SHA256.tpm_id: bytes(SHA256.size)}
    return agile_event(0, EV_NO_ACTION, zeros, b"StartupLocality\0" + bytes([locality]))


def field(content: bytes) -> bytes:
    """A field of IMA template data."""
    return struct.pack("<I", len(content)) + content


def ima_record(template: bytes, *fields: bytes, pcr_index: int = 10, template_hash: bytes | None = None) -> bytes:
    """An entry of an IMA list; for every template but ``ima``."""
    data = b"".join(map(field, fields))
    digest = hashlib.sha1(data, usedforsecurity=False).digest() if template_hash is None else template_hash
    return struct.pack("<I", pcr_index) + digest + field(template) + field(data)


def ima_ng(path: bytes, content: bytes, pcr_index: int = 10, algorithm: HashAlgorithm = SHA256) -> bytes:
    """An ``ima-ng`` entry for a file."""
    label = algorithm.name.encode() + b":\0"
    return ima_record(b"ima-ng", label + algorithm.digest(content), path + b"\0", pcr_index=pcr_index)


def ima_legacy(path: bytes, content: bytes, pcr_index: int = 10) -> bytes:
    """An entry in the ``ima`` template."""
    digest = hashlib.sha1(content, usedforsecurity=False).digest()
    template_hash = hashlib.sha1(digest + path.ljust(256, b"\0"), usedforsecurity=False).digest()
    return struct.pack("<I", pcr_index) + template_hash + field(b"ima") + digest + field(path)


def read_pcrs(text: str) -> dict[HashAlgorithm, dict[int, bytes]]:
    """``pcrs.txt``: lines of bank, index, hex."""
    banks: dict[HashAlgorithm, dict[int, bytes]] = {}
    for line in text.splitlines():
        name, index, digest = line.split()
        banks.setdefault(BY_NAME[name], {})[int(index)] = bytes.fromhex(digest)
    return banks


def uefi_variable(name: str, content: bytes, vendor: str = "8be4df61-93ca-11d2-aa0d-00e098032b8c") -> bytes:
    """A UEFI_VARIABLE_DATA."""
    header = uuid.UUID(vendor).bytes_le + struct.pack("<QQ", len(name), len(content))
    return header + name.encode("utf-16-le") + content
