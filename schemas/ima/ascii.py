"""Converts the kernel's ASCII IMA list (``ascii_runtime_measurements``) to entries of the binary list.

``records`` accepts every converted entry, and its template hash is the line's. A line is refused, never guessed, if its
template is unknown or if the hash of the restored data differs.

The list is ambiguous, because the kernel escapes nothing. A path may hold spaces (the kernel replaces most of them by
underscores) and line feeds. So the path is everything between the fields before and after it, and a line that does not
look like an entry continues the line before it.

Source: Linux ``security/integrity/ima`` (``ima_fs.c``, ``ima_ascii_measurements_show``; ``ima_template_lib.c``).
"""

import binascii
import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from schemas import limits
from schemas.errors import PeerError
from schemas.hashes import SHA1, HashAlgorithm
from schemas.ima.template import (
    DIGEST_FIELDS,
    EVENT_NAME_BYTES,
    MAX_NAME_BYTES,
    NAME_FIELDS,
    TEMPLATE_IMA,
    UINT_FIELDS,
    field_names,
)
from schemas.reasons import Reason

_MAX_LINE_BYTES: Final = 2 * limits.MAX_LOG_ENTRY_BYTES + 1024  # hexadecimal doubles the size
_ENTRY: Final = re.compile(rb" ?(\d{1,2}) ([0-9a-f]{40,128}) ([!-~]{1,255})(?= )")
_SIZE: Final = struct.Struct("<I")
_MAX_JOINED: Final = 4  # how many lines that each look like an entry may be one entry


class Converted(NamedTuple):
    """Converted entries.

    Attributes:
        records: the entries as in ``binary_runtime_measurements``.
        ends: for each entry the offset of the first byte after it in the converted list.
    """

    records: tuple[bytes, ...]
    ends: tuple[int, ...]


def convert_ascii(text: bytes, algorithm: HashAlgorithm = SHA1) -> Converted:
    """Converts all whole lines.

    Args:
        text: the list from any entry on; a last line without its line feed is left out.
        algorithm: algorithm of the template hashes: SHA-1, except in ``ascii_runtime_measurements_<alg>``.

    Raises:
        PeerError: ``log-malformed``.
    """
    records: list[bytes] = []
    ends: list[int] = []
    bounds = list(_bounds(text, algorithm))
    number = 0
    while number < len(bounds) - 1:
        number, record = _next_record(text, bounds, number, algorithm)
        records.append(record)
        ends.append(bounds[number])
    return Converted(tuple(records), tuple(ends))


def _next_record(text: bytes, bounds: list[int], number: int, algorithm: HashAlgorithm) -> tuple[int, bytes]:
    """Converts the entry that begins at bound ``number``.

    A path with a line feed may look as if a new entry began inside it. Then the template hash is wrong until the next
    line is joined.

    Returns:
        The number of the bound where the entry ends, and its record.
    """
    first: PeerError | None = None
    for end in range(number + 1, min(len(bounds), number + 1 + _MAX_JOINED)):
        try:
            return end, _convert(text[bounds[number] : bounds[end] - 1], algorithm)
        except PeerError as error:
            first = first or error
    detail = "no entry" if first is None else first.detail
    raise PeerError(Reason.LOG_MALFORMED, f"ASCII IMA list at offset {bounds[number]}: {detail}") from first


def check_template_hash(logged: bytes, hashed: bytes, algorithm: HashAlgorithm) -> bytes:
    """Checks the template hash of one bank.

    Args:
        logged: the template hash in the list.
        hashed: the bytes that were hashed.
        algorithm: the bank's algorithm.

    Returns:
        The SHA-1 template hash of the entry; zeros for a violation.

    Raises:
        PeerError: ``log-malformed``.
    """
    if not any(logged):
        return bytes(SHA1.size)
    sha1 = SHA1.digest(hashed)
    if logged not in {algorithm.digest(hashed), sha1.ljust(algorithm.size, b"\0")}:  # see ImaBankMode
        raise _malformed("its template hash does not match its data")
    return sha1


