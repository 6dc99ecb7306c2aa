"""How kernels show IMA entries in the other files of securityfs: ASCII, and with the template hashes of one bank.

Written from ``ima_ascii_measurements_show`` and ``ima_show_template_data_ascii``, not from our parser.
"""

import struct

from schemas.hashes import SHA1, HashAlgorithm

FORMATS = {
    "ima-ng": "d-ng|n-ng",
    "ima-sig": "d-ng|n-ng|sig",
    "ima-ngv2": "d-ngv2|n-ng",
    "ima-sigv2": "d-ngv2|n-ng|sig",
    "ima-buf": "d-ng|n-ng|buf",
    "ima-modsig": "d-ng|n-ng|sig|d-modsig|modsig",
    "evm-sig": "d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode",
}


def show_ascii(record: bytes, algorithm: HashAlgorithm = SHA1) -> bytes:
    """The line of an entry."""
    pcr_index, template, hashed, fields = _parse(record)
    head = b"%2d %s %s" % (pcr_index, _template_hash(record, hashed, algorithm).hex().encode(), template.encode())
    return head + b"".join(b" " + _show(name, content) for name, content in fields) + b"\n"


def show_bank(record: bytes, algorithm: HashAlgorithm) -> bytes:
    """The entry in the binary list of a bank."""
    _, _, hashed, _ = _parse(record)
    return record[:4] + _template_hash(record, hashed, algorithm) + record[24:]


def _template_hash(record: bytes, hashed: bytes, algorithm: HashAlgorithm) -> bytes:
    return algorithm.digest(hashed) if any(record[4:24]) else bytes(algorithm.size)


def _parse(record: bytes) -> tuple[int, str, bytes, list[tuple[str, bytes]]]:
    pcr_index, _, name_size = struct.unpack_from("<I20sI", record)
    template = record[28 : 28 + name_size].decode()
    rest = record[28 + name_size :]
    if template == "ima":
        path = rest[24:]
        return pcr_index, template, rest[:20] + path.ljust(256, b"\0"), [("d", rest[:20]), ("n", path + b"\0")]
    data = rest[4:]
    fields, offset = [], 0
    for name in FORMATS.get(template, template).split("|"):
        (size,) = struct.unpack_from("<I", data, offset)
        fields.append((name, data[offset + 4 : offset + 4 + size]))
        offset += 4 + size
    return pcr_index, template, data, fields


def _show(name: str, content: bytes) -> bytes:
    if not content:
        return b""
    if name in {"d-ng", "d-ngv2", "d-modsig"}:
        label, _, digest = content.partition(b"\0")
        return label + digest.hex().encode()
    if name in {"n", "n-ng", "xattrnames"}:
        return content.rstrip(b"\0")
    if name in {"iuid", "igid", "imode"}:
        return b"%d" % int.from_bytes(content, "little")
    return content.hex().encode()
