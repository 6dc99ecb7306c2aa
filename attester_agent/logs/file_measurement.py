"""Measures a file for ``attester-agent measure``: appends an entry to a CEL log, then extends a PCR.

Effects, in order: write the plan to the journal (``cel_journal``) → append the entry, fsync → extend → mark it as done
in the journal. The entry comes first, as in the kernel: verifiers expect logs that are ahead of their PCRs, and nothing
can explain a log that is behind. If the process is killed between entry and extension, the log has one entry too many;
quotes are reproduced without it, and the next measurement finishes it first. Finishing late is safe: the killed command
has not reported success. If something else has extended the PCR meanwhile, it is unknown whether the extension
happened, and nothing can be measured into this log until the TPM is reset.

A log belongs to one lifetime of its PCRs. The first measurement after a TPM reset empties it. A TPM does not save PCRs
16 and up over a suspend, so for these the first measurement after a resume empties it too.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from attester_agent.logs.cel_file import MAX_CEL_BYTES, CelFile
from attester_agent.logs.cel_journal import Journal, Pending, read_journal, write_journal
from attester_agent.ports import Registers
from runtime.durable import sync_folder
from schemas.cel import in_cbor as cel_cbor
from schemas.cel.records import ApplicationContent, application_record
from schemas.errors import ConfigError, WorldError
from schemas.hashes import BY_TPM_ID, HashAlgorithm
from schemas.limits import MAX_LOG_ENTRY_BYTES
from schemas.reasons import Reason
from schemas.tpm.pcr import extend
from schemas.tpm.pcr_properties import SAVED_PCRS

LOCK_TRIES: Final = 100
LOCK_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The result of measuring: the log's entry and the banks that were extended."""

    recnum: int
    banks: tuple[str, ...]
    finished_earlier: bool