def _bounds(text: bytes, algorithm: HashAlgorithm) -> Iterator[int]:
    """The start of each line that looks like an entry, and the end of the last whole line."""
    start = end = 0
    while (feed := text.find(b"\n", end)) >= 0:
        found = _ENTRY.match(text, end, feed)
        if end == 0 or (found is not None and len(found[2]) == 2 * algorithm.size):
            yield end
            start = end
        end = feed + 1
        if end - start > _MAX_LINE_BYTES:
            raise _malformed(f"ASCII IMA list: an entry of more than {_MAX_LINE_BYTES} bytes")
    yield end


def _convert(line: bytes, algorithm: HashAlgorithm) -> bytes:
    found = _ENTRY.match(line)
    if found is None or len(found[2]) != 2 * algorithm.size or int(found[1]) > limits.MAX_PCR_INDEX:
        raise _malformed(f"expected a PCR, {2 * algorithm.size} digits and a template")
    names = field_names(found[3])
    if not names:
        raise _malformed(f"template {found[3][:MAX_NAME_BYTES].decode('ascii')!r} is unknown")
    fields = dict(zip(names, _split(line[found.end() + 1 :], names), strict=True))
    head = _SIZE.pack(int(found[1]))
    name = _SIZE.pack(len(found[3])) + found[3]
    logged = _unhex(found[2])
    if found[3] == TEMPLATE_IMA:
        digest, path = _unhex(fields["d"]), fields["n"]
        if len(digest) != SHA1.size or len(path) >= EVENT_NAME_BYTES or b"\0" in path:
            raise _malformed("a digest or path of another size than the ima template has")
        template_hash = check_template_hash(logged, digest + path.ljust(EVENT_NAME_BYTES, b"\0"), algorithm)
        return head + template_hash + name + digest + _SIZE.pack(len(path)) + path
    contents = [_encode_field(field, shown) for field, shown in fields.items()]
    data = b"".join(_SIZE.pack(len(content)) + content for content in contents)
    if len(data) > limits.MAX_LOG_ENTRY_BYTES:
        raise _malformed(f"{len(data)} bytes of data")
    return head + check_template_hash(logged, data, algorithm) + name + _SIZE.pack(len(data)) + data


def _split(text: bytes, names: tuple[str, ...]) -> list[bytes]:
    """Splits a line into its fields. Only the path may hold spaces."""
    named = next((number for number, name in enumerate(names) if name in NAME_FIELDS), len(names) - 1)
    shown = text.split(b" ", named)
    after = len(names) - 1 - named
    shown[named:] = shown[named].rsplit(b" ", after) if after and len(shown) > named else shown[named:]
    if named < len(shown) < len(names):  # empty fields at the end, whose spaces were stripped on the way
        shown += [b""] * (len(names) - len(shown))
    if len(shown) != len(names):
        raise _malformed(f"{len(shown)} fields of {len(names)}")
    return shown


def _encode_field(name: str, shown: bytes) -> bytes:
    """The content that a field has in the binary list."""
    if name in NAME_FIELDS:
        return shown + b"\0"
    if not shown:
        return b""
    if name in UINT_FIELDS:
        size = UINT_FIELDS[name]
        if not shown.isdigit() or len(shown) > 10 or int(shown) >> 8 * size:  # noqa: PLR2004 digits of 32 bits
            raise _malformed(f"{name} is not a number of {size} bytes")
        return int(shown).to_bytes(size, "little")
    if name == "xattrnames":
        return shown + b"\0"
    if name == "d-modsig" or (name in DIGEST_FIELDS and name != "d"):
        label, colon, digest = shown.rpartition(b":")
        return (label + b":\0" if colon else b"") + _unhex(digest)
    return _unhex(shown)


def _unhex(shown: bytes) -> bytes:
    try:
        return binascii.unhexlify(shown)
    except ValueError as error:
        raise _malformed("not hexadecimal") from error


def _malformed(detail: str) -> PeerError:
    return PeerError(Reason.LOG_MALFORMED, detail)
