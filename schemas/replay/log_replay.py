"""Replays log increments to the PCR values that a quote has signed. Attester and verifier share this code.

The attester quotes first and reads its logs afterwards, and an entry is in its log before it is in its PCR. So some
prefix of the entries reproduces the quoted digest. The entries beyond it belong to a later quote.

Invariants: a :class:`ReplayState` never changes. Replaying a log in pieces, however cut, gives the same state as
replaying it at once (invariant I11). A state that :meth:`Replay.until` returns has the quoted PCR digest. The logs
*own* each PCR that an entry has extended: a value sent beside the logs never replaces it. A PCR that is neither owned
nor sent has its initial value.

Several logs may extend one PCR, in this order: the boot log, then CEL logs (systemd extends in userspace a PCR that its
boot stub extended before), then IMA. Each starts from the value that the one before it left, so an earlier log must not
grow any more.

Cost: hashing is linear in the increment. The search (``prefix_search``) tries the longest prefix first, which costs one
digest if all entries belong to the quote.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from schemas import limits
from schemas.boot_log import records as boot_records
from schemas.boot_log.records import BootEvent, BootLogFormat
from schemas.cel import in_cbor as cel_cbor
from schemas.cel.records import CelRecord, check_record
from schemas.errors import PeerError
from schemas.hashes import HashAlgorithm
from schemas.ima import records as ima_records
from schemas.ima.records import ImaBankMode, ImaRecords
from schemas.reasons import Reason
from schemas.replay.prefix_search import Steps, longest_prefixes
from schemas.tpm.pcr import PcrSelection, PcrValues, initial_value

TCG2: Final = "tcg2"
IMA: Final = "ima"
CEL: Final = "cel"  # the kind of log; a log's name is ``cel/<name>``

_ORDER: Final = (TCG2, CEL, IMA)  # kinds of logs; the firmware has finished before anything else measures
_NO_VALUES: Final = PcrValues({})

Registers: TypeAlias = Mapping[HashAlgorithm, Mapping[int, bytes]]
_Registers: TypeAlias = dict[HashAlgorithm, dict[int, bytes]]
_Slots: TypeAlias = Mapping[HashAlgorithm, Mapping[int, int]]  # bank, PCR, position in the quote


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayState:
    """The PCRs after all log entries replayed so far.

    Attributes:
        banks: the banks to replay.
        ima_bank_modes: what the attester's kernel extends into each bank; ``HASHED`` for a bank not named. Read-only.
        registers: the PCRs that the logs own: bank to index to value. Read-only.
        next_index: by log name, the index of the first entry not replayed yet; 0 for a log not named. Read-only.
        boot_log_format: format of the boot log; None before its entry 0.
        startup_locality: locality of TPM2_Startup according to the boot log; the initial value of PCR 0 depends on it.
        padded: by undecided bank, the PCRs in case the kernel pads in it (``bank_replay``). Kept by
            :class:`schemas.replay.bank_replay.BankReplay`, dropped by :class:`Replay`. Read-only.
    """

    banks: tuple[HashAlgorithm, ...]
    ima_bank_modes: Mapping[HashAlgorithm, ImaBankMode] = field(default_factory=dict)
    registers: Registers = field(default_factory=dict)
    next_index: Mapping[str, int] = field(default_factory=dict)
    boot_log_format: BootLogFormat | None = None
    startup_locality: int = 0
    padded: Registers = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """How much of one log's increment was replayed.

    Attributes:
        count: number of entries.
        size: their length in bytes.
        events: for a boot log: these entries.
        cel: for a CEL log: these entries.
        ima: for an IMA list: the columns of the *whole* increment; ``ima.files(count)`` gives these entries.
    """

    count: int
    size: int
    events: tuple[BootEvent, ...] = ()
    cel: tuple[CelRecord, ...] = ()
    ima: ImaRecords | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The state after a prefix of each increment, and by log name how long that prefix is."""

    state: ReplayState
    consumed: Mapping[str, Consumed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """The PCR selection and digest that a quote signs, and the hash algorithm of its signing scheme."""

    selection: PcrSelection
    digest: bytes
    algorithm: HashAlgorithm


class Replay:
    """Increments replayed over a state: as a whole, and with :meth:`until` as far as a quote covers them.

    Attributes:
        whole: the state after every entry. Only claims, until a quote confirms it or a later state.
    """

    __slots__ = ("_logs", "_start", "whole")

    def __init__(self, state: ReplayState, increments: Mapping[str, bytes]) -> None:
        """Parses and replays.

        Args:
            state: the state before the increments.
            increments: by log name (``tcg2``, ``ima``, ``cel/<name>``), whole entries from ``state.next_index`` on.

        Raises:
            PeerError: ``log-malformed``; ``too-large`` for a log with too many entries or bytes.
        """
        self._start: Final = state
        self._logs: Final = [_read(name, increments[name], state) for name in sorted(increments, key=_place)]
        registers = _copied(state)
        locality = _locality(state, [event for log in self._logs for event in log.events])
        for log in self._logs:
            log.before = {bank: dict(values) for bank, values in registers.items()}
            log.extend(registers, locality)
        self.whole: Final = (
            self._replayed([len(log) for log in self._logs], registers)
            if increments
            else Replayed(state=state, consumed={})
        )

    def until(self, quoted: Quoted, unlogged: PcrValues = _NO_VALUES) -> Replayed | None:
        """Finds the longest prefix of the increments that reproduces a quote.

        The prefix includes entries that extended no selected PCR; the quote does not vouch for these. If two logs
        extended the same selected PCR, the earlier of them is only tried as a whole.

        Args:
            quoted: the selection and digest that the quote signs.
            unlogged: values sent beside the logs; ignored for PCRs that the logs own.

        Returns:
            None if no prefix reproduces the quote.
        """
        values = self._selected_values(quoted.selection, unlogged)
        if quoted.algorithm.new(b"".join(values)).digest() == quoted.digest:
            return self.whole
        slots = _slots(quoted.selection)
        locality = self.whole.state.startup_locality
        undo: list[Steps] = []
        later: set[int] = set()  # selected PCRs that a later log extends
        for log in reversed(self._logs):
            touched = log.extended_indices() & {index for bank in slots.values() for index in bank}
            undo.insert(0, () if touched & later else log.undo_steps(slots, locality))
            later |= touched
        kept = longest_prefixes(undo, values, lambda each: quoted.algorithm.new(each).digest() == quoted.digest)
        if kept is None:
            return None
        counts = [len(log) if count is None else count for log, count in zip(self._logs, kept, strict=True)]
        registers = _copied(self._start)
        for log, count in zip(self._logs, counts, strict=True):
            log.copy_values(registers, count)
        return self._replayed(counts, registers)

    def _selected_values(self, selection: PcrSelection, unlogged: PcrValues) -> list[bytes]:
        """The values of the selected PCRs after every entry, in digest order."""
        state = self.whole.state
        values = []
        for bank in selection.banks:
            owned = state.registers.get(bank.algorithm, {})
            for index in bank.indices:
                value = owned.get(index) or unlogged.get(bank.algorithm, index)
                values.append(value or initial_value(bank.algorithm, index, state.startup_locality))
        return values

    def _replayed(self, counts: Sequence[int], registers: _Registers) -> Replayed:
        """The result of ``counts`` entries of each log, which lead to ``registers``."""
        start = self._start
        next_index = dict(start.next_index)
        boot_log_format, locality = start.boot_log_format, start.startup_locality
        consumed = {}
        for log, count in zip(self._logs, counts, strict=True):
            if count:
                next_index[log.name] = next_index.get(log.name, 0) + count
            if log.name == TCG2 and count:
                boot_log_format = log.boot_log_format
                locality = _locality(start, log.events[:count])
            size = log.ends[count - 1] if count else 0
            consumed[log.name] = Consumed(
                count=count, size=size, events=log.events[:count], cel=log.cel[:count], ima=log.ima
            )
        state = ReplayState(
            banks=start.banks,
            ima_bank_modes=start.ima_bank_modes,
            registers={bank: values for bank, values in registers.items() if values},
            next_index=next_index,
            boot_log_format=boot_log_format,
            startup_locality=locality,
        )
        return Replayed(state=state, consumed=consumed)


@dataclass(slots=True, kw_only=True)
class _Log:
    """One increment as columns, with one row for each entry. Owned by one :class:`Replay`; ``extend`` fills ``after``.

    Attributes:
        name: name of the log.
        ends: offset of the first byte after each entry.
        indices: PCR index of each entry.
        digests: by replayed bank, the digest that each entry extended; None if it extended nothing.
        before: the PCRs before this increment: the increments of earlier logs are already replayed into them.
        after: by bank, the value of the entry's PCR after each entry; None if it extended nothing.
        boot_log_format: for a boot log only.
        events: for a boot log only.
        cel: for a CEL log only.
        ima: for an IMA list only.
    """

    name: str
    ends: Sequence[int]
    indices: Sequence[int]
    digests: Mapping[HashAlgorithm, Sequence[bytes | None]]
    before: Registers = field(default_factory=dict)
    after: dict[HashAlgorithm, list[bytes | None]] = field(default_factory=dict)
    boot_log_format: BootLogFormat | None = None
    events: tuple[BootEvent, ...] = ()
    cel: tuple[CelRecord, ...] = ()
    ima: ImaRecords | None = None

    def __len__(self) -> int:
        """The number of entries."""
        return len(self.indices)

    def extend(self, registers: _Registers, locality: int) -> None:
        """Replays all entries into ``registers``."""
        for bank, digests in self.digests.items():
            new = bank.new
            values = registers[bank]
            get = values.get
            after: list[bytes | None] = []
            append = after.append
            for index, digest in zip(self.indices, digests, strict=True):
                if digest is None:
                    append(None)
                    continue
                old = get(index)
                if old is None:
                    old = initial_value(bank, index, locality)
                values[index] = value = new(old + digest).digest()
                append(value)
            self.after[bank] = after

    def copy_values(self, registers: _Registers, count: int) -> None:
        """Replays the first ``count`` entries into ``registers``, with the values that :meth:`extend` computed."""
        for bank, after in self.after.items():
            values = registers[bank]
            for index, value in zip(self.indices[:count], after[:count], strict=True):
                if value is not None:
                    values[index] = value

    def extended_indices(self) -> set[int]:
        """The indices of the PCRs that the entries extended."""
        return {
            index
            for after in self.after.values()
            for index, value in zip(self.indices, after, strict=True)
            if value is not None
        }

    def undo_steps(self, slots: _Slots, locality: int) -> Steps:
        """The values that undo the entries one by one, last entry first.

        Args:
            slots: positions of the selected PCRs in the quote.
            locality: startup locality, for the initial value of PCR 0.

        Returns:
            For each entry that extended a selected PCR: the number of entries before it, and the values before it.
        """
        found: dict[int, list[tuple[int, bytes]]] = {}
        for bank in self.after.keys() & slots.keys():
            bank_slots = slots[bank]
            values = dict(self.before[bank])
            for number, (index, value) in enumerate(zip(self.indices, self.after[bank], strict=True)):
                if value is None or index not in bank_slots:
                    continue
                old = values[index] if index in values else initial_value(bank, index, locality)
                found.setdefault(number, []).append((bank_slots[index], old))
                values[index] = value
        return sorted(found.items(), reverse=True)


def _read(name: str, data: bytes, state: ReplayState) -> _Log:
    read = {TCG2: _read_boot_log, IMA: _read_ima}.get(name)
    log = read(data, state) if read is not None else _read_cel(name, data, state)
    total = state.next_index.get(name, 0) + len(log)
    if total > limits.MAX_LOG_ENTRIES:
        raise PeerError(Reason.TOO_LARGE, f"log {name}: {total} entries, the limit is {limits.MAX_LOG_ENTRIES}")
    return log


def _read_boot_log(data: bytes, state: ReplayState) -> _Log:
    split = boot_records.split_records(data, state.boot_log_format)
    if split.rest:
        raise PeerError(Reason.LOG_MALFORMED, f"boot log: its last entry is cut short, {len(split.rest)} bytes")
    event_format = state.boot_log_format
    events = []
    ends = []
    end = 0
    for record in split.records:
        events.append(boot_records.parse_event(record, event_format))
        event_format = split.format
        end += len(record)
        ends.append(end)
    listed = [dict(event.digests) if event.extended else {} for event in events]
    return _Log(
        name=TCG2,
        ends=ends,
        indices=[event.pcr_index for event in events],
        digests={bank: [digests.get(bank.tpm_id) for digests in listed] for bank in state.banks},
        boot_log_format=split.format,
        events=tuple(events),
    )


def _read_ima(data: bytes, state: ReplayState) -> _Log:
    records = ima_records.read_records(data)
    return _Log(
        name=IMA,
        ends=records.ends,
        indices=records.pcr_indices,
        digests={
            bank: records.extensions(bank, state.ima_bank_modes.get(bank, ImaBankMode.HASHED)) for bank in state.banks
        },
        ima=records,
    )


def _read_cel(name: str, data: bytes, state: ReplayState) -> _Log:
    raw, rest = cel_cbor.split_records(data)
    if rest:
        raise PeerError(Reason.LOG_MALFORMED, f"log {name}: its last record is cut short, {len(rest)} bytes")
    records = tuple(map(cel_cbor.parse_record, raw))
    for record in records:
        check_record(record)
    listed = [dict(record.digests) if record.extended and record.pcr is not None else {} for record in records]
    return _Log(
        name=name,
        ends=list(itertools.accumulate(map(len, raw))),
        indices=[record.pcr or 0 for record in records],
        digests={bank: [digests.get(bank.tpm_id) for digests in listed] for bank in state.banks},
        cel=records,
    )


def _place(name: str) -> tuple[int, str]:
    """Sort key for the order of replay."""
    kind, separator, _ = name.partition("/")
    if kind not in _ORDER or bool(separator) != (kind == CEL):
        raise PeerError(Reason.LOG_MALFORMED, f"log {name!r}: expected {TCG2}, {IMA} or {CEL}/name")
    return _ORDER.index(kind), name


def _slots(selection: PcrSelection) -> _Slots:
    slots: dict[HashAlgorithm, dict[int, int]] = {}
    for slot, (bank, index) in enumerate(selection):
        slots.setdefault(bank, {})[index] = slot
    return slots


def _copied(state: ReplayState) -> _Registers:
    return {bank: dict(state.registers.get(bank, {})) for bank in state.banks}


def _locality(start: ReplayState, events: Sequence[BootEvent]) -> int:
    """The startup locality after ``events``: the last one that an event states before PCR 0 is first extended."""
    locality = start.startup_locality
    if any(0 in registers for registers in start.registers.values()):
        return locality
    replayed = {bank.tpm_id for bank in start.banks}
    for event in events:
        stated = event.startup_locality
        locality = locality if stated is None else stated
        if event.extended and event.pcr_index == 0 and any(tpm_id in replayed for tpm_id, _ in event.digests):
            break
    return locality
