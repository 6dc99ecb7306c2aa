"""The forms in which kernels show the IMA list: binary or ASCII, with the template hashes of one bank.

Only ``binary_runtime_measurements`` travels and is replayed; the other forms are converted to it. A converted entry
equals the one in the SHA-1 list, and its template hash in the other form was checked.

Source: Linux ``security/integrity/ima/ima_fs.c``; since 6.10 there is one pair of files for each bank.
"""

import itertools
import struct
from dataclasses import dataclass
from typing import Final

from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS, SHA1, HashAlgorithm
from schemas.ima import records as ima_records
from schemas.ima.ascii import Converted, check_template_hash, convert_ascii
from schemas.reasons import Reason

_FIRST_BYTES: Final = frozenset(b" 0123456789")  # of an ASCII entry; a binary entry begins with a PCR below 24
_BY_DIGITS: Final = {2 * algorithm.size: algorithm for algorithm in HASH_ALGORITHMS}
_FIRST_ENTRY_BYTES: Final = 4096  # the first entry is a boot aggregate


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFormat:
    """A form of the list.

    Attributes:
        text: whether it is ASCII.
        algorithm: algorithm of its template hashes.
    """

    text: bool = False
    algorithm: HashAlgorithm = SHA1


BINARY: Final = ListFormat()


def detect_format(data: bytes) -> ListFormat:
    """Detects the form of a list by its first entry. Falls back to the plain binary form.

    Args:
        data: the list from its start.
    """
    if data and data[0] in _FIRST_BYTES:
        digits = data[3:].partition(b" ")[0] if data[2:3] == b" " else b""
        return ListFormat(text=True, algorithm=_BY_DIGITS.get(len(digits), SHA1))
    for algorithm in HASH_ALGORITHMS:
        try:
            columns = ima_records.cut_records(data[:_FIRST_ENTRY_BYTES], algorithm)
            if columns.ends:
                check_template_hash(columns.template_hashes[0], columns.hashed[0], algorithm)
                return ListFormat(algorithm=algorithm)
        except PeerError:
            continue
    return BINARY


def convert(data: bytes, form: ListFormat) -> Converted:
    """Converts the entries of a list to entries of ``binary_runtime_measurements``.

    Args:
        data: the list from any entry on; an entry that is cut short at the end is left out.
        form: the form of the list.

    Raises:
        PeerError: ``log-malformed``.
    """
    if form.text:
        return convert_ascii(data, form.algorithm)
    if form.algorithm == SHA1:
        records, _ = ima_records.split_records(data)
        return Converted(records, tuple(itertools.accumulate(map(len, records))))
    return _convert_bank(data, form.algorithm)


def _convert_bank(data: bytes, algorithm: HashAlgorithm) -> Converted:
    """Converts the entries of ``binary_runtime_measurements_<alg>``."""
    columns = ima_records.cut_records(data, algorithm)
    records = []
    start, after_hash = 0, 4 + algorithm.size
    for number, end in enumerate(columns.ends):
        try:
            sha1 = check_template_hash(columns.template_hashes[number], columns.hashed[number], algorithm)
        except PeerError as error:
            raise PeerError(Reason.LOG_MALFORMED, f"IMA list: entry {number}: {error.detail}") from error
        records.append(struct.pack("<I", columns.pcr_indices[number]) + sha1 + data[start + after_hash : end])
        start = end
    return Converted(tuple(records), tuple(columns.ends))
