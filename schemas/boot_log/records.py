"""The boot log: TCG PC Client Platform Firmware Profile event log, crypto-agile or SHA-1 only.

Cuts and parses entries exactly and within limits, from index 0, or from a later index with the :class:`BootLogFormat`
that entry 0 announced. Entry 0 of a crypto-agile log is its Spec ID record. This module does not replay
(``log_replay``) or decode event data (``event_data``). It expects no padding after the last entry: the kernel ends
``binary_bios_measurements`` at the first empty record (``drivers/char/tpm/eventlog``).

Source: TCG PC Client Platform Firmware Profile (PFP) 1.05, section 10, "Event Logging". All integers little-endian.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas import limits
from schemas.errors import PeerError
from schemas.hashes import BY_TPM_ID, HASH_ALGORITHMS, SHA1
from schemas.reasons import Reason
from schemas.tpm.pcr import STARTUP_LOCALITIES

EV_NO_ACTION: Final = 0x00000003  # PFP 10.4.1: informative, never extended
EV_EFI_HCRTM_EVENT: Final = 0x80000010  # PFP 10.4.1: the H-CRTM extended this into PCR 0
H_CRTM_LOCALITY: Final = 4  # TPM 2.0 Part 1, "H-CRTM before TPM2_Startup": PCR 0 starts as 0...04

_SPEC_ID_SIGNATURE: Final = b"Spec ID Event03\0"  # PFP 10.4.5.1, TCG_EfiSpecIDEvent
_STARTUP_LOCALITY: Final = b"StartupLocality\0"  # PFP 10.4.5.3, TCG_EfiStartupLocalityEvent
_MAX_DIGEST_BYTES: Final = max(algorithm.size for algorithm in HASH_ALGORITHMS)

_LEGACY_HEADER: Final = struct.Struct("<II20sI")  # TCG_PCR_EVENT: pcrIndex, eventType, SHA-1, eventDataSize
_AGILE_HEADER: Final = struct.Struct("<III")  # TCG_PCR_EVENT2: pcrIndex, eventType, digests.count
_SPEC_ID_HEADER: Final = struct.Struct("<16sIBBBBI")  # ... platformClass, minor, major, errata, uintnSize, count
_SPEC_ID_ALGORITHM: Final = struct.Struct("<HH")
_ALGORITHM: Final = struct.Struct("<H")
_SIZE: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootLogFormat:
    """The format of all entries after entry 0, which announces it.

    Attributes:
        digest_sizes: pairs of TPM_ALG_ID and digest size in bytes, in the log's order, including unknown algorithms.
            Empty if the log is SHA-1 only and its entries are ``TCG_PCR_EVENT``.
    """

    digest_sizes: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        """Checks number, uniqueness and sizes."""
        if len(self.digest_sizes) > limits.MAX_PCR_BANKS:
            raise _malformed(f"{len(self.digest_sizes)} algorithms, the limit is {limits.MAX_PCR_BANKS}")
        if len({tpm_id for tpm_id, _ in self.digest_sizes}) != len(self.digest_sizes):
            raise _malformed("Spec ID: the same algorithm twice")
        for tpm_id, size in self.digest_sizes:
            known = BY_TPM_ID.get(tpm_id)
            if not 0 < size <= _MAX_DIGEST_BYTES or (known is not None and size != known.size):
                raise _malformed(f"Spec ID: {size} bytes for algorithm {tpm_id:#06x}")

    @property
    def crypto_agile(self) -> bool:
        """Whether entries carry a list of digests (``TCG_PCR_EVENT2``)."""
        return bool(self.digest_sizes)

    def encode(self) -> bytes:
        """A compact form to store: 4 bytes for each algorithm, empty for SHA-1 only."""
        return b"".join(_SPEC_ID_ALGORITHM.pack(*pair) for pair in self.digest_sizes)


SHA1_ONLY: Final = BootLogFormat(digest_sizes=())


@dataclass(frozen=True, slots=True, kw_only=True)
class BootEvent:
    """One entry.

    Attributes:
        pcr_index: 0 to 23; for ``EV_NO_ACTION`` any number.
        event_type: a number of PFP 10.4.1; unverified.
        digests: pairs of TPM_ALG_ID and digest, in the entry's order, including unknown algorithms.
        data: event data; ``binding.bind`` finds whether the digests cover them.
    """

    pcr_index: int
    event_type: int
    digests: tuple[tuple[int, bytes], ...]
    data: bytes

    @property
    def extended(self) -> bool:
        """Whether the digests were extended into the PCR."""
        return self.event_type != EV_NO_ACTION

    @property
    def startup_locality(self) -> int | None:
        """The startup locality that the event states, which is the initial value of PCR 0; None for other events.

        Raises:
            PeerError: ``log-malformed`` for a locality at which no TPM starts.
        """
        if self.pcr_index != 0:
            return None
        if self.event_type == EV_EFI_HCRTM_EVENT:
            return H_CRTM_LOCALITY
        if self.event_type != EV_NO_ACTION or not self.data.startswith(_STARTUP_LOCALITY):
            return None
        locality = self.data[len(_STARTUP_LOCALITY) :]
        if len(locality) != 1 or locality[0] not in STARTUP_LOCALITIES:
            raise _malformed(f"StartupLocality {locality[:8].hex()}: expected one of {STARTUP_LOCALITIES}")
        return locality[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRecords:
    """A part of a log, cut into entries.

    Attributes:
        format: format of the log; None if not even entry 0 is whole.
        records: the whole entries.
        rest: the bytes of an entry that is cut short; usually empty.
    """

    format: BootLogFormat | None
    records: tuple[bytes, ...]
    rest: bytes


def split_records(data: bytes, log_format: BootLogFormat | None = None) -> BootRecords:
    """Cuts entries from ``data``.

    Args:
        data: the log from any index on, at most ``MAX_BOOT_LOG_BYTES``.
        log_format: format of the log; None if ``data`` starts at index 0.

    Raises:
        PeerError: ``too-large``, or ``log-malformed`` for an impossible length or algorithm.
    """
    if len(data) > limits.MAX_BOOT_LOG_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"boot log: {len(data)} bytes, the limit is {limits.MAX_BOOT_LOG_BYTES}")
    records = []
    offset = 0
    if log_format is None:
        end = _legacy_end(data, 0)
        if end is None:
            return BootRecords(format=None, records=(), rest=data)
        log_format = parse_format(data[:end])
        records.append(data[:end])
        offset = end
    for end in _ends(data, offset, log_format):
        records.append(data[offset:end])
        offset = end
    return BootRecords(format=log_format, records=tuple(records), rest=data[offset:])


def parse_format(record: bytes) -> BootLogFormat:
    """Reads the format that entry 0 announces: crypto-agile if it is a Spec ID record, otherwise SHA-1 only.

    Args:
        record: exactly entry 0.

    Raises:
        PeerError: ``log-malformed``.
    """
    event = parse_event(record, None)
    data = event.data
    if event.extended or event.pcr_index != 0 or not data.startswith(_SPEC_ID_SIGNATURE):
        return SHA1_ONLY
    if len(data) < _SPEC_ID_HEADER.size:
        raise _malformed(f"Spec ID: {len(data)} bytes, needs {_SPEC_ID_HEADER.size}")
    count: int = _SPEC_ID_HEADER.unpack_from(data)[-1]
    if not 0 < count <= limits.MAX_PCR_BANKS:
        raise _malformed(f"Spec ID: {count} algorithms, expected 1 to {limits.MAX_PCR_BANKS}")
    end = _SPEC_ID_HEADER.size + count * _SPEC_ID_ALGORITHM.size
    if end >= len(data) or end + 1 + data[end] != len(data):
        raise _malformed("Spec ID: its lengths do not add up")
    return decode_format(data[_SPEC_ID_HEADER.size : end])


def decode_format(stored: bytes) -> BootLogFormat:
    """The inverse of :meth:`BootLogFormat.encode`.

    Raises:
        PeerError: ``log-malformed``.
    """
    if len(stored) % _SPEC_ID_ALGORITHM.size:
        raise _malformed(f"format: {len(stored)} bytes, expected a multiple of {_SPEC_ID_ALGORITHM.size}")
    return BootLogFormat(digest_sizes=tuple(_SPEC_ID_ALGORITHM.iter_unpack(stored)))


def parse_event(record: bytes, log_format: BootLogFormat | None) -> BootEvent:
    """Parses one entry.

    Args:
        record: exactly one entry.
        log_format: format of the log; None for entry 0, which is a ``TCG_PCR_EVENT`` in every log.

    Raises:
        PeerError: ``log-malformed``.
    """
    if log_format is None or not log_format.crypto_agile:
        if _legacy_end(record, 0) != len(record):
            raise _malformed(f"{len(record)} bytes are not one event")
        pcr_index, event_type, digest, _ = _LEGACY_HEADER.unpack_from(record)
        digests: tuple[tuple[int, bytes], ...] = ((SHA1.tpm_id, digest),)
        data = record[_LEGACY_HEADER.size :]
    else:
        if _agile_end(record, 0, dict(log_format.digest_sizes)) != len(record):
            raise _malformed(f"{len(record)} bytes are not one event")
        pcr_index, event_type, _ = _AGILE_HEADER.unpack_from(record)
        digests, data = _digests_and_data(record, dict(log_format.digest_sizes))
    if event_type != EV_NO_ACTION and pcr_index > limits.MAX_PCR_INDEX:
        raise _malformed(f"PCR {pcr_index}: expected 0 to {limits.MAX_PCR_INDEX}")
    return BootEvent(pcr_index=pcr_index, event_type=event_type, digests=digests, data=data)


def _digests_and_data(record: bytes, sizes: dict[int, int]) -> tuple[tuple[tuple[int, bytes], ...], bytes]:
    """Parses the variable part of a ``TCG_PCR_EVENT2``, whose lengths :func:`_agile_end` has checked."""
    (count,) = _SIZE.unpack_from(record, _AGILE_HEADER.size - _SIZE.size)
    offset = _AGILE_HEADER.size
    digests = []
    for _ in range(count):
        (tpm_id,) = _ALGORITHM.unpack_from(record, offset)
        start = offset + _ALGORITHM.size
        offset = start + sizes[tpm_id]
        digests.append((tpm_id, record[start:offset]))
    if len({tpm_id for tpm_id, _ in digests}) != count:
        raise _malformed("event: two digests of the same algorithm")
    return tuple(digests), record[offset + _SIZE.size :]


def _ends(data: bytes, offset: int, log_format: BootLogFormat) -> Iterator[int]:
    """The end of each whole entry from ``offset`` on."""
    sizes = dict(log_format.digest_sizes)
    while offset < len(data):
        end = _agile_end(data, offset, sizes) if sizes else _legacy_end(data, offset)
        if end is None:
            return
        yield end
        offset = end


def _legacy_end(data: bytes, offset: int) -> int | None:
    """The end of the ``TCG_PCR_EVENT`` at ``offset``; None if it is cut short."""
    start = offset + _LEGACY_HEADER.size
    return _data_end(data, start - _SIZE.size)


def _agile_end(data: bytes, offset: int, sizes: dict[int, int]) -> int | None:
    """The end of the ``TCG_PCR_EVENT2`` at ``offset``; None if it is cut short."""
    start = offset + _AGILE_HEADER.size
    if start > len(data):
        return None
    (count,) = _SIZE.unpack_from(data, start - _SIZE.size)
    if count > len(sizes):
        raise _malformed(f"event at offset {offset}: {count} digests, the log has {len(sizes)} algorithms")
    for _ in range(count):
        if start + _ALGORITHM.size > len(data):
            return None
        (tpm_id,) = _ALGORITHM.unpack_from(data, start)
        if tpm_id not in sizes:
            raise _malformed(f"event at offset {offset}: algorithm {tpm_id:#06x} is not in the Spec ID record")
        start += _ALGORITHM.size + sizes[tpm_id]
    return _data_end(data, start)


def _data_end(data: bytes, offset: int) -> int | None:
    """The end of the event data whose length is at ``offset``; None if they are cut short."""
    start = offset + _SIZE.size
    if start > len(data):
        return None
    (size,) = _SIZE.unpack_from(data, offset)
    if size > limits.MAX_LOG_ENTRY_BYTES:
        raise _malformed(f"event data of {size} bytes, the limit is {limits.MAX_LOG_ENTRY_BYTES}")
    end: int = start + size
    return end if end <= len(data) else None


def _malformed(detail: str) -> PeerError:
    return PeerError(Reason.LOG_MALFORMED, f"boot log: {detail}")
