"""The journal of ``attester-agent measure``: a file beside a CEL log, with its boot and a measurement in progress.

The file is ``<log>.journal``. A PCR restarts with each reset of the TPM, so its log must restart too: the journal has
the reset count. A measuring process can be killed between the log entry and the PCR extension: the journal has the
PCR's value before, so that the next measurement can find out whether the extension happened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from attester_agent.ports import PcrLifetime
from runtime.durable import read_if_exists, write_durable
from schemas.codecs import cbor
from schemas.codecs.fields import as_array, as_bytes, as_map, as_uint
from schemas.errors import PeerError, WorldError
from schemas.hashes import BY_TPM_ID, HashAlgorithm
from schemas.limits import MAX_LOG_ENTRY_BYTES, MAX_PCR_BANKS
from schemas.reasons import Reason
from schemas.tpm.pcr_properties import SAVED_PCRS

_FORMAT: Final = 1
_MAX_BYTES: Final = 2 * MAX_LOG_ENTRY_BYTES
_FORMAT_KEY, _RESET, _RESTART, _COUNTS, _PENDING = 0, 1, 2, 3, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A measurement in progress.

    Attributes:
        size: of the log before it.
        record: to be appended to the log.
        before: by bank, the PCR's value before it is extended.
    """

    size: int
    record: bytes
    before: Mapping[HashAlgorithm, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """The journal's content.

    Attributes:
        reset_count: of the TPM, when the log was started.
        restart_count: likewise.
        counts: finished records by PCR.
        pending: the measurement in progress, if any.
    """

    reset_count: int
    restart_count: int
    counts: Mapping[int, int] = field(default_factory=dict)
    pending: Pending | None = None

    @property
    def is_lost_on_resume(self) -> bool:
        """Whether the log is about PCRs that restart with a resume."""
        return any(index not in SAVED_PCRS for index in self.counts)

    def is_of(self, lifetime: PcrLifetime) -> bool:
        """Whether the log belongs to this lifetime of its PCRs."""
        same_reset = self.reset_count == lifetime.reset_count
        return same_reset and (self.restart_count == lifetime.restart_count or not self.is_lost_on_resume)


def journal_path(log: Path) -> Path:
    """The path of a log's journal."""
    return log.with_name(log.name + ".journal")


def write_journal(log: Path, journal: Journal) -> None:
    """Replaces the journal; on disk when it returns.

    Raises:
        WorldError: ``store-unavailable``.
    """
    items: dict[int, object] = {_FORMAT_KEY: _FORMAT, _RESET: journal.reset_count, _RESTART: journal.restart_count}
    items[_COUNTS] = dict(journal.counts)
    if journal.pending is not None:
        pending = journal.pending
        before = {bank.tpm_id: value for bank, value in pending.before.items()}
        items[_PENDING] = [pending.size, pending.record, before]
    write_durable(journal_path(log), cbor.encode(items), mode=0o640)


def read_journal(log: Path) -> Journal | None:
    """The journal of a log; None if it has none: another program wrote the log, or nothing was ever measured into it.

    Raises:
        WorldError: ``store-unavailable`` if it cannot be read or does not parse.
    """
    path = journal_path(log)
    raw = read_if_exists(path, max_bytes=_MAX_BYTES)
    if raw is None:
        return None
    try:
        return _parse(raw)
    except (PeerError, KeyError) as error:
        raise WorldError(
            Reason.STORE_UNAVAILABLE, f"{path}: damaged ({error}); reboot, then remove it together with {log}"
        ) from error


def _parse(raw: bytes) -> Journal:
    items = as_map(
        cbor.decode(raw, "journal", max_bytes=_MAX_BYTES),
        "journal",
        required=(_FORMAT_KEY, _RESET, _RESTART, _COUNTS),
        optional=(_PENDING,),
    )
    pending = None
    if _PENDING in items:
        size, record, before = as_array(items[_PENDING], "pending", length=3)
        pending = Pending(
            size=as_uint(size, "size"),
            record=as_bytes(record, "record", limit=MAX_LOG_ENTRY_BYTES),
            before={
                BY_TPM_ID[as_uint(bank, "bank")]: as_bytes(value, "value")
                for bank, value in as_map(before, "before", limit=MAX_PCR_BANKS).items()
            },
        )
    return Journal(
        reset_count=as_uint(items[_RESET], "reset count"),
        restart_count=as_uint(items[_RESTART], "restart count"),
        counts={
            as_uint(index, "PCR"): as_uint(count, "count") for index, count in as_map(items[_COUNTS], "counts").items()
        },
        pending=pending,
    )
