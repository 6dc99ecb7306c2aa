"""Replays the measurement logs of one boot from the pushes in a proof, and lists their measurements. Pure.

As in the verifier, unsigned log entries are used only if they reproduce a quoted PCR digest (invariant I1).
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from relying_party.audit.proof_policy import PolicyFacts
from schemas.cel.records import ApplicationContent, CelRecord, is_content_bound
from schemas.errors import PeerError
from schemas.ima.records import ImaFile
from schemas.ima.signature import FileKey, verify_file_signature
from schemas.ima.template import BOOT_AGGREGATE
from schemas.messages.evidence import Evidence
from schemas.messages.reference_values import Outgoing, ReferenceValues, Registers
from schemas.reasons import Reason
from schemas.replay.bank_replay import BankReplay
from schemas.replay.increments import NO_VALUES, cut_tails, has_more, join_increments, quoted_values
from schemas.replay.log_replay import Consumed, Quoted, ReplayState
from schemas.tpm.attest import Attest, QuoteInfo
from schemas.tpm.pcr import PcrSelection, PcrValues, initial_value
from schemas.tpm.pcr_properties import resettable_among
from schemas.tpm.signature import parse_signature

MAX_LISTED: Final = 50
_BOUND_LOGS: Final = frozenset({"tcg2", "cel"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The measurements in the logs up to a quote, compared with reference values.

    Attributes:
        entries: number of entries, by log.
        files: entries of the IMA list that measured a file, and of CEL logs that extended a quoted PCR.
        listed: files with a digest in the reference values.
        signed: other files with a signature by a key in the reference values.
        violations: entries about files that were written while they were measured.
        aggregates: entries that claim to be a boot aggregate; only the verifier checks this claim.
        unlisted: path and digest of the remaining files, up to a limit.
        unlisted_total: number of all remaining files.
        excused: how many of them the policy excludes, or leaves unjudged with their log.
        open: path and digest of each of the others, without a limit.
        registers: quoted PCRs that have reference values.
        registers_listed: those with one of these values.
        resettable: PCRs that are judged, and can be reset while the TPM runs.
    """

    entries: Mapping[str, int]
    files: int
    listed: int
    signed: int
    violations: int
    aggregates: int
    unlisted: tuple[tuple[str, str], ...]
    unlisted_total: int
    excused: int
    open: frozenset[tuple[str, str]]
    registers: int
    registers_listed: int
    resettable: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """One measurement. It has no digest if the file was written while it was measured."""

    log: str
    pcr_index: int
    text: str
    digest: bytes | None
    file: ImaFile | None = None


@dataclass(slots=True)
class BootReplay:
    """Takes the pushes of one boot in their order, starting with a baseline. Owned by one thread.

    Attributes:
        settled: the quote of the last push was reproduced.
    """

    settled: bool = False
    _state: ReplayState | None = None
    _selection: PcrSelection | None = None
    _unlogged: PcrValues = NO_VALUES
    _tails: dict[str, bytes] = field(default_factory=dict)
    _measured: list[_Measured] = field(default_factory=list)

    def take(self, evidence: Evidence, quote: Attest) -> None:
        """Replays one push up to its quote.

        Args:
            evidence: with a verified quote.
            quote: that quote.

        Raises:
            PeerError: ``log-replay-mismatch``, ``log-not-bound-to-body``, ``log-gap``, ``baseline-required``, or a code
                of a malformed log.
        """
        body, quoted = evidence.body, quote.attested
        if not isinstance(quoted, QuoteInfo):
            raise PeerError(Reason.ATTEST_TYPE_WRONG, "not a quote")
        _check_bound(evidence)
        if body.previous is None and not any(body.logs.values()):
            banks = tuple(bank.algorithm for bank in quoted.pcr_selection.banks)
            self._state, self._selection = ReplayState(banks=banks), quoted.pcr_selection
            self._unlogged, self._tails, self._measured = NO_VALUES, {}, []
        if self._state is None or self._selection != quoted.pcr_selection:
            raise PeerError(Reason.BASELINE_REQUIRED, "the proof does not hold the logs of this boot from their start")
        sent = quoted_values(evidence, quoted.pcr_selection)
        self._unlogged = sent if body.previous is None else self._unlogged.updated(sent)
        increments, gap = join_increments(self._state, self._tails, evidence)
        if gap is not None:
            raise PeerError(Reason.LOG_GAP, f"log {gap}: the proof leaves entries out")
        replay = BankReplay(self._state, increments)
        algorithm = parse_signature(evidence.signature).hash
        signed = Quoted(selection=quoted.pcr_selection, digest=quoted.pcr_digest, algorithm=algorithm)
        reproduced = replay.until(signed, self._unlogged)
        if reproduced is None and not has_more(evidence, replay.next_index):
            raise PeerError(Reason.LOG_REPLAY_MISMATCH, "logs and PCR values do not reproduce the quoted digest")
        outcome = reproduced or replay.whole
        self._state, self.settled = outcome.state, reproduced is not None
        self._tails = cut_tails(increments, outcome) if increments and self.settled else {}
        for name, part in outcome.consumed.items():
            self._measured += _measured_of(name, part, quoted.pcr_selection)

    def listing(
        self, references: tuple[ReferenceValues, ...], policies: Collection[PolicyFacts], now_s: int
    ) -> Listing:
        """The measurements so far, compared with these reference values and policies at ``now_s``, UTC seconds.

        Raises:
            PeerError: ``baseline-required``: nothing was replayed; ``log-malformed``.
        """
        state, selection = self._state, self._selection
        if state is None or selection is None:
            raise PeerError(Reason.BASELINE_REQUIRED, "nothing was replayed")
        outgoing = [each.outgoing for each in references if each.outgoing is not None]
        accepted: list[ReferenceValues | Outgoing] = [*references]
        accepted += [each for each in outgoing if now_s <= each.until_s]
        digests = {digest for values in accepted for digest in values.files}
        keys = tuple(key for values in references for key in values.keys)
        quoted = {index for _, index in selection}
        every = [each for each in self._measured if each.pcr_index in quoted]
        files = [each for each in every if each.text != BOOT_AGGREGATE.decode()]
        measured = [each for each in files if each.digest is not None]
        rest = [each for each in measured if each.digest not in digests]
        unlisted = [each for each in rest if each.file is None or not _is_signed(each.file, keys)]
        unexcused = [each for each in unlisted if not _is_excused(each, policies)]
        approved = [each.registers for each in accepted]
        registers, good = self._registers(state, selection, approved)
        return Listing(
            entries=dict(sorted(state.next_index.items())),
            files=len(measured),
            listed=len(measured) - len(rest),
            signed=len(rest) - len(unlisted),
            violations=len(files) - len(measured),
            aggregates=len(every) - len(files),
            unlisted=tuple(map(_named, unlisted[:MAX_LISTED])),
            unlisted_total=len(unlisted),
            excused=len(unlisted) - len(unexcused),
            open=frozenset(map(_named, unexcused)),
            registers=registers,
            registers_listed=good,
            resettable=resettable_among(self._judged(approved, policies) & quoted),
        )

    def _judged(self, approved: Sequence[Registers], policies: Collection[PolicyFacts]) -> set[int]:
        """The PCRs that a policy gives to a log, that have reference values, or that IMA extended."""
        given = {index for policy in policies for indices in policy.logs.values() for index in indices}
        named = {index for values in approved for indices in values.values() for index in indices}
        return given | named | {each.pcr_index for each in self._measured if each.file is not None}

    def _registers(self, state: ReplayState, selection: PcrSelection, accepted: Sequence[Registers]) -> tuple[int, int]:
        total = good = 0
        for bank, index in selection:
            acceptable = {value for values in accepted for value in values.get(bank, {}).get(index, frozenset())}
            if not acceptable:
                continue
            value = state.registers.get(bank, {}).get(index) or self._unlogged.get(bank, index)
            total += 1
            good += (value or initial_value(bank, index, state.startup_locality)) in acceptable
        return total, good

    @property
    def next_index(self) -> Mapping[str, int]:
        """Entries replayed, by log."""
        return self._state.next_index if self._state is not None else {}


