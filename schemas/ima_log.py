"""The kernel's binary IMA measurement list (``binary_runtime_measurements``), little-endian.

Promises: entries of every template, also unknown ones, are cut and replayable; what the built-in templates say is
parsed; ``sha1(template data)`` equals the template hash of every entry that is not a violation.
Does not: verify file signatures, replay (``log_replay``), or read the big-endian lists and the per-bank lists
(``binary_runtime_measurements_<alg>``).

A *violation* (a file was written while measured) has an all-zero template hash and extends all ones. No PCR binds the
data of a violation entry: its path and digest are hearsay.

Source: Linux ``security/integrity/ima`` (``ima_fs.c``, ``ima_template_lib.c``, ``ima_crypto.c``). For 100,000 entries
the work is done in columns: one pass cuts and checks, one pass a bank hashes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final, NamedTuple, assert_never

from schemas import limits
from schemas.errors import PeerError
from schemas.hashes import BY_NAME, SHA1, HashAlgorithm
from schemas.reasons import Reason

TEMPLATE_IMA: Final = b"ima"  # the only one without a length before its data, and with its own hash

# ima_template.c, builtin_templates. The first field is the file's digest, the second its path.
_FIELDS: Final = {
    b"ima": ("d", "n"),
    b"ima-ng": ("d-ng", "n-ng"),
    b"ima-sig": ("d-ng", "n-ng", "sig"),
    b"ima-ngv2": ("d-ngv2", "n-ng"),
    b"ima-sigv2": ("d-ngv2", "n-ng", "sig"),
    b"ima-buf": ("d-ng", "n-ng", "buf"),
    b"ima-modsig": ("d-ng", "n-ng", "sig", "d-modsig", "modsig"),
    b"evm-sig": ("d-ng", "n-ng", "evmsig", "xattrnames", "xattrlengths", "xattrvalues", "iuid", "igid", "imode"),
}
_PLAIN: Final = frozenset({b"ima-ng", b"ima-ngv2"})  # exactly digest and path: the bulk of every list

_VIOLATION: Final = bytes(SHA1.size)
_MAX_NAME_BYTES: Final = 255  # ima_template.c, MAX_TEMPLATE_NAME_LEN
_EVENT_NAME_BYTES: Final = 256  # ima.h, IMA_EVENT_NAME_LEN_MAX + 1: the "ima" template hashes a padded name

_HEADER: Final = struct.Struct("<I20sI")  # pcr, template hash, length of the template's name
_SIZE: Final = struct.Struct("<I")


@unique
class ImaBankMode(StrEnum):
    """What the kernel extends into banks other than SHA-1 (ima_crypto.c, ima_calc_field_array_hash)."""

    HASHED = "hashed"  # Linux 5.8 and later: the template data hashed with the bank's own algorithm
    PADDED_SHA1 = "padded-sha1"  # before: the SHA-1 template hash, padded with zeros


class ImaFile(NamedTuple):
    """What appraisal needs of one entry.

    Attributes:
        pcr_index: the PCR that was extended; bound by the quote only if selected there.
        path: as in the log; empty in an unknown template.
        digest: of the file, without the algorithm's name; empty in an unknown template, None in a violation.
        signature: ``security.ima`` signature, empty when there is none.
    """

    pcr_index: int
    path: bytes
    digest: bytes | None
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaEntry:
    """One entry, for people and for checks that need all of it.

    Attributes:
        pcr_index: 0 to 23.
        template_hash: SHA-1 of the template data, or zeros.
        template_name: ``ima-ng``; a custom template's name is its list of fields.
        template_data: as in the log; what the hash is made over, except in the ``ima`` template.
        file_digest: None in a violation, an unknown template, and for an unknown algorithm.
        fs_verity: the digest is a file's fs-verity digest, not its hash.
        raw_path: as in the log.
        path: for display, bytes that are not UTF-8 as ``\\xff``.
        signature: None when there is none.
        violation: the file was written while measured.
    """

    pcr_index: int
    template_hash: bytes
    template_name: str
    template_data: bytes
    file_digest: tuple[HashAlgorithm, bytes] | None
    fs_verity: bool
    raw_path: bytes
    path: str
    signature: bytes | None
    violation: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaRecords:
    """Entries as columns of equal length, each row checked against its template hash.

    Attributes:
        ends: offset of the first byte after each entry.
        pcr_indices: 0 to 23.
        template_hashes: SHA-1, or zeros for a violation.
        template_names: as in the log.
        hashed: what the template hash is made over; the template data, except in the ``ima`` template.
    """

    ends: list[int]
    pcr_indices: list[int]
    template_hashes: list[bytes]
    template_names: list[bytes]
    hashed: list[bytes]

    def files(self, count: int) -> Iterator[ImaFile]:
        """What the first ``count`` entries measured.

        Raises:
            PeerError: ``log-malformed`` when the data of a built-in template do not parse.
        """
        rows = zip(self.pcr_indices, self.template_hashes, self.template_names, self.hashed, strict=True)
        for _, (pcr_index, template_hash, name, data) in zip(range(count), rows, strict=False):
            if name in _PLAIN and template_hash != _VIOLATION:
                path, digest = _plain_fields(data)
                yield ImaFile(pcr_index, path, digest, b"")
            else:
                yield _file(pcr_index, template_hash, name, data)

    def extensions(self, algorithm: HashAlgorithm, mode: ImaBankMode) -> list[bytes]:
        """What each entry extended into the bank of ``algorithm``."""
        ones = b"\xff" * algorithm.size
        match mode:
            case _ if algorithm == SHA1:
                return [ones if each == _VIOLATION else each for each in self.template_hashes]
            case ImaBankMode.HASHED:
                new = algorithm.new
                rows = zip(self.template_hashes, self.hashed, strict=True)
                return [ones if each == _VIOLATION else new(data).digest() for each, data in rows]
            case ImaBankMode.PADDED_SHA1:
                size = algorithm.size
                return [ones if each == _VIOLATION else each.ljust(size, b"\0") for each in self.template_hashes]
            case _:
                assert_never(mode)


def split_records(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """Cuts entries from ``data``.

    Args:
        data: the list from any index on.

    Returns:
        whole entries, and the bytes of an entry that is cut short.

    Raises:
        PeerError: ``log-malformed`` for an impossible PCR or length.
    """
    records = []
    offset = 0
    for *_, end in _frames(data):
        records.append(data[offset:end])
        offset = end
    return tuple(records), data[offset:]


def read_records(data: bytes) -> ImaRecords:
    """Cuts ``data`` and checks every template hash.

    Args:
        data: whole entries from any index on, nothing after them.

    Raises:
        PeerError: ``log-malformed``.
    """
    records = ImaRecords(ends=[], pcr_indices=[], template_hashes=[], template_names=[], hashed=[])
    add_end, add_pcr, add_hash = records.ends.append, records.pcr_indices.append, records.template_hashes.append
    add_name, add_hashed = records.template_names.append, records.hashed.append
    sha1 = SHA1.new
    end = 0
    for pcr_index, template_hash, name, start, end in _frames(data):
        hashed = data[start:end]
        if name == TEMPLATE_IMA:
            hashed = hashed[: SHA1.size] + hashed[SHA1.size + _SIZE.size :].ljust(_EVENT_NAME_BYTES, b"\0")
        if sha1(hashed).digest() != template_hash and template_hash != _VIOLATION:
            raise _malformed(f"entry that ends at {end}: its template hash is not that of its data")
        add_end(end)
        add_pcr(pcr_index)
        add_hash(template_hash)
        add_name(name)
        add_hashed(hashed)
    if end != len(data):
        raise _malformed(f"the entry at offset {end} is cut short")
    return records


def parse_entry(record: bytes) -> ImaEntry:
    """Parses one entry.

    Raises:
        PeerError: ``log-malformed``: not exactly one entry, or its template hash or data are wrong.
    """
    records = read_records(record)
    if len(records.ends) != 1:
        raise _malformed(f"{len(record)} bytes are {len(records.ends)} entries, expected one")
    name = records.template_names[0]
    violation = records.template_hashes[0] == _VIOLATION
    hashed = records.hashed[0]
    fields = _fields(name, hashed)
    path = fields.get("n-ng", b"")
    label, digest = _labelled_digest(fields)
    algorithm = BY_NAME.get(label.rpartition(b":")[2].decode("ascii", "replace"))
    if algorithm is not None and len(digest) != algorithm.size:
        raise _malformed(f"{algorithm.name} digest of {len(digest)} bytes")
    return ImaEntry(
        pcr_index=records.pcr_indices[0],
        template_hash=records.template_hashes[0],
        template_name=name.decode("utf-8", "backslashreplace"),
        template_data=record[_HEADER.size + len(name) + (0 if name == TEMPLATE_IMA else _SIZE.size) :],
        file_digest=None if violation or algorithm is None else (algorithm, digest),
        fs_verity=label.startswith(b"verity:"),
        raw_path=path,
        path=path.decode("utf-8", "backslashreplace"),
        signature=fields.get("sig") or None,
        violation=violation,
    )


def _frames(data: bytes) -> Iterator[tuple[int, bytes, bytes, int, int]]:
    """PCR, template hash, template name, start and end of the template data of each whole entry."""
    header, size_at = _HEADER.unpack_from, _SIZE.unpack_from
    offset, limit = 0, len(data)
    while offset + _HEADER.size <= limit:
        pcr_index, template_hash, name_size = header(data, offset)
        if pcr_index > limits.MAX_PCR_INDEX or not 0 < name_size <= _MAX_NAME_BYTES:
            raise _malformed(f"entry at offset {offset}: PCR {pcr_index}, template name of {name_size} bytes")
        start = offset + 28 + name_size  # 28: _HEADER.size
        name = data[offset + 28 : start]
        size_offset = start + SHA1.size if name == TEMPLATE_IMA else start
        if size_offset + 4 > limit:
            return
        (size,) = size_at(data, size_offset)
        end = size_offset + 4 + size
        if name != TEMPLATE_IMA:
            start += 4
            if size > limits.MAX_LOG_ENTRY_BYTES:
                raise _malformed(f"entry at offset {offset}: {size} bytes of data")
        elif size >= _EVENT_NAME_BYTES:
            raise _malformed(f"entry at offset {offset}: path of {size} bytes in the ima template")
        if end > limit:
            return
        yield pcr_index, template_hash, name, start, end
        offset = end


def _plain_fields(data: bytes) -> tuple[bytes, bytes]:
    """Path and digest of template data that consist of these two only."""
    try:
        (digest_size,) = _SIZE.unpack_from(data)
        path_start = digest_size + 8
        (path_size,) = _SIZE.unpack_from(data, digest_size + 4)
        digest_start = data.index(0, 4, digest_size + 4) + 1
    except (struct.error, ValueError) as error:
        raise _malformed("template data: no digest or no path") from error
    if path_start + path_size != len(data) or data[-1] != 0 or not path_size:
        raise _malformed("template data: the path's length is wrong or its NUL is missing")
    return data[path_start:-1], data[digest_start : digest_size + 4]


def _file(pcr_index: int, template_hash: bytes, name: bytes, hashed: bytes) -> ImaFile:
    fields = _fields(name, hashed)
    digest = None if template_hash == _VIOLATION else _labelled_digest(fields)[1]
    return ImaFile(pcr_index, fields.get("n-ng", b""), digest, fields.get("sig", b""))


def _labelled_digest(fields: dict[str, bytes]) -> tuple[bytes, bytes]:
    """What the digest is (``sha256``, ``verity:sha256``), and the digest; both empty when there is none."""
    if "d" in fields:
        return b"sha1", fields["d"]
    field = fields.get("d-ngv2", fields.get("d-ng"))
    if field is None:
        return b"", b""
    label, separator, digest = field.partition(b":\0")
    if not separator:
        raise _malformed("template data: a digest without the name of its algorithm")
    return label, digest


def _fields(name: bytes, hashed: bytes) -> dict[str, bytes]:
    """The fields of a built-in template, paths without their NUL; none of any other template."""
    if name == TEMPLATE_IMA:
        return {"d": hashed[: SHA1.size], "n-ng": hashed[SHA1.size :].rstrip(b"\0")}
    fields = {}
    names = _FIELDS.get(name, ())
    offset = 0
    for field in names:
        start = offset + 4
        if start > len(hashed):
            raise _malformed(f"template data: no {field}")
        (size,) = _SIZE.unpack_from(hashed, offset)
        offset = start + size
        if offset > len(hashed):
            raise _malformed(f"template data: {field} is cut short")
        fields[field] = hashed[start:offset]
    if names:
        if offset != len(hashed):
            raise _malformed(f"template data: {len(hashed) - offset} bytes after the last field")
        if not fields["n-ng"].endswith(b"\0"):
            raise _malformed("template data: the path has no NUL")
        fields["n-ng"] = fields["n-ng"][:-1]
    return fields


def _malformed(detail: str) -> PeerError:
    return PeerError(Reason.LOG_MALFORMED, f"IMA list: {detail}")
