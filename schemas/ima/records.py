"""The kernel's binary IMA measurement list (``binary_runtime_measurements``), little-endian.

This module cuts entries of every template, also of unknown ones, so all of them can be replayed. It parses the fields
of known templates. For every entry that is not a violation it checks that the template hash is ``sha1(template data)``.
It does not verify file signatures (``signature``), replay (``log_replay``) or read big-endian lists. ``formats``
converts ASCII lists and the lists of one bank (``binary_runtime_measurements_<alg>``).

A *violation* (a file was written while it was measured) has an all-zero template hash and extends all ones. No PCR
binds the data of such an entry, so its path and digest are unverified. No PCR binds the template's name either: a
changed name makes an entry malformed or the file unknown, it never turns the entry into another known file.

Source: Linux ``security/integrity/ima`` (``ima_fs.c``, ``ima_template_lib.c``, ``ima_crypto.c``). A list may have
100,000 entries, so the work is done in columns: one pass cuts and checks, one pass for each bank hashes.
"""

import itertools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final, NamedTuple

from schemas import limits
from schemas.errors import PeerError
from schemas.hashes import BY_NAME, HASH_ALGORITHMS, SHA1, HashAlgorithm
from schemas.ima.template import EVENT_NAME_BYTES, MAX_NAME_BYTES, TEMPLATE_IMA, cut_fields, digest_of, path_of
from schemas.reasons import Reason

# The bytes after the path in entries of unsigned files, by template. Most entries of a list are of these.
_PLAIN: Final = {b"ima-ng": b"", b"ima-sig": bytes(4)}

_VIOLATION: Final = bytes(SHA1.size)

# By size of the template hash: PCR, template hash, length of the template's name.
_HEADERS: Final = {each.size: struct.Struct(f"<I{each.size}sI") for each in HASH_ALGORITHMS}
_HEADER: Final = _HEADERS[SHA1.size]
_SIZE: Final = struct.Struct("<I")
_SHA256_HEAD: Final = struct.Struct("<12s32sI")  # the usual template data up to the path: label, digest, path length
_SHA256_HEAD_LABEL: Final = b"\x28\0\0\0sha256:\0"
_SHA256_LABEL: Final = b"sha256"


@unique
class ImaBankMode(StrEnum):
    """The digest that the kernel extends into a bank other than SHA-1 (ima_crypto.c, ima_calc_field_array_hash).

    A padded bank is only as strong as SHA-1. Old kernels pad, and so do newer kernels in banks whose algorithm is a
    module, because IMA starts before modules are loaded. Debian 12 has SHA-384 and SHA-512 as modules.
    """

    HASHED = "hashed"  # the bank's own hash of the template data: Linux 5.8 and later, algorithm built in
    PADDED_SHA1 = "padded-sha1"  # the SHA-1 template hash, padded with zeros: all other kernels