def _measured_of(name: str, part: Consumed, selection: PcrSelection) -> Iterator[_Measured]:
    """The measurements of one log; of boot logs the PCRs are compared instead."""
    for file in part.ima.files(part.count) if part.ima is not None else ():
        text = file.path.decode("utf-8", "backslashreplace")
        yield _Measured(log=name, pcr_index=file.pcr_index, text=text, digest=file.digest, file=file)
    for record in part.cel:
        if not record.extended or record.pcr is None:
            continue
        content = record.content
        if isinstance(content, ApplicationContent) and is_content_bound(record):
            text = f"{content.name} ({content.event_type}, {name})"
            yield _Measured(log=name, pcr_index=record.pcr, text=text, digest=content.digest)
        else:
            text = f"entry {record.recnum} of PCR {record.pcr} ({name})"
            yield _Measured(log=name, pcr_index=record.pcr, text=text, digest=_quoted_digest(record, selection))


def _quoted_digest(record: CelRecord, selection: PcrSelection) -> bytes:
    """The record's digest in the strongest quoted bank; nothing if it has none there."""
    banks = {bank.tpm_id: bank.size for bank, index in selection if index == record.pcr}
    strongest = max(banks, key=lambda bank: banks[bank], default=None)
    return next((digest for bank, digest in record.digests if bank == strongest), b"")


def _named(each: _Measured) -> tuple[str, str]:
    return each.text, (each.digest or b"").hex()


def _is_excused(each: _Measured, policies: Collection[PolicyFacts]) -> bool:
    """Whether each policy excludes this path, or gives this log no such PCR and so does not judge its entries."""
    if each.file is not None:
        return bool(policies) and all(policy.excludes(each.text) for policy in policies)
    return bool(policies) and all(each.pcr_index not in policy.logs.get(each.log, ()) for policy in policies)


def _check_bound(evidence: Evidence) -> None:
    """Checks boot and CEL increments against the digests in the body, because PCRs bind only half of their content."""
    digests = evidence.body.increment_digests
    for name, increment in evidence.unsigned_increments.items():
        expected = digests.get(name)
        if expected is None and increment.records and name.partition("/")[0] in _BOUND_LOGS:
            raise PeerError(Reason.LOG_NOT_BOUND_TO_BODY, f"log {name}: the body has no digest of its increment")
        if expected is not None and expected != hashlib.sha256(increment.records).digest():
            raise PeerError(Reason.LOG_NOT_BOUND_TO_BODY, f"log {name}: not the increment that was quoted")


def _is_signed(file: ImaFile, keys: Sequence[FileKey]) -> bool:
    if not file.signature or not keys or not file.digest:
        return False
    try:
        verify_file_signature(file.signature, file.label, file.digest, keys)
    except PeerError:
        return False
    return True
