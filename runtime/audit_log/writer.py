"""Writes an audit log: appends entries to the journal with one fsync a batch; a thread does everything else.

Appending never waits for that thread (:mod:`runtime.audit_log.sequencer`). If the store or a TSA does not answer, the
thread tries again. If to continue would fork the audit log, it stops sequencing; a log line, a metric and, at the next
start, a ``ConfigError`` report that.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import Counter, Gauge

from runtime.audit_log.any_log import JOURNAL
from runtime.audit_log.journal import Journal, JournalCursor
from runtime.audit_log.log_reader import AuditLogReader
from runtime.audit_log.object_store import ObjectStore
from runtime.audit_log.retention import AuditLogRetention
from runtime.audit_log.sequencer import Sequencer
from runtime.audit_log.settings import AuditSettings
from runtime.audit_log.signer import AuditLogSigner, load_audit_log_key, load_origin
from runtime.audit_log.stamper import CheckpointStamper
from runtime.audit_log.store import AuditLogStore, FolderStore, check_folder
from runtime.clock import monotonic_s, utc_us
from runtime.durable import check_folder_of, sole_user
from runtime.service import Backoff, Stop
from runtime.settings import naming
from runtime.telemetry import Logger
from runtime.time_stamps.address import parse_tsa_urls
from runtime.time_stamps.client import HttpTimeStampAuthority, open_authorities
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.instants import SECOND_US

_LOG: Final = Logger("audit_log")
_TICK_S: Final = 0.5

ENTRIES: Final = Gauge("attestream_audit_entries", "Entries in the audit log, in the tree or in the journal")
UNSEQUENCED: Final = Gauge("attestream_audit_unsequenced_entries", "Entries in the journal and not in the tree yet")
CHECKPOINT_SIZE: Final = Gauge("attestream_audit_checkpoint_size", "Entries in the newest checkpoint")
STAMP_AGE: Final = Gauge("attestream_audit_stamp_age_seconds", "Time since the newest checkpoint was stamped")
FAILURES_TOTAL: Final = Counter(
    "attestream_audit_failures_total",
    "Failed tries to sequence, stamp or prune, by step and reason",
    ["step", "reason"],
)
STOPPED: Final = Gauge("attestream_audit_sequencing_stopped", "1 when the log would be forked and somebody must look")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPlace:
    """Where and how an audit log is written.

    Attributes:
        folder: ``audit_log``: holds the audit log and its journal, or only the journal.
        settings: the table ``[audit]``.
        made_by: the command that makes a key, for error messages.
        tsa_roots: PEM files of TSA roots, if ``[audit.tsa]`` names none.
    """

    folder: Path
    settings: AuditSettings
    made_by: str
    tsa_roots: tuple[Path, ...]

    def store(self) -> AuditLogStore:
        """The store of the audit log."""
        if self.settings.store is None:
            return FolderStore(self.folder)
        return ObjectStore(self.settings.store, self.settings.store_options)

    def signer(self) -> AuditLogSigner:
        """The audit log's key.

        Raises:
            ConfigError: names the field.
        """
        path = self.settings.key_path(self.made_by)
        with naming("audit.signing_key"):
            key = load_audit_log_key(path)
        origin = self.settings.origin or load_origin(path, key)
        return AuditLogSigner(origin, key, self.settings.memory_path(self.made_by))

    def authorities(self) -> list[HttpTimeStampAuthority]:
        """The TSAs that stamp checkpoints.

        Raises:
            ConfigError: names the file.
        """
        tsa = self.settings.tsa
        if not tsa.urls:
            return []
        with naming("audit.tsa.roots"):
            stamps = load_time_stamp_verifier(tsa.roots or self.tsa_roots)
        addresses = parse_tsa_urls(tsa.urls)
        return open_authorities(addresses, stamps, timeout_s=tsa.timeout_s, tls_ca_file=tsa.tls_ca_file)

    def check(self) -> None:
        """Checks everything that can be wrong before the start. Changes nothing and connects to nothing.

        Raises:
            ConfigError: names the field.
        """
        check_folder(self.folder)
        check_folder_of(self.folder / JOURNAL / "segment", "audit_log", made_if_missing=True)
        memory = self.signer().memory
        check_folder_of(memory, "audit.memory")
        self.authorities()
        self.store()


class AuditWriter:
    """One audit log, open for writing. The thread that made it appends; from :meth:`start` on a thread sequences."""

    def __init__(self, place: AuditPlace, *, repeated_from: int | None = None) -> None:
        """Opens the audit log and repairs the journal's end.

        Args:
            place: where and how it is written.
            repeated_from: number of the first entry that will be appended again; None if none will be.

        Raises:
            ConfigError: the audit log cannot be used, is in use, is damaged, or is older than its last signed head.
        """
        self._place = place
        self._stop = Stop()
        self._thread: threading.Thread | None = None
        check_folder(place.folder)
        check_folder_of(place.folder / JOURNAL / "segment", "audit_log", made_if_missing=True)
        place.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            opened.enter_context(sole_user(place.folder / JOURNAL, "audit_log"))
            try:
                store = place.store()
                journal = place.folder / JOURNAL
                self._sequencer = Sequencer(store, journal, place.signer())
                self._journal = Journal(
                    journal,
                    tree_size=self._sequencer.size,
                    tree=self._sequencer.entries,
                    repeated_from=repeated_from,
                )
                opened.callback(self._journal.close)
                self._sequencer.check_journal(self._journal.end)
                self._stamper = CheckpointStamper(store, place.authorities())
            except (PeerError, WorldError) as error:
                raise ConfigError(f"audit_log: {error.detail}") from error
            self._retention = AuditLogRetention(store, place.settings.retention_days)
            self._opened = opened.pop_all()
        self._measure()

    def last_number(self) -> int:
        """Number of the last entry on disk; 0 if there is none."""
        return self._journal.last_number()

    def recent(self, count: int) -> Iterator[bytes]:
        """Yields about the last ``count`` entries, oldest first. Call it before :meth:`start`.

        Raises:
            ConfigError: they cannot be read.
        """
        size = self._sequencer.published_size
        reader = AuditLogReader(self._place.store())
        try:
            yield from (entry for _, entry in reader.entries(max(0, size - count), size))
            yield from JournalCursor(self._place.folder / JOURNAL, size).read(max(size, self._journal.end))
        except (PeerError, WorldError) as error:
            raise ConfigError(f"audit_log: {error.detail}") from error

    def append(self, entries: Sequence[tuple[int, bytes]]) -> None:
        """Appends the entries whose number is new. When it returns, they are on disk.

        Raises:
            WorldError: ``store-unavailable``; call it again with the same entries.
        """
        self._journal.append(entries)

    def start(self) -> None:
        """Starts the thread that sequences."""
        if not self._place.settings.tsa.urls:
            _LOG.warning(
                "checkpoints-not-stamped", detail="no [audit.tsa] urls: only the audit log's key states the time"
            )
        self._thread = threading.Thread(target=self._run, name="sequencer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Sequences, publishes and stamps the remaining entries, once, and waits for that."""
        self._stop.request()
        if self._thread is not None:
            self._thread.join()
        self._opened.close()

    def _run(self) -> None:
        """The sequencer's thread."""
        backoff, due_s = Backoff(1, 60), monotonic_s() + self._place.settings.checkpoint_interval_s
        stopping = False
        while not stopping:
            interval_s = self._place.settings.checkpoint_interval_s
            stopping = self._stop.wait(max(0.0, min(_TICK_S, due_s - monotonic_s())))
            self._measure()
            if not stopping and monotonic_s() < due_s:
                continue
            try:
                succeeded = self._work()
            except ConfigError as error:
                FAILURES_TOTAL.labels("sequence", error.reason).inc()
                STOPPED.set(1)
                _LOG.error("audit-log-not-sequenced-any-more", reason=error.reason, detail=error.detail)
                return
            if succeeded:
                backoff.reset()
            due_s = monotonic_s() + (interval_s if succeeded else max(interval_s, backoff.next_s()))
            self._measure()

    def _work(self) -> bool:
        """One round; False if sequencing failed. A later round stamps what the TSAs did not stamp."""
        sequenced = _tried("sequence", lambda: self._sequencer.run(lambda: self._journal.end))
        _tried("stamp", lambda: self._stamper.stamp(self._sequencer.published_size))
        _tried("prune", lambda: self._retention.prune(self._sequencer.published_size, utc_us()))
        return sequenced

    def _measure(self) -> None:
        end = self._journal.end
        ENTRIES.set(max(end, self._sequencer.size))
        UNSEQUENCED.set(max(0, end - self._sequencer.size))
        CHECKPOINT_SIZE.set(self._sequencer.published_size)
        if self._stamper.stamped_us is not None:
            STAMP_AGE.set((utc_us() - self._stamper.stamped_us) / SECOND_US)


def _tried(step: str, effect: Callable[[], object]) -> bool:
    """Whether the step succeeded. A failure is counted and logged, and a later round tries again."""
    try:
        effect()
    except WorldError as error:
        FAILURES_TOTAL.labels(step, error.reason).inc()
        _LOG.warning(f"audit-{step}-failed", reason=error.reason, detail=error.detail)
        return False
    return True
