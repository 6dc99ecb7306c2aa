"""Records of the TCG Canonical Event Log (CEL), independent of their encoding (``in_cbor``, ``in_json``, ``in_tlv``).

Every :class:`CelRecord` is well-formed, within limits, and means the same in each encoding. A record extends its
digests
into a PCR, never its content: a quote vouches for the content only if :func:`is_content_bound` finds that the digests
are the content's. All other content is unverified.

Source: TCG Canonical Event Log Format 1.1, as implemented by libcel, go-eventlog, the tcg-cel crate and systemd. Where
these differ, ``docs/adr/0007-cel-logs.md`` defines what we read and write.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, TypeAlias, assert_never

from schemas import limits
from schemas.boot_log.records import EV_NO_ACTION
from schemas.codecs import cbor
from schemas.errors import PeerError
from schemas.hashes import BY_TPM_ID
from schemas.reasons import Reason
from schemas.transitions import TransitionKind

FIRST_NV_INDEX: Final = 0x01000000
LAST_NV_INDEX: Final = 0x01FFFFFF
_CEL_NV_INDICES: Final = range(0x20000000, 0x21000000)  # CEL 1.1 numbers NV indices differently
_NV_INDICES: Final = range(FIRST_NV_INDEX, LAST_NV_INDEX + 1)
_MAX_DIGEST_BYTES: Final = 64
_MAX_NAME_BYTES: Final = 255


class ContentType(IntEnum):
    """Types of content (CEL 1.1, table of content types); the last one is ours."""

    CEL = 4
    PCCLIENT_STD = 5
    IMA_TEMPLATE = 7
    IMA_TLV = 8
    SYSTEMD = 9
    APPLICATION = 0xA7


class ManagementEvent(IntEnum):
    """Events of content type ``cel`` (CEL 1.1, CEL_EVENT)."""

    CEL_VERSION = 1  # major, minor
    FIRMWARE_END = 2
    CEL_TIMESTAMP = 80
    STATE_TRANS = 81


MANAGEMENT_EVENTS: Final = frozenset(map(int, ManagementEvent))
_TRANSITIONS: Final = frozenset(map(int, TransitionKind))
_VALUE_COUNT: Final = {
    ManagementEvent.CEL_VERSION: 2,
    ManagementEvent.FIRMWARE_END: 0,
    ManagementEvent.CEL_TIMESTAMP: 1,
    ManagementEvent.STATE_TRANS: 1,
}
_NOT_EXTENDED: Final = frozenset({ManagementEvent.CEL_VERSION, ManagementEvent.FIRMWARE_END})


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementContent:
    """An event about the log itself.

    Attributes:
        event: the kind of event.
        values: of ``cel_version`` major and minor, of ``cel_timestamp`` a time, of ``state_trans`` a
            :class:`TransitionKind`; empty for ``firmware_end``.
    """

    event: ManagementEvent
    values: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Checks the number and range of the values."""
        if len(self.values) != _VALUE_COUNT[self.event] or not all(0 <= value < 2**64 for value in self.values):
            raise malformed(f"{self.event.name.lower()}: {len(self.values)} values")
        if self.event is ManagementEvent.STATE_TRANS and self.values[0] not in _TRANSITIONS:
            raise malformed(f"state_trans {self.values[0]}: expected one of {', '.join(map(str, TransitionKind))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PcClientContent:
    """An event of the PC Client Platform Firmware Profile."""

    event_type: int
    data: bytes

    def __post_init__(self) -> None:
        """Checks the event type."""
        if not 0 <= self.event_type < 2**32:
            raise malformed(f"event type {self.event_type}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaContent:
    """An IMA entry: template name and template data."""

    name: str
    data: bytes

    def __post_init__(self) -> None:
        """Checks the name."""
        _check_text(self.name, "template name")


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemdContent:
    """A record of systemd's ``tpm2-measure.log``.

    Attributes:
        event_type: ``phase``, ``filesystem``, ``volume-key``, ``machine-id`` …
        boot_id: the kernel's boot ID.
        timestamp: CLOCK_BOOTTIME in microseconds.
        string: the measured text; if the measured text is a secret, a description of it.
    """

    event_type: str | None = None
    boot_id: str | None = None
    timestamp: int | None = None
    string: str | None = None

    def __post_init__(self) -> None:
        """Checks texts and time."""
        for text, limit in (
            (self.event_type, _MAX_NAME_BYTES),
            (self.boot_id, _MAX_NAME_BYTES),
            (self.string, limits.MAX_LOG_ENTRY_BYTES),
        ):
            if text is not None:
                _check_text(text, "systemd content", limit)
        if self.timestamp is not None and not 0 <= self.timestamp < 2**64:
            raise malformed(f"timestamp {self.timestamp}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationContent:
    """A file measured by ``attester-agent measure``.

    The record's digests are those of the content's deterministic CBOR, so the PCR also binds type and name.

    Attributes:
        event_type: dotted words, for instance ``app.config``.
        name: name of the measured file.
        digest: SHA-256 of the file.
    """

    event_type: str
    name: str
    digest: bytes

    def __post_init__(self) -> None:
        """Checks texts and digest."""
        _check_text(self.event_type, "type")
        _check_text(self.name, "name", limits.MAX_TEXT_BYTES)
        if not self.event_type or not self.name or len(self.digest) != 32:  # noqa: PLR2004 SHA-256
            raise malformed("application content: expected a type, a name and a SHA-256 digest")

    def encode(self) -> bytes:
        """The bytes whose digests extend the PCR."""
        return cbor.encode({0: self.event_type, 1: self.name, 2: self.digest})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaqueContent:
    """Content of a type whose structure we do not know."""

    content_type: int
    data: bytes

    def __post_init__(self) -> None:
        """Checks that the type is not one whose structure we know."""
        if not 0 < self.content_type < 256 or self.content_type in _STRUCTURED:  # noqa: PLR2004 TLV: one byte
            raise malformed(f"content type {self.content_type} as plain bytes")


Content: TypeAlias = (
    ManagementContent | PcClientContent | ImaContent | SystemdContent | ApplicationContent | OpaqueContent
)
_STRUCTURED: Final = frozenset(map(int, ContentType)) - {int(ContentType.IMA_TLV)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CelRecord:
    """One record (TPMS_CEL_EVENT).

    Attributes:
        recnum: number among the records of the same PCR or NV index, from 0; None if the writer does not count.
        pcr: 0 to 23; None if the record extends an NV index.
        nv_index: None if the record extends a PCR.
        digests: pairs of TPM_ALG_ID and digest; may include unknown algorithms, each algorithm once.
        content: see :data:`Content`.
    """

    recnum: int | None
    pcr: int | None = None
    nv_index: int | None = None
    digests: tuple[tuple[int, bytes], ...]
    content: Content

    def __post_init__(self) -> None:
        """Checks index and digests."""
        if self.recnum is not None and not 0 <= self.recnum < 2**64:
            raise malformed(f"recnum {self.recnum}")
        if (self.pcr is None) == (self.nv_index is None):
            raise malformed("expected either a PCR or an NV index")
        if self.pcr is not None and not 0 <= self.pcr <= limits.MAX_PCR_INDEX:
            raise malformed(f"PCR {self.pcr}: expected 0 to {limits.MAX_PCR_INDEX}")
        if self.nv_index is not None and self.nv_index not in _NV_INDICES and self.nv_index not in _CEL_NV_INDICES:
            raise malformed(f"NV index {self.nv_index:#x}")
        if len(self.digests) > limits.MAX_PCR_BANKS:
            raise malformed(f"{len(self.digests)} digests, the limit is {limits.MAX_PCR_BANKS}")
        if len({tpm_id for tpm_id, _ in self.digests}) != len(self.digests):
            raise malformed("two digests of the same algorithm")
        for tpm_id, digest in self.digests:
            known = BY_TPM_ID.get(tpm_id)
            if not 0 < tpm_id < 2**16 or not 0 < len(digest) <= _MAX_DIGEST_BYTES:
                raise malformed(f"digest of {len(digest)} bytes for algorithm {tpm_id:#06x}")
            if known is not None and len(digest) != known.size:
                raise malformed(f"{known.name} digest of {len(digest)} bytes")

    @property
    def extended(self) -> bool:
        """Whether the digests were extended. CEL 1.1 excludes cel_version and firmware_end, PFP EV_NO_ACTION."""
        match self.content:
            case ManagementContent(event=event):
                return event not in _NOT_EXTENDED
            case PcClientContent(event_type=event_type):
                return event_type != EV_NO_ACTION
            case _:
                return True

    @property
    def index(self) -> int:
        """The PCR or NV index, in which ``recnum`` counts."""
        (index,) = (each for each in (self.pcr, self.nv_index) if each is not None)
        return index


def content_type(content: Content) -> int:
    """The number of the content's type."""
    match content:
        case ManagementContent():
            return ContentType.CEL
        case PcClientContent():
            return ContentType.PCCLIENT_STD
        case ImaContent():
            return ContentType.IMA_TEMPLATE
        case SystemdContent():
            return ContentType.SYSTEMD
        case ApplicationContent():
            return ContentType.APPLICATION
        case OpaqueContent(content_type=number):
            return number
        case unknown:
            assert_never(unknown)


def is_content_bound(record: CelRecord) -> bool:
    """Whether all digests are the content's, so that a quote of the PCR also vouches for the content.

    True for our own records (:func:`check_record`), for systemd's if it measured the text itself and not a secret, and
    for IMA entries if the kernel hashed the template data with these algorithms. False for all other content, and if no
    digest has a known algorithm.
    """
    match record.content:
        case ApplicationContent():
            message = record.content.encode()
        case SystemdContent(string=str(text)):
            message = text.encode()
        case ImaContent(data=data):
            message = data
        case _:
            return False
    known = [(BY_TPM_ID[tpm_id], digest) for tpm_id, digest in record.digests if tpm_id in BY_TPM_ID]
    return bool(known) and all(algorithm.digest(message) == digest for algorithm, digest in known)


def check_record(record: CelRecord) -> None:
    """Checks the digests of our own records: they must be the content's. Other records have no such rule.

    Raises:
        PeerError: ``log-malformed``.
    """
    if isinstance(record.content, ApplicationContent) and not is_content_bound(record):
        raise malformed("an application record whose digests are not those of its content")


def application_record(pcr: int, content: ApplicationContent, algorithms: Iterable[int], recnum: int) -> CelRecord:
    """Makes the record of a measured file.

    Args:
        pcr: the PCR to extend.
        content: describes the measured file.
        algorithms: TPM_ALG_IDs of the banks; unknown ones are left out.
        recnum: the number of records of this PCR that the log already has.
    """
    message = content.encode()
    known = [BY_TPM_ID[tpm_id] for tpm_id in algorithms if tpm_id in BY_TPM_ID]
    digests = tuple((algorithm.tpm_id, algorithm.digest(message)) for algorithm in known)
    return CelRecord(recnum=recnum, pcr=pcr, digests=digests, content=content)


def numbered(records: Iterable[CelRecord], counts: dict[int, int]) -> Iterator[CelRecord]:
    """Gives each record without a recnum the next number of its PCR or NV index.

    Args:
        records: records in the order of the log.
        counts: the number of earlier records by PCR or NV index. Updated.
    """
    for record in records:
        number = counts.get(record.index, 0)
        counts[record.index] = number + 1
        yield record if record.recnum is not None else replace(record, recnum=number)


def malformed(detail: str) -> PeerError:
    """The error that all CEL codecs raise."""
    return PeerError(Reason.LOG_MALFORMED, f"CEL record: {detail}")


def _check_text(text: str, field: str, limit: int = _MAX_NAME_BYTES) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise malformed(f"{field}: not Unicode text") from error
    if size > limit:
        raise malformed(f"{field}: {size} bytes, the limit is {limit}")