class ImaFile(NamedTuple):
    """The parts of one entry that appraisal needs.

    Attributes:
        pcr_index: the PCR that was extended. A quote binds the entry only if it selects this PCR.
        path: the path as in the list; empty in an unknown template.
        digest: the file's digest, without the algorithm's name; empty in an unknown template, None in a violation.
        signature: the ``security.ima`` signature, unverified; empty if there is none. In an ``ima-buf`` entry it is the
            buffer, because an ``ima-sig`` entry looks like that if its template was renamed on the way.
        label: kind of the digest: ``sha256``, ``ima:sha256``, ``verity:sha256``; empty if there is no digest.
    """

    pcr_index: int
    path: bytes
    digest: bytes | None
    signature: bytes
    label: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaEntry:
    """One entry with all its parts, for people and for checks that need more than :class:`ImaFile` has.

    Attributes:
        pcr_index: 0 to 23.
        template_hash: SHA-1 of the template data; zeros for a violation.
        template_name: for instance ``ima-ng``; a custom template's name is its list of fields.
        template_data: the data as in the list. The template hash covers exactly these bytes, except in template
            ``ima``.
        file_digest: None in a violation, in an unknown template, and for an unknown algorithm.
        fs_verity: whether the digest is the file's fs-verity digest instead of its hash.
        raw_path: the path as in the list.
        path: the path for display; bytes that are not UTF-8 are written in hexadecimal.
        signature: None if there is none.
        violation: whether the file was written while it was measured.
        fields: the fields of the template data by name; the path without its NUL. Empty in an unknown template.
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
    fields: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaRecords:
    """Entries as columns of equal length.

    Attributes:
        ends: offset of the first byte after each entry.
        pcr_indices: 0 to 23.
        template_hashes: SHA-1; zeros for a violation.
        template_names: the names as in the list.
        hashed: the bytes that the template hash covers: the template data, except in template ``ima``.
    """

    ends: list[int]
    pcr_indices: list[int]
    template_hashes: list[bytes]
    template_names: list[bytes]
    hashed: list[bytes]

    def files(self, count: int) -> Iterator[ImaFile]:
        """The files that the first ``count`` entries measured.

        Raises:
            PeerError: ``log-malformed`` if the data of a known template do not parse.
        """
        head, new_tuple = _SHA256_HEAD.unpack_from, tuple.__new__  # a NamedTuple's own __new__ takes twice as long
        columns = (self.pcr_indices, self.template_hashes, self.template_names, self.hashed)
        for pcr_index, template_hash, name, data in itertools.islice(zip(*columns, strict=True), count):
            if template_hash != _VIOLATION and name in _PLAIN and len(data) > _SHA256_HEAD.size:
                label, digest, path_size = head(data)
                end = 47 + path_size  # 48: _SHA256_HEAD.size; its NUL is the only one
                if label == _SHA256_HEAD_LABEL and data.find(b"\0", 48) == end and data[end + 1 :] == _PLAIN[name]:
                    yield new_tuple(ImaFile, (pcr_index, data[48:end], digest, b"", _SHA256_LABEL))
                    continue
            yield _file(pcr_index, template_hash, name, data)

    def violations(self, count: int) -> Iterator[bool]:
        """Whether each of the first ``count`` entries is a violation."""
        return (each == _VIOLATION for each in self.template_hashes[:count])

    def extensions(self, algorithm: HashAlgorithm, mode: ImaBankMode) -> list[bytes]:
        """The digest that each entry extended into the bank of ``algorithm``."""
        ones = b"\xff" * algorithm.size
        if algorithm == SHA1:
            return [ones if each == _VIOLATION else each for each in self.template_hashes]
        if mode is ImaBankMode.HASHED:
            new = algorithm.new
            rows = zip(self.template_hashes, self.hashed, strict=True)
            return [ones if each == _VIOLATION else new(data).digest() for each, data in rows]
        size = algorithm.size
        return [ones if each == _VIOLATION else each.ljust(size, b"\0") for each in self.template_hashes]


def split_records(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """Cuts entries from ``data``.

    Args:
        data: the list from any index on.

    Returns:
        The whole entries, and the bytes of an entry that is cut short.

    Raises:
        PeerError: ``log-malformed`` for an impossible PCR or length.
    """
    ends = cut_records(data).ends
    starts = [0, *ends]
    records = tuple(data[start:end] for start, end in zip(starts, ends, strict=False))
    return records, data[starts[-1] :]


def read_records(data: bytes) -> ImaRecords:
    """Cuts ``data`` into entries and checks every template hash.

    Args:
        data: exactly some whole entries, from any index on.

    Raises:
        PeerError: ``log-malformed``.
    """
    records = cut_records(data)
    end = records.ends[-1] if records.ends else 0
    if end != len(data):
        raise _malformed(f"the entry at offset {end} is cut short")
    sha1 = SHA1.new
    computed = [sha1(hashed).digest() for hashed in records.hashed]
    if computed != records.template_hashes:
        for index, (digest, logged) in enumerate(zip(computed, records.template_hashes, strict=True)):
            if logged not in {digest, _VIOLATION}:
                raise _malformed(f"entry {index}: its template hash does not match its data")
    return records


def parse_entry(record: bytes) -> ImaEntry:
    """Parses one entry.

    Raises:
        PeerError: ``log-malformed`` if it is not exactly one entry, or if its template hash or data are wrong.
    """
    records = read_records(record)
    if len(records.ends) != 1:
        raise _malformed(f"{len(record)} bytes are {len(records.ends)} entries, expected one")
    name = records.template_names[0]
    violation = records.template_hashes[0] == _VIOLATION
    fields = cut_fields(name, records.hashed[0])
    path = path_of(fields)
    label, digest = digest_of(fields, violation=violation)
    algorithm = BY_NAME.get(label.rpartition(b":")[2].decode("ascii", "replace"))
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
        fields=fields,
    )


def cut_records(data: bytes, algorithm: HashAlgorithm = SHA1) -> ImaRecords:
    """Cuts ``data`` into whole entries; checks only lengths and PCR indices. This loop dominates the cost of a list.

    Args:
        data: the list from any index on.
        algorithm: algorithm of the template hashes: SHA-1, except in ``binary_runtime_measurements_<alg>``.

    Raises:
        PeerError: ``log-malformed``.
    """
    records = ImaRecords(ends=[], pcr_indices=[], template_hashes=[], template_names=[], hashed=[])
    add_end, add_pcr, add_hash = records.ends.append, records.pcr_indices.append, records.template_hashes.append
    add_name, add_hashed = records.template_names.append, records.hashed.append
    header, size_at = _HEADERS[algorithm.size].unpack_from, _SIZE.unpack_from
    head = _HEADERS[algorithm.size].size
    offset, limit, last_pcr = 0, len(data), limits.MAX_PCR_INDEX
    while offset + head <= limit:
        pcr_index, template_hash, name_size = header(data, offset)
        if pcr_index > last_pcr or not 0 < name_size <= MAX_NAME_BYTES:
            raise _malformed(f"entry at offset {offset}: PCR {pcr_index}, template name of {name_size} bytes")
        start = offset + head + name_size
        name = data[offset + head : start]
        if name == TEMPLATE_IMA:
            end = _ima_template_end(data, start)
            hashed = data[start : start + 20] + data[start + 24 : end].ljust(EVENT_NAME_BYTES, b"\0")
        else:
            start += 4
            if start > limit:
                break
            (size,) = size_at(data, start - 4)
            if size > limits.MAX_LOG_ENTRY_BYTES:
                raise _malformed(f"entry at offset {offset}: {size} bytes of data")
            end = start + size
            hashed = data[start:end]
        if end > limit:
            break
        add_end(end)
        add_pcr(pcr_index)
        add_hash(template_hash)
        add_name(name)
        add_hashed(hashed)
        offset = end
    return records


def _ima_template_end(data: bytes, start: int) -> int:
    """The end of an ``ima`` entry whose data begin at ``start``; may be beyond the end of ``data``.

    The data of this template have no length of their own: they are a SHA-1 digest and a path with its length.
    """
    path_start = start + SHA1.size + _SIZE.size
    if path_start > len(data):
        return path_start
    (size,) = _SIZE.unpack_from(data, path_start - _SIZE.size)
    if size >= EVENT_NAME_BYTES:
        raise _malformed(f"path of {size} bytes in the ima template, the limit is {EVENT_NAME_BYTES - 1}")
    end: int = path_start + size
    return end


def _file(pcr_index: int, template_hash: bytes, name: bytes, hashed: bytes) -> ImaFile:
    fields = cut_fields(name, hashed)
    violation = template_hash == _VIOLATION
    label, digest = digest_of(fields, violation=violation)
    return ImaFile(
        pcr_index, path_of(fields), None if violation else digest, fields.get("sig", fields.get("buf", b"")), label
    )


def _malformed(detail: str) -> PeerError:
    return PeerError(Reason.LOG_MALFORMED, f"IMA list: {detail}")