def digest_of(path: Path) -> bytes:
    """SHA-256 of a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise ConfigError(f"--file {path}: {error.strerror}") from error


def check_owner(index: int, others: Sequence[CelFile]) -> None:
    """Checks that no other log extends this PCR: the order in which to replay two logs would be unknown.

    Raises:
        ConfigError: another log does.
        WorldError: another log cannot be read.
    """
    for log in others:
        if not log.exists:
            continue
        records = map(cel_cbor.parse_record, log.read(0).records)
        if any(record.pcr == index and record.extended for record in records):
            raise ConfigError(f"--pcr {index}: {log.name} extends it already; measure into that log, or another PCR")


def measure(
    registers: Registers, log: Path, index: int, content: ApplicationContent, pause: Callable[[float], bool]
) -> Measurement:
    """Measures into a PCR and a log.

    Args:
        registers: of the TPM.
        log: file of the CEL log; made if it is missing.
        index: the PCR.
        content: type, name and digest of the measured file.
        pause: waits for the log's lock, the given number of seconds; returns True to give up.

    Raises:
        ConfigError: another program wrote the log.
        WorldError: the TPM, the log or its journal failed; or a measurement was interrupted and something else has
            extended the PCR since.
    """
    try:
        with _locked(log, pause) as descriptor:
            return _measure(registers, log, descriptor, index, content)
    except OSError as error:
        raise WorldError(Reason.STORE_UNAVAILABLE, f"{log}: {error.strerror}") from error


def _measure(registers: Registers, log: Path, descriptor: int, index: int, content: ApplicationContent) -> Measurement:
    journal, finished = _begin(registers, log, descriptor)
    saved = index in SAVED_PCRS
    if any((other in SAVED_PCRS) != saved for other in journal.counts):
        raise ConfigError(
            f"--pcr {index}: PCRs 16 and up restart with every resume from suspend, the others do not, so they "
            f"cannot share {log}; name another log with --log"
        )
    before = registers.read(index)
    recnum = journal.counts.get(index, 0)
    record = application_record(index, content, [bank.tpm_id for bank in before], recnum)
    raw = cel_cbor.encode_record(record)
    size = os.fstat(descriptor).st_size
    if size + len(raw) > MAX_CEL_BYTES or len(raw) > MAX_LOG_ENTRY_BYTES:
        raise WorldError(
            Reason.STORE_UNAVAILABLE, f"{log}: full ({MAX_CEL_BYTES} bytes); it is emptied after the next boot"
        )
    write_journal(
        log,
        replace(
            journal,
            counts={**journal.counts, index: recnum},
            pending=Pending(size=size, record=raw, before=before),
        ),
    )
    _append(descriptor, raw, size)
    registers.extend(index, {BY_TPM_ID[tpm_id]: digest for tpm_id, digest in record.digests})
    _finish(log, journal, index)
    return Measurement(recnum=recnum, banks=tuple(bank.name for bank in before), finished_earlier=finished)


def _begin(registers: Registers, log: Path, descriptor: int) -> tuple[Journal, bool]:
    """Brings the journal to this boot, with no measurement in progress; True if an earlier one had to be finished."""
    lifetime, journal = registers.pcr_lifetime(), read_journal(log)
    if journal is None and os.fstat(descriptor).st_size:
        raise ConfigError(f"{log}: not a log that attester-agent measure writes; name another one with --log")
    if journal is None or not journal.is_of(lifetime):
        os.ftruncate(descriptor, 0)
        os.fsync(descriptor)
        journal = Journal(reset_count=lifetime.reset_count, restart_count=lifetime.restart_count)
        write_journal(log, journal)
        return journal, False
    if journal.pending is None:
        return journal, False
    return _settle(registers, log, descriptor, journal, journal.pending)


def _settle(
    registers: Registers, log: Path, descriptor: int, journal: Journal, pending: Pending
) -> tuple[Journal, bool]:
    """Finishes or undoes an interrupted measurement."""
    done = replace(journal, pending=None)
    if os.fstat(descriptor).st_size != pending.size + len(pending.record):  # the entry was not, or not all, written
        os.ftruncate(descriptor, pending.size)
        os.fsync(descriptor)
        write_journal(log, done)
        return done, False
    record = cel_cbor.parse_record(pending.record)
    index = record.index
    digests = {BY_TPM_ID[tpm_id]: digest for tpm_id, digest in record.digests}
    now = registers.read(index)
    if now == pending.before:
        registers.extend(index, digests)
    elif now != _extended(pending.before, digests):
        raise WorldError(
            Reason.STORE_UNAVAILABLE,
            f"{log}: a measurement was interrupted, and PCR {index} was then extended by something else, so its last "
            "entry may or may not be in the PCR. Reboot, and let nothing else extend this PCR",
        )
    return _finish(log, done, index), True


def _extended(
    before: Mapping[HashAlgorithm, bytes], digests: Mapping[HashAlgorithm, bytes]
) -> dict[HashAlgorithm, bytes]:
    return {bank: extend(bank, value, digests[bank]) if bank in digests else value for bank, value in before.items()}


def _finish(log: Path, journal: Journal, index: int) -> Journal:
    counts = {**journal.counts, index: journal.counts.get(index, 0) + 1}
    done = replace(journal, counts=counts, pending=None)
    write_journal(log, done)
    return done


def _append(descriptor: int, raw: bytes, size: int) -> None:
    """Appends all of it or nothing; on disk when it returns."""
    written = os.pwrite(descriptor, raw, size)
    if written != len(raw):
        os.ftruncate(descriptor, size)
        message = "no room for the entry"
        raise OSError(0, message)
    os.fsync(descriptor)


@contextmanager
def _locked(log: Path, pause: Callable[[float], bool]) -> Iterator[int]:
    """Opens and locks the log's file; makes it if it is missing."""
    new = not log.exists()
    descriptor = os.open(log, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        if new:
            sync_folder(log.parent)
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if pause(LOCK_PAUSE_S):
                    raise
        else:
            raise WorldError(
                Reason.STORE_UNAVAILABLE,
                f"{log}: locked by another process for {LOCK_TRIES * LOCK_PAUSE_S:.0f} s; see fuser {log}",
            )
        yield descriptor
    finally:
        os.close(descriptor)
