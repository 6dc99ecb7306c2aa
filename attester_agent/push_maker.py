"""Makes one push: synchronises if needed, quotes, reads the measurement logs, builds the evidence.

Owns the sync proof and the replay of the logs, which are rebuilt after a restart. Stores nothing and publishes nothing.
Calling ``make`` again before the push is stored produces a replacement with the same sequence number and previous
digest.

Order within one push: boot and CEL logs, body, quote, PCRs, all logs. The logs are read last, so they are never behind
the quote. If they do not reproduce it (because a PCR that no log explains changed meanwhile), the quote is repeated, a
bounded number of times. Then the push is sent as it is, and an error is logged. After such a failure each push makes
one quote only, until a quote is reproduced again, so a permanently inconsistent device does not load its TPM.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, assert_never

from attester_agent.adapters.push_trace import PushTrace
from attester_agent.core.agent_state import AgentState, on_boot, on_machine_state, on_outlived_list
from attester_agent.core.evidence_builder import Push, Quote, draft_body, finish_push, is_bound_log, start_of_push
from attester_agent.core.handle_gate import AcceptedHandle
from attester_agent.core.log_window import Coverage, Entries, cover, outlived
from attester_agent.core.transitions import NOTHING_KNOWN, KernelView, has_woken, machine_state
from attester_agent.ports import LogRestartedError, MeasurementLog, SyncStamper, Tpm, TpmSession
from runtime.telemetry import Logger
from schemas.errors import PeerError, WorldError
from schemas.identifiers import HandleId
from schemas.messages.evidence import ClaimValue, SyncProof
from schemas.reasons import Reason
from schemas.replay.log_replay import CEL, IMA, Quoted, ReplayState
from schemas.replay.resume import resumed
from schemas.tpm.attest import Attest, ClockInfo, QuoteInfo, TimeAttestInfo, parse_attest
from schemas.tpm.pcr import PcrBankSelection, PcrSelection
from schemas.tpm.signature import parse_signature

ATTEMPTS: Final = 4
_REBOOT: Final = "reboot: the machine hibernated, and no PCR shows any more which programs ran before"
_LOG: Final = Logger("push")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sync:
    """A sync proof.

    Attributes:
        handle: that it proves synchronisation with.
        proof: TPMS_ATTEST and signature.
        clock: of the TPM in the proof.
        stamp: a TSA's token over the proof; None before there is one.
        stamped_in: sequence of the first push with the stamp. A replacement of that push must carry it too.
    """

    handle: HandleId
    proof: SyncProof
    clock: ClockInfo
    stamp: bytes | None = None
    stamped_in: int | None = None


class PushMaker:
    """Makes pushes. Used by one thread."""

    def __init__(
        self,
        tpm: Tpm,
        logs: Sequence[MeasurementLog],
        *,
        selection: PcrSelection,
        max_bytes: int,
        baseline_every: int = 0,
        on_unreproduced: Callable[[str], None] = lambda _problem: None,
        kernel: Callable[[], KernelView] = lambda: NOTHING_KNOWN,
        stamper: SyncStamper | None = None,
    ) -> None:
        """Opens nothing yet.

        Args:
            tpm: with the attesting key.
            logs: measurement logs of this device.
            selection: PCRs to quote.
            max_bytes: aim for one push.
            baseline_every: see ``start_of_push``.
            on_unreproduced: called with the problem when the logs do not reproduce the quote of a push.
            kernel: reads the kernel's data.
            stamper: has sync proofs stamped (two-sided mode); None leaves them without a stamp.
        """
        self._tpm = tpm
        self._logs = tuple(logs)
        self._selection = selection
        self._max_bytes = max_bytes
        self._baseline_every = baseline_every
        self._on_unreproduced = on_unreproduced
        self._sync: _Sync | None = None
        self._replay = self._no_replay()
        self._kernel = kernel
        self._stamper = stamper
        self._trace = PushTrace()
        self._synced_under = NOTHING_KNOWN  # the kernel's data when the TPM was synchronised last
        self._unreproduced = False  # the last push's logs did not reproduce its quote
        self._listed: dict[str, int] = {}  # by log, how many entries were read last
        self._outlived_in: int | None = None  # reset count in which the IMA list holds more than the TPM's PCRs

    def record_stages(self, trace: PushTrace) -> None:
        """From now on, records in ``trace`` how long each stage takes."""
        self._trace = trace

    def forget_sync(self) -> None:
        """The next push synchronises again, even with the same handle."""
        self._sync = None

    def has_woken(self, state: AgentState) -> bool:
        """Whether the machine was suspended since the last push. Cheap."""
        return state.machine is not None and has_woken(state.machine.kernel, self._kernel())

    def make(self, state: AgentState, handle: AcceptedHandle, claims: Mapping[str, ClaimValue]) -> Push:
        """Makes the next push.

        Args:
            state: stored last.
            handle: to bind to.
            claims: current ones.

        Raises:
            LogRestartedError: a log starts again from index 0, so the next push must be a baseline.
            WorldError: ``tpm-…``; or the TPM restarted in every attempt.
        """
        if self._stamper is not None:
            self._have_sync_stamped(self._stamper, state, handle)
        with self._tpm.session() as session:
            _check_key(session, state)
            for attempt in range(1, ATTEMPTS + 1):
                push = self._try(session, state, handle, claims, last=attempt == ATTEMPTS)
                if push is not None:
                    return push
        raise WorldError(Reason.TPM_BUSY, f"the TPM restarted during each of {ATTEMPTS} attempts to make one push")

    def _try(
        self,
        session: TpmSession,
        state: AgentState,
        handle: AcceptedHandle,
        claims: Mapping[str, ClaimValue],
        *,
        last: bool,
    ) -> Push | None:
        """Makes one attempt; None if TPM or logs changed meanwhile and another attempt may succeed."""
        sync, kernel = self._synchronise(session, handle)
        if state.boot != sync.clock.reset_count and state.boot is not None:
            _LOG.info("new-boot", sequence=state.sequence)
        state = self._on_resume(on_boot(state, sync.clock.reset_count), sync.clock)
        machine = machine_state(kernel, sync.clock)
        state = on_machine_state(state, machine)
        if self._outlived_in == sync.clock.reset_count:
            state = on_outlived_list(state, machine)
        state = start_of_push(state, baseline_every=self._baseline_every)
        if sync.stamp is not None and sync.stamped_in is None:
            self._sync = sync = replace(sync, stamped_in=state.sequence)
        logs = self._current_logs(session)
        with self._trace.stage("boot logs"):
            early = self._read_logs([log for log in logs if is_bound_log(log.name)], state.next_entries)
        draft = draft_body(
            state,
            sync.proof,
            claims,
            [log.name for log in logs],
            early,
            selection=self._selection,
            max_bytes=self._max_bytes,
            sync_stamp=sync.stamp if sync.stamped_in == state.sequence or state.previous is None else None,
        )
        quote = session.quote(draft.digest, self._selection)
        attest, quoted = _read_quote(quote)
        if not self._same_power_cycle(attest.clock_info, sync.clock):
            return None
        values = session.read_pcrs(_without_owned(self._selection, self._replay))
        with self._trace.stage("logs"):
            entries = self._read_logs(logs, draft.body.logs)
            coverage = cover(self._replay, entries, quoted, values)
        if coverage.problem is not None and not (last or self._unreproduced):
            return None
        if not last and (_overtaken(early, coverage) or self._is_outlived(coverage, entries, sync.clock)):
            return None
        push = finish_push(
            draft, quote, coverage, entries, values, selection=self._selection, max_bytes=self._max_bytes
        )
        self._accept(coverage)
        return push

    def _is_outlived(self, coverage: Coverage, entries: Mapping[str, Entries], now: ClockInfo) -> bool:
        """Whether the IMA list has outlived the TPM: it held entries before the quote that the quote does not cover."""
        before, self._listed = self._listed, {name: each.end for name, each in entries.items()}
        if self._outlived_in == now.reset_count or not outlived(coverage, before):
            return False
        _LOG.warning("list-outlived-tpm", listed=before[IMA], covered=coverage.totals[IMA], next=_REBOOT)
        self._outlived_in = now.reset_count
        return True

    def _on_resume(self, state: AgentState, now: ClockInfo) -> AgentState:
        """After a resume, forgets the logs of PCRs that it reset. The verifier does so at the same restart count."""
        if state.machine is None or (state.machine.reset_count, state.machine.restart_count) == (
            now.reset_count,
            now.restart_count,
        ):
            return state
        lost = {log.name: log for log in self._logs if log.is_lost_on_resume}
        for log in lost.values():
            log.restart()
        self._replay = resumed(self._replay, lost)
        if not lost:
            return state
        return replace(
            state,
            previous=None,
            next_entries={name: index for name, index in state.next_entries.items() if name not in lost},
        )

    def _current_logs(self, session: TpmSession) -> list[MeasurementLog]:
        """The logs that exist and are of this boot."""
        logs = []
        lifetime = None
        for log in self._logs:
            if not log.exists:
                continue
            if log.name.startswith(f"{CEL}/"):
                lifetime = session.pcr_lifetime() if lifetime is None else lifetime
                try:
                    if not log.is_current(lifetime):
                        continue
                except WorldError as error:
                    _LOG.error("log-failed", log=log.name, reason=error.reason, detail=error.detail)
                    continue
            logs.append(log)
        return logs

    def _have_sync_stamped(self, stamper: SyncStamper, state: AgentState, handle: AcceptedHandle) -> None:
        """Asks a TSA to stamp the next push's sync proof, unless it is stamped already or it is too early to ask again.

        The TPM is closed meanwhile, so that other programs can use it.
        """
        sync = self._sync
        if sync is not None and sync.handle == handle.id and not has_woken(self._synced_under, self._kernel()):
            if sync.stamp is not None or not stamper.is_due(sha256(sync.proof.attest).digest()):
                return
        else:
            with self._tpm.session() as session:
                _check_key(session, state)
                sync, _ = self._synchronise(session, handle)
        with self._trace.stage("sync stamp"):
            self._sync = replace(sync, stamp=stamper.stamp(sha256(sync.proof.attest).digest()))

    def _synchronise(self, session: TpmSession, handle: AcceptedHandle) -> tuple[_Sync, KernelView]:
        """The sync proof to use now, and the kernel's data."""
        kernel = self._kernel()
        if has_woken(self._synced_under, kernel):
            self._sync = None  # it is from before the suspend or kexec
        self._synced_under = kernel
        if self._sync is None or self._sync.handle != handle.id:
            proof = session.sync(handle.id)
            before = self._sync
            self._sync = _Sync(handle=handle.id, proof=proof, clock=_parse(proof.attest).clock_info)
            if before is not None and before.clock.reset_count != self._sync.clock.reset_count:
                self._forget_logs()
        return self._sync, kernel

    def _same_power_cycle(self, now: ClockInfo, synced: ClockInfo) -> bool:
        """Whether quote and sync proof have the same reset and restart counts; if not, forgets the sync proof.

        The same counts with a smaller clock mean that the TPM was cleared or set back.
        """
        if now.reset_count != synced.reset_count:
            self._forget_logs()
        elif now.restart_count == synced.restart_count and now.clock >= synced.clock:
            return True
        _LOG.info("tpm-restarted", reset_count=now.reset_count, restart_count=now.restart_count)
        self._sync = None
        return False

    def _read_logs(self, logs: Sequence[MeasurementLog], starts: Mapping[str, int]) -> dict[str, Entries]:
        """The entries of each log from the first one that the push or the replay needs."""
        entries: dict[str, Entries] = {}
        for log in logs:
            start = min(starts.get(log.name, 0), self._replay.next_index.get(log.name, 0))
            try:
                entries[log.name] = log.read(start)
            except LogRestartedError:
                self._forget_logs()
                raise
            except WorldError as error:  # the push is made without this log; the verifier notices
                _LOG.error("log-failed", log=log.name, reason=error.reason, detail=error.detail)
        return entries

    def _accept(self, coverage: Coverage) -> None:
        self._replay = coverage.replay
        self._unreproduced = coverage.problem is not None
        if coverage.problem is not None:
            self._on_unreproduced(coverage.problem)

    def _forget_logs(self) -> None:
        for log in self._logs:
            log.restart()
        self._listed = {}
        self._replay = self._no_replay()

    def _no_replay(self) -> ReplayState:
        return ReplayState(banks=tuple(bank.algorithm for bank in self._selection.banks))


