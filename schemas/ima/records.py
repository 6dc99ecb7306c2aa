"""The kernel's binary IMA measurement list (``binary_runtime_measurements``), little-endian.

Promises: entries of every template, also unknown ones, are cut and replayable; what the built-in templates say is
parsed; ``sha1(template data)`` equals the template hash of every entry that is not a violation.
Does not: verify file signatures (``ima_signature``), replay (``log_replay``), or read the big-endian lists. ASCII lists
and those of one bank (``binary_runtime_measurements_<alg>``) are converted by ``ima_formats``.

A *violation* (a file was written while measured) has an all-zero template hash and extends all ones. No PCR binds the
data of a violation entry: its path and digest are hearsay. Nor does one bind a template's name: a changed name makes an
entry malformed or a file that nobody knows, never another file.

Source: Linux ``security/integrity/ima`` (``ima_fs.c``, ``ima_template_lib.c``, ``ima_crypto.c``). For 100,000 entries
the work is done in columns: one pass cuts and checks, one pass a bank hashes.
"""

import itertools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final, NamedTuple, assert_never

from schemas import limits
from schemas.errors import PeerError
from schemas.hashes import BY_NAME, HASH_ALGORITHMS, SHA1, HashAlgorithm
from schemas.ima.template import MAX_NAME_BYTES, TEMPLATE_IMA, cut_fields, digest_of, path_of
from schemas.reasons import Reason

_PLAIN: Final = {b"ima-ng": b"", b"ima-sig": bytes(4)}  # what follows the path of an unsigned file: most of a list

_VIOLATION: Final = bytes(SHA1.size)
_EVENT_NAME_BYTES: Final = 256  # ima.h, IMA_EVENT_NAME_LEN_MAX + 1: the "ima" template hashes a padded name

# By size of the template hashes: pcr, template hash, length of the template's name.
_HEADERS: Final = {each.size: struct.Struct(f"<I{each.size}sI") for each in HASH_ALGORITHMS}
_HEADER: Final = _HEADERS[SHA1.size]
_SIZE: Final = struct.Struct("<I")
_SHA256_HEAD: Final = struct.Struct("<12s32sI")  # the usual template data up to the path: label, digest, path length
_SHA256_HEAD_LABEL: Final = b"\x28\0\0\0sha256:\0"
_SHA256_LABEL: Final = b"sha256"


@unique
class ImaBankMode(StrEnum):
    """What the kernel extends into a bank other than SHA-1 (ima_crypto.c, ima_calc_field_array_hash).

    A padded bank is only as strong as SHA-1. Not only old kernels pad: one that has an algorithm as a module, as
    Debian 12 has SHA-384 and SHA-512, pads in these banks, because IMA starts before modules are loaded.
    """

    HASHED = "hashed"  # Linux 5.8 and later, algorithm built in: the template data hashed with the bank's algorithm
    PADDED_SHA1 = "padded-sha1"  # else: the SHA-1 template hash, padded with zeros


class ImaFile(NamedTuple):
    """What appraisal needs of one entry.

    Attributes:
        pcr_index: the PCR that was extended; bound by the quote only if selected there.
        path: as in the log; empty in an unknown template.
        digest: of the file, without the algorithm's name; empty in an unknown template, None in a violation.
        signature: ``security.ima`` signature, empty when there is none; of an ``ima-buf`` entry its buffer, since
            renamed on the way an ``ima-sig`` entry looks like one. Believed only if it verifies.
        label: how the digest was made: ``sha256``, ``ima:sha256``, ``verity:sha256``; empty where there is none.
    """

    pcr_index: int
    path: bytes
    digest: bytes | None
    signature: bytes
    label: bytes


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
        path: for display; bytes that are not UTF-8 are written in hexadecimal.
        signature: None when there is none.
        violation: the file was written while measured.
        fields: all fields of the template data by name, as they are; a path without its NUL. Empty in an unknown
            template.
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
    ends = cut_records(data).ends
    starts = [0, *ends]
    records = tuple(data[start:end] for start, end in zip(starts, ends, strict=False))
    return records, data[starts[-1] :]


def read_records(data: bytes) -> ImaRecords:
    """Cuts ``data`` and checks every template hash.

    Args:
        data: whole entries from any index on, nothing after them.

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
                raise _malformed(f"entry {index}: its template hash is not that of its data")
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
    """The whole entries of ``data``, nothing checked but lengths and PCRs. The loop that everything else waits for.

    Args:
        data: the list from any index on.
        algorithm: whose template hashes the list has; SHA-1, but in ``binary_runtime_measurements_<alg>``.

    Raises:
        PeerError: ``log-malformed``.
    """
    records = ImaRecords(ends=[], pcr_indices=[], template_hashes=[], template_names=[], hashed=[])
    add_end, add_pcr, add_hash = records.ends.append, records.pcr_indices.append, records.template_hashes.append
    add_name, add_hashed = records.template_names.append, records.hashed.append
    header, size_at = _HEADERS[algorithm.size].unpack_from, _SIZE.unpack_from
    head = _HEADERS[algorithm.size].size
    offset, limit, last_pcr = 0, len(data), limits.MAX_PCR_INDEX
    while offset + head + 4 <= limit:  # and a length
        pcr_index, template_hash, name_size = header(data, offset)
        if pcr_index > last_pcr or not 0 < name_size <= MAX_NAME_BYTES:
            raise _malformed(f"entry at offset {offset}: PCR {pcr_index}, template name of {name_size} bytes")
        start = offset + head + name_size
        name = data[offset + head : start]
        if name == TEMPLATE_IMA:
            end = _ima_template_end(data, start)
            hashed = data[start : start + 20] + data[start + 24 : end].ljust(_EVENT_NAME_BYTES, b"\0")
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
    """Where the entry ends whose data, a SHA-1 digest and a path with its length, begin at ``start``.

    The data of the ``ima`` template have no length of their own. May be beyond the end of ``data``.
    """
    path_start = start + SHA1.size + _SIZE.size
    if path_start > len(data):
        return path_start
    (size,) = _SIZE.unpack_from(data, path_start - _SIZE.size)
    if size >= _EVENT_NAME_BYTES:
        raise _malformed(f"path of {size} bytes in the ima template, the limit is {_EVENT_NAME_BYTES - 1}")
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