def _check_key(session: TpmSession, state: AgentState) -> None:
    if session.environment != state.environment:
        raise WorldError(Reason.TPM_FATAL, "the TPM has another attesting key than at the start; restart the agent")


def _overtaken(early: Mapping[str, Entries], coverage: Coverage) -> bool:
    """Whether the quote covers boot or CEL log entries that are newer than the body; a new body can include them."""
    return coverage.problem is None and any(
        coverage.totals.get(name, 0) > entries.end for name, entries in early.items()
    )


def _parse(attest: bytes) -> Attest:
    try:
        return parse_attest(attest)
    except PeerError as error:
        raise WorldError(
            Reason.TPM_FATAL, f"the TPM made an attestation that does not parse: {error.detail}"
        ) from error


def _read_quote(quote: Quote) -> tuple[Attest, Quoted]:
    attest = _parse(quote.attest)
    try:
        algorithm = parse_signature(quote.signature).hash
    except PeerError as error:
        raise WorldError(Reason.TPM_FATAL, f"the TPM made a signature that does not parse: {error.detail}") from error
    match attest.attested:
        case QuoteInfo(pcr_selection=selection, pcr_digest=digest):
            return attest, Quoted(selection=selection, digest=digest, algorithm=algorithm)
        case TimeAttestInfo():
            raise WorldError(Reason.TPM_FATAL, "the TPM answered TPM2_Quote with a time attest")
        case unknown:
            assert_never(unknown)


def _without_owned(selection: PcrSelection, replay: ReplayState) -> PcrSelection:
    """The PCRs that no log has explained so far; their values must be read."""
    return PcrSelection(
        banks=tuple(
            PcrBankSelection(
                algorithm=bank.algorithm,
                indices=tuple(index for index in bank.indices if index not in replay.registers.get(bank.algorithm, {})),
            )
            for bank in selection.banks
        )
    )
